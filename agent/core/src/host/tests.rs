//! What a host decides, event by event, and over random histories.

use std::collections::{BTreeMap, BTreeSet};

use novacron_protocol::vm::StopMode;
use proptest::prelude::*;

use super::*;
use crate::vm::testing::{desired_vm, vm_id};

const MS: Duration = Duration::from_millis(1);

fn set(generation: u64, vms: Vec<DesiredVm>) -> DesiredSet {
    DesiredSet { generation: Generation(generation), vms }
}

fn actions(host: &mut Host) -> Vec<Action> {
    std::iter::from_fn(|| host.poll_action()).collect()
}

#[test]
fn nothing_is_done_for_a_desired_set_before_it_is_on_disk() {
    let mut host = Host::new(Duration::ZERO, Journal::default());
    assert_eq!(actions(&mut host), [Action::Observe]);
    host.handle_observed(MS, &[]);
    host.handle_desired(MS, set(3, vec![desired_vm(1)])).unwrap();
    let wanted = actions(&mut host);
    assert!(matches!(&wanted[..], [Action::Persist(_)]), "{wanted:?}");
    assert_eq!(host.generation(), Generation(0));
    host.handle_timeout(Duration::from_secs(1));
    assert!(actions(&mut host).iter().all(|action| *action == Action::Observe));
    host.handle_persisted(Duration::from_secs(1));
    assert_eq!(host.generation(), Generation(3));
}

#[test]
fn there_is_no_report_before_the_hypervisor_was_looked_at() {
    let journal = Journal { desired: set(1, vec![desired_vm(1)]), restarts: BTreeMap::new() };
    let mut host = Host::new(Duration::ZERO, journal);
    assert_eq!(host.report(), None);
    assert_eq!(actions(&mut host), [Action::Observe]);
    host.handle_unobserved(MS);
    assert_eq!((host.report(), host.hypervisor()), (None, HypervisorHealth::Unreachable));
    host.handle_timeout(host.poll_timeout().unwrap());
    assert_eq!(actions(&mut host), [Action::Observe]);
    host.handle_observed(MS, &[Domain { id: vm_id(1), state: DomainState::On }]);
    assert_eq!(host.report().unwrap().vms[0].state, VmState::Running);
    assert_eq!(host.hypervisor(), HypervisorHealth::Ready);
}

#[test]
fn a_list_that_was_begun_before_a_task_ended_says_nothing_about_that_vm() {
    let journal = Journal { desired: set(1, vec![desired_vm(1)]), restarts: BTreeMap::new() };
    let mut host = Host::new(Duration::ZERO, journal);
    actions(&mut host);
    host.handle_observed(MS, &[Domain { id: vm_id(1), state: DomainState::Off }]);
    for _ in ["prepare", "define"] {
        assert!(matches!(actions(&mut host)[..], [Action::Perform { .. }]));
        host.handle_task_done(MS, vm_id(1), Outcome::Done);
    }
    assert!(matches!(actions(&mut host)[..], [Action::Perform { task: Task::Start, .. }]));
    host.handle_domain_event(MS * 20, vm_id(1));
    assert_eq!(actions(&mut host), [Action::Observe]);
    host.handle_task_done(MS * 21, vm_id(1), Outcome::Done);
    host.handle_observed(MS * 22, &[Domain { id: vm_id(1), state: DomainState::Off }]);
    assert_eq!(host.report().unwrap().vms[0].state, VmState::Running);
}

#[test]
fn a_restart_on_its_way_when_the_agent_dies_is_done_exactly_once() {
    let mut vm = desired_vm(1);
    vm.restarts = 4;
    vm.stop_mode = StopMode::Force;
    let mut journal = Journal { desired: set(1, vec![vm]), restarts: [(vm_id(1), 3)].into() };
    let mut destroyed = 0;
    let mut domain = DomainState::On;
    // Die after every single action, until there is nothing left to do.
    for _ in 0..20 {
        let mut host = Host::new(Duration::ZERO, journal.clone());
        assert_eq!(host.poll_action(), Some(Action::Observe));
        host.handle_observed(MS, &[Domain { id: vm_id(1), state: domain }]);
        for _ in ["prepare", "define"] {
            match host.poll_action() {
                Some(Action::Perform { task: Task::Prepare(_) | Task::Define(_), .. }) => {
                    host.handle_task_done(MS, vm_id(1), Outcome::Done);
                }
                Some(Action::Perform { task: Task::Destroy, .. }) => {
                    destroyed += 1;
                    domain = DomainState::Off;
                }
                Some(Action::Persist(change)) => journal.apply(&change),
                other => assert_eq!(other, None),
            }
        }
        if let Some(Action::Perform { task: Task::Start, .. }) = host.poll_action() {
            assert_eq!(journal.restarts[&vm_id(1)], 4, "counted before it is started");
            domain = DomainState::On;
        }
    }
    assert_eq!((destroyed, domain), (1, DomainState::On));
}

#[test]
fn a_vm_that_left_the_set_is_forgotten_untouched() {
    let journal = Journal { desired: set(1, vec![desired_vm(1)]), restarts: BTreeMap::new() };
    let mut host = Host::new(Duration::ZERO, journal);
    actions(&mut host);
    host.handle_observed(MS, &[Domain { id: vm_id(1), state: DomainState::On }]);
    host.handle_desired(MS, set(2, Vec::new())).unwrap();
    assert!(matches!(actions(&mut host)[..], [Action::Persist(_)]));
    host.handle_persisted(MS);
    assert_eq!(actions(&mut host), []);
    assert_eq!(host.report().unwrap().vms, []);
}

#[test]
fn images_of_a_set_that_is_not_yet_acted_on_count_as_in_use() {
    let mut host = Host::new(Duration::ZERO, Journal::default());
    host.handle_desired(MS, set(1, vec![desired_vm(1), desired_vm(2)])).unwrap();
    assert_eq!(host.files_in_use(), [desired_vm(1).boot.files[0].digest]);
}

/// What may happen to a host, and how the world around it is played.
#[derive(Debug, Clone)]
enum Event {
    Desired { raise: u64, vms: Vec<(u8, u8, bool, u32)> },
    StaleDesired,
    Pass(u16),
    Persisted,
    Observed,
    Unreachable,
    GuestOff(u8),
    Foreign(u8),
    Task(u8, u8),
    Restart,
}

fn event() -> impl Strategy<Value = Event> {
    let entry = (0_u8..4, 0_u8..3, any::<bool>(), 0_u32..3);
    prop_oneof![
        3 => (1_u64..3, prop::collection::vec(entry, 0..4))
            .prop_map(|(raise, vms)| Event::Desired { raise, vms }),
        1 => Just(Event::StaleDesired),
        3 => (0_u16..15_000).prop_map(Event::Pass),
        6 => Just(Event::Persisted),
        6 => Just(Event::Observed),
        1 => Just(Event::Unreachable),
        1 => (0_u8..4).prop_map(Event::GuestOff),
        1 => (0_u8..4).prop_map(Event::Foreign),
        8 => (0_u8..4, 0_u8..8).prop_map(|(at, how)| Event::Task(at, how)),
        1 => Just(Event::Restart),
    ]
}

/// The world: a disk, a hypervisor, a clock, and the rules that no host may break.
struct World {
    host: Host,
    now: Duration,
    disk: Journal,
    domains: BTreeMap<VmId, DomainState>,
    accepted: DesiredSet,
    restarts_asked: BTreeMap<VmId, u32>,
    /// VMs that were ever asked for, and those that have left since.
    asked: BTreeSet<VmId>,
    left: BTreeSet<VmId>,
    writing: Option<Persist>,
    looking: bool,
    tasks: BTreeMap<VmId, Task>,
    generation_acted_on: Generation,
}

impl World {
    fn new() -> Self {
        Self {
            host: Host::new(Duration::ZERO, Journal::default()),
            now: Duration::ZERO,
            disk: Journal::default(),
            domains: BTreeMap::new(),
            accepted: DesiredSet::default(),
            restarts_asked: BTreeMap::new(),
            asked: BTreeSet::new(),
            left: BTreeSet::new(),
            writing: None,
            looking: false,
            tasks: BTreeMap::new(),
            generation_acted_on: Generation(0),
        }
    }

    fn play(&mut self, event: Event) {
        match event {
            Event::Desired { raise, vms } => self.desire(raise, &vms),
            Event::StaleDesired => {
                let stale = set(self.accepted.generation.0.saturating_sub(1), Vec::new());
                if stale.generation < self.accepted.generation {
                    self.host.handle_desired(self.now, stale).unwrap_err();
                }
            }
            Event::Pass(ms) => {
                self.now += MS * u32::from(ms);
                self.host.handle_timeout(self.now);
            }
            Event::Persisted => self.persist(),
            Event::Observed if std::mem::take(&mut self.looking) => {
                let list: Vec<Domain> = self
                    .domains
                    .iter()
                    .map(|(id, state)| Domain { id: *id, state: *state })
                    .collect();
                self.host.handle_observed(self.now, &list);
            }
            Event::Unreachable if std::mem::take(&mut self.looking) => {
                self.host.handle_unobserved(self.now);
            }
            Event::Observed | Event::Unreachable => {}
            Event::GuestOff(at) => {
                if let Some(state) = self.domains.get_mut(&vm_id(at.into())) {
                    *state = DomainState::Off;
                    self.host.handle_domain_event(self.now, vm_id(at.into()));
                }
            }
            Event::Foreign(at) => {
                self.domains.insert(vm_id(100 + u128::from(at)), DomainState::On);
            }
            Event::Task(at, how) => self.end_task(at, how),
            Event::Restart => {
                self.host = Host::new(self.now, self.disk.clone());
                self.accepted = self.disk.desired.clone();
                self.writing = None;
                self.looking = false;
                self.tasks.clear();
            }
        }
        self.act();
    }

    fn desire(&mut self, raise: u64, vms: &[(u8, u8, bool, u32)]) {
        let generation = self.accepted.generation.0 + raise;
        let vms: BTreeMap<u8, DesiredVm> = vms
            .iter()
            .map(|(id, target, force, restarts)| {
                let mut vm = desired_vm(u128::from(*id));
                vm.revision = Generation(generation);
                vm.target = Target::ALL[usize::from(*target)];
                vm.stop_mode = if *force { StopMode::Force } else { StopMode::Graceful };
                let asked = self.restarts_asked.entry(vm.id).or_default();
                *asked += restarts / 2;
                vm.restarts = *asked;
                (*id, vm)
            })
            .collect();
        // A VM that has left a host's set never comes back to it: ids are not used again.
        let vms: Vec<DesiredVm> =
            vms.into_values().filter(|vm| !self.left.contains(&vm.id)).collect();
        let had = self.asked.iter().copied();
        self.left.extend(had.filter(|id| vms.iter().all(|vm| vm.id != *id)));
        self.asked.extend(vms.iter().map(|vm| vm.id));
        self.accepted = set(generation, vms);
        let acceptance = self.host.handle_desired(self.now, self.accepted.clone());
        assert_eq!(acceptance, Ok(Acceptance::Accepted));
    }

    fn persist(&mut self) {
        if let Some(change) = self.writing.take() {
            self.disk.apply(&change);
            self.host.handle_persisted(self.now);
        }
    }

    fn end_task(&mut self, at: u8, how: u8) {
        let vm = vm_id(at.into());
        let Some(task) = self.tasks.remove(&vm) else { return };
        let outcome = match how {
            0 => Outcome::Refused("refused".to_owned()),
            1 => Outcome::Unavailable("unavailable".to_owned()),
            2 => Outcome::Unreachable,
            3 => Outcome::NotFound,
            _ => self.perform(vm, &task),
        };
        self.host.handle_task_done(self.now, vm, outcome);
    }

    fn perform(&mut self, vm: VmId, task: &Task) -> Outcome {
        match task {
            Task::Prepare(_) | Task::Shutdown => {}
            Task::Define(_) => {
                self.domains.entry(vm).or_insert(DomainState::Off);
            }
            Task::Start | Task::Destroy => match self.domains.get_mut(&vm) {
                None => return Outcome::NotFound,
                Some(state) if *task == Task::Start => *state = DomainState::On,
                Some(state) => *state = DomainState::Off,
            },
            Task::Remove => {
                self.domains.remove(&vm);
            }
        }
        Outcome::Done
    }

    fn act(&mut self) {
        while let Some(action) = self.host.poll_action() {
            match action {
                Action::Persist(change) => {
                    assert_eq!(self.writing.replace(change), None, "one write at a time");
                }
                Action::Observe => {
                    assert!(!std::mem::replace(&mut self.looking, true), "one look at a time");
                }
                Action::Abandon { vm } => {
                    assert!(matches!(self.tasks[&vm], Task::Prepare(_)), "{:?}", self.tasks);
                }
                Action::Perform { vm, task } => self.check(vm, &task),
            }
        }
        assert!(self.host.generation() >= self.generation_acted_on, "went back");
        self.generation_acted_on = self.host.generation();
        assert_eq!(self.host.generation(), self.disk.desired.generation, "acts on what is on disk");
    }

    fn check(&mut self, vm: VmId, task: &Task) {
        let before = self.tasks.insert(vm, task.clone());
        assert_eq!(before, None, "two tasks for {vm}");
        let desired = self.disk.desired.vms.iter().find(|desired| desired.id == vm);
        let desired = desired.expect("a task for a VM that is not in the journalled set");
        let done = self.disk.restarts.get(&vm).copied().unwrap_or(desired.restarts);
        let restart_owed = desired.restarts > done;
        match task {
            Task::Remove => assert_eq!(desired.target, Target::Absent),
            Task::Destroy | Task::Shutdown => {
                assert!(desired.target != Target::Running || restart_owed, "halts {desired:?}");
            }
            Task::Start => {
                assert_eq!(desired.target, Target::Running);
                assert!(!restart_owed, "starts before the restart is journalled");
            }
            Task::Prepare(with) | Task::Define(with) => assert_eq!(**with, *desired),
        }
    }

    /// Lets everything go well until nothing is left to do.
    fn calm_down(&mut self) {
        for _ in 0..200 {
            self.persist();
            for at in 0..4 {
                self.end_task(at, 7);
            }
            for (vm, state) in self.domains.clone() {
                let owner = self.host.owners.get(&vm);
                if owner.is_some_and(|owned| owned.owner.state() == State::Stopping) {
                    self.play(Event::GuestOff(vm.as_bytes()[15]));
                    assert_ne!(state, DomainState::Paused);
                }
            }
            self.play(Event::Observed);
            let next = self.host.poll_timeout().unwrap_or_default();
            self.now = self.now.max(next);
            self.host.handle_timeout(self.now);
            self.act();
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn no_sequence_of_events_breaks_a_rule_and_all_settle(
        events in prop::collection::vec(event(), 1..120),
    ) {
        let mut world = World::new();
        world.act();
        let mut foreign = BTreeSet::new();
        for event in events {
            if let Event::Foreign(at) = event {
                foreign.insert(vm_id(100 + u128::from(at)));
            }
            world.play(event);
        }
        world.calm_down();
        let report = world.host.report().expect("the hypervisor was looked at");
        prop_assert_eq!(report.generation, world.accepted.generation);
        for (vm, desired) in report.vms.iter().zip(&world.accepted.vms) {
            prop_assert_eq!(vm.id, desired.id);
            prop_assert!(desired.target.is_met_by(vm.state), "{:?} for {:?}", vm, desired);
            prop_assert_eq!((vm.restarts, vm.revision), (desired.restarts, desired.revision));
            let running = world.domains.get(&vm.id) == Some(&DomainState::On);
            prop_assert_eq!(running, desired.target == Target::Running);
        }
        for vm in foreign {
            prop_assert_eq!(world.domains[&vm], DomainState::On, "a foreign domain was touched");
        }
    }
}
