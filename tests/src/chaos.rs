//! Random requests under random kills, and the judge of what came of them. Pure: no process is
//! touched here, so that the judge itself can be tested.
//!
//! At most one request for each VM is under way at a time. So an acknowledged request has exactly
//! one right outcome, and one whose answer was lost has two.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use novacron_protocol::vm::Target;
use rand::Rng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;

/// One thing asked of the fleet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    pub vm: String,
    pub verb: Verb,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    Create,
    Start,
    Stop,
    ForceStop,
    Restart,
    Delete,
}

/// Who is killed with SIGKILL. Numbers count hosts from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Victim {
    Leader,
    Follower,
    Agent(usize),
    Libvirtd(usize),
}

/// What happens in one round.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Round {
    pub requests: Vec<Request>,
    pub victim: Victim,
    /// From the first request to the kill.
    pub kill_after: Duration,
    /// From the kill to the restart.
    pub dead_for: Duration,
}

/// What the asker heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    Acknowledged,
    /// An error, or none in time: it may have happened or not.
    Lost,
}

/// What must be true of one VM.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Expected {
    /// [`Target::Absent`] for one that is gone.
    target: Target,
    /// How often the guest has booted since it was created.
    boots: u32,
}

/// What must be true of the fleet.
#[derive(Debug, Clone, Default)]
pub struct Model {
    vms: BTreeMap<String, Expected>,
    /// VMs with a request whose answer was lost: also this may be true.
    also: BTreeMap<String, Expected>,
    acknowledged: usize,
    lost: usize,
}

/// What was found when everything had settled.
#[derive(Debug, Clone, Default)]
pub struct Findings {
    /// By name, as the control plane lists them.
    pub vms: BTreeMap<String, Found>,
    /// UUIDs of the domains on each host, as libvirt itself lists them, with whether each runs.
    pub domains: Vec<BTreeMap<String, bool>>,
    /// Of operations that ended, and of those that did not.
    pub operations_ended: usize,
    pub operations_open: Vec<String>,
    /// Who leads in each term, by the members' own word.
    pub leaders: BTreeMap<u64, BTreeSet<String>>,
}

/// One VM as found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    pub uuid: String,
    /// Whether it was seen running, by the control plane.
    pub is_running: bool,
    /// Boots counted on its serial console; `None` when the console was not read.
    pub boots: Option<u32>,
}

impl Round {
    /// The next round of a run: what can sensibly be asked depends on what there is.
    pub fn draw(rng: &mut StdRng, model: &Model, hosts: usize) -> Self {
        let mut requests = Vec::new();
        let mut names: Vec<String> = (1..=VMS).map(|number| format!("chaos-{number}")).collect();
        for _ in 0..rng.random_range(1..=REQUESTS_MAX) {
            let vm = names.swap_remove(rng.random_range(0..names.len()));
            let verb = *model.sensible(&vm).choose(rng).expect("something can always be asked");
            requests.push(Request { vm, verb });
        }
        let victim = match rng.random_range(0..4) {
            0 => Victim::Leader,
            1 => Victim::Follower,
            2 => Victim::Agent(rng.random_range(0..hosts)),
            _ => Victim::Libvirtd(rng.random_range(0..hosts)),
        };
        let mut up_to = |limit: Duration| limit.mul_f64(rng.random());
        Self { requests, victim, kill_after: up_to(KILL_AFTER_MAX), dead_for: up_to(DEAD_FOR_MAX) }
    }
}

impl Model {
    fn sensible(&self, vm: &str) -> &'static [Verb] {
        match self.vms.get(vm).map(|expected| expected.target) {
            None | Some(Target::Absent) => &[Verb::Create],
            Some(Target::Stopped) => &[Verb::Start, Verb::Start, Verb::Delete],
            Some(Target::Running) => {
                &[Verb::Stop, Verb::ForceStop, Verb::Restart, Verb::Restart, Verb::Delete]
            }
        }
    }

    /// Takes note of what was asked and heard.
    pub fn record(&mut self, request: &Request, answer: Answer) {
        let absent = Expected { target: Target::Absent, boots: 0 };
        let before = self.vms.get(&request.vm).cloned().unwrap_or(absent);
        let boots = before.boots;
        let after = match request.verb {
            Verb::Create => Expected { target: Target::Running, boots: 1 },
            Verb::Start | Verb::Restart => Expected { target: Target::Running, boots: boots + 1 },
            Verb::Stop | Verb::ForceStop => Expected { target: Target::Stopped, boots },
            Verb::Delete => Expected { target: Target::Absent, boots: 0 },
        };
        match answer {
            Answer::Acknowledged => {
                self.acknowledged += 1;
                self.vms.insert(request.vm.clone(), after);
            }
            Answer::Lost => {
                self.lost += 1;
                self.vms.insert(request.vm.clone(), before);
                self.also.insert(request.vm.clone(), after);
            }
        }
    }

    pub fn acknowledged(&self) -> usize {
        self.acknowledged
    }

    pub fn lost(&self) -> usize {
        self.lost
    }

    /// Compares; gives every way in which the findings cannot be. What was open about requests
    /// with lost answers is settled by the findings.
    pub fn judge(&mut self, findings: &Findings) -> Vec<String> {
        let mut wrong = Vec::new();
        for name in self.vms.keys().cloned().collect::<Vec<_>>() {
            let found = findings.vms.get(&name);
            let first = self.vms[&name].mismatch(found);
            let second = self.also.remove(&name).map(|also| (also.mismatch(found), also));
            match (first, second) {
                (None, _) => {}
                (Some(_), Some((None, also))) => {
                    self.vms.insert(name, also);
                }
                (Some(mismatch), _) => wrong.push(format!("{name}: {mismatch}")),
            }
        }
        for name in findings.vms.keys().filter(|name| !self.vms.contains_key(*name)) {
            wrong.push(format!("{name}: nobody asked for it"));
        }
        wrong.extend(twice(&findings.domains));
        wrong.extend(unlike(&findings.vms, &findings.domains));
        wrong
            .extend(findings.operations_open.iter().map(|id| format!("operation {id} never ends")));
        for (term, names) in findings.leaders.iter().filter(|(_, names)| names.len() > 1) {
            wrong.push(format!("term {term} has the leaders {names:?}"));
        }
        let (least, most) = (self.acknowledged, self.acknowledged + self.lost);
        let operations = findings.operations_ended + findings.operations_open.len();
        if !(least..=most).contains(&operations) {
            let asked = format!("{least} acknowledged requests and {} without answer", self.lost);
            wrong.push(format!("{operations} operations came of {asked}"));
        }
        wrong
    }
}

impl Expected {
    fn mismatch(&self, found: Option<&Found>) -> Option<String> {
        match (self.target, found) {
            (Target::Absent, None) => None,
            (Target::Absent, Some(_)) => Some("should be gone".to_owned()),
            (_, None) => Some("is lost".to_owned()),
            (target, Some(found)) if (target == Target::Running) != found.is_running => {
                Some(format!("should be {target}, is_running={}", found.is_running))
            }
            (_, Some(Found { boots: Some(boots), .. })) if *boots != self.boots => {
                Some(format!("booted {boots} times, should have {}", self.boots))
            }
            _ => None,
        }
    }
}

/// VMs that are defined on two hosts. May be asked at any moment, settled or not.
pub fn twice(domains: &[BTreeMap<String, bool>]) -> Vec<String> {
    let mut seen = BTreeSet::new();
    let all = domains.iter().flat_map(BTreeMap::keys);
    all.filter(|uuid| !seen.insert(*uuid)).map(|uuid| format!("{uuid} is on two hosts")).collect()
}

/// Differences between what the control plane lists and what libvirt lists.
fn unlike(vms: &BTreeMap<String, Found>, domains: &[BTreeMap<String, bool>]) -> Vec<String> {
    let running = |uuid: &str| domains.iter().find_map(|host| host.get(uuid)).copied();
    let mut wrong = Vec::new();
    for (name, found) in vms {
        // A stopped VM may have its domain or not; a running one runs.
        if running(&found.uuid).unwrap_or(false) != found.is_running {
            let state = running(&found.uuid);
            wrong.push(format!("{name}: listed as running={}, domain {state:?}", found.is_running));
        }
    }
    let known: BTreeSet<&String> = vms.values().map(|found| &found.uuid).collect();
    let stray = domains.iter().flat_map(BTreeMap::keys).filter(|uuid| !known.contains(uuid));
    wrong.extend(stray.map(|uuid| format!("a domain {uuid} was left behind")));
    wrong
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {}", self.verb, self.vm)
    }
}

/// VMs that a run uses: few enough for two cores that emulate, enough to be under way together.
const VMS: usize = 5;
const REQUESTS_MAX: usize = 3;
/// A request is answered in some 50 ms and done in some 3 s: kills fall before, between and after.
const KILL_AFTER_MAX: Duration = Duration::from_millis(2_500);
/// Shorter and longer than an election, a session's end and a reconnect.
const DEAD_FOR_MAX: Duration = Duration::from_secs(4);

#[cfg(test)]
mod tests {
    use super::*;
    use rand::SeedableRng;

    fn request(verb: Verb) -> Request {
        Request { vm: "chaos-1".to_owned(), verb }
    }

    fn found(is_running: bool, boots: u32) -> Findings {
        let found = Found { uuid: "u1".to_owned(), is_running, boots: Some(boots) };
        let domains = BTreeMap::from([("u1".to_owned(), is_running)]);
        Findings {
            vms: BTreeMap::from([("chaos-1".to_owned(), found)]),
            domains: vec![domains, BTreeMap::new()],
            operations_ended: 1,
            operations_open: Vec::new(),
            leaders: BTreeMap::new(),
        }
    }

    fn created() -> Model {
        let mut model = Model::default();
        model.record(&request(Verb::Create), Answer::Acknowledged);
        model
    }

    #[test]
    fn what_was_asked_and_happened_is_right() {
        assert_eq!(created().judge(&found(true, 1)), Vec::<String>::new());
    }

    #[test]
    fn an_acknowledged_request_that_was_lost_is_found() {
        let nothing = Findings { operations_ended: 1, ..Findings::default() };
        assert_eq!(created().judge(&nothing), ["chaos-1: is lost"]);
        let mut model = created();
        model.record(&request(Verb::Stop), Answer::Acknowledged);
        let findings = Findings { operations_ended: 2, ..found(true, 1) };
        assert_eq!(model.judge(&findings), ["chaos-1: should be stopped, is_running=true"]);
    }

    #[test]
    fn a_request_done_twice_is_found() {
        let twice = Findings { operations_ended: 2, ..found(true, 2) };
        assert_eq!(
            created().judge(&twice),
            [
                "chaos-1: booted 2 times, should have 1",
                "2 operations came of 1 acknowledged requests and 0 without answer"
            ]
        );
    }

    #[test]
    fn a_request_without_an_answer_may_have_happened_once_or_not() {
        let mut model = created();
        model.record(&request(Verb::Delete), Answer::Lost);
        assert_eq!(model.clone().judge(&found(true, 1)), Vec::<String>::new());
        let gone = Findings { operations_ended: 2, ..Findings::default() };
        assert_eq!(model.judge(&gone), Vec::<String>::new());
        // From then on it is known which: back again would be wrong.
        let back = Findings { operations_ended: 2, ..found(true, 1) };
        assert_eq!(model.judge(&back), ["chaos-1: should be gone"]);
    }

    #[test]
    fn a_vm_on_two_hosts_and_a_domain_left_behind_are_found() {
        let mut findings = found(true, 1);
        findings.domains[1].insert("u1".to_owned(), false);
        findings.domains[1].insert("u2".to_owned(), false);
        assert_eq!(
            created().judge(&findings),
            ["u1 is on two hosts", "a domain u2 was left behind"]
        );
    }

    #[test]
    fn an_operation_that_never_ends_is_found() {
        let findings = Findings {
            operations_ended: 0,
            operations_open: vec!["op".to_owned()],
            ..found(true, 1)
        };
        assert_eq!(created().judge(&findings), ["operation op never ends"]);
    }

    #[test]
    fn two_leaders_of_one_term_are_found() {
        let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        let leaders = BTreeMap::from([(2, names(&["m1"])), (3, names(&["m1", "m3"]))]);
        let findings = Findings { leaders, ..found(true, 1) };
        let said = created().judge(&findings);
        assert_eq!(said, ["term 3 has the leaders {\"m1\", \"m3\"}"]);
    }

    #[test]
    fn a_seed_replays() {
        let draw = || {
            let mut rng = StdRng::seed_from_u64(7);
            let mut model = Model::default();
            let mut rounds = Vec::new();
            for _ in 0..20 {
                let round = Round::draw(&mut rng, &model, 3);
                round.requests.iter().for_each(|r| model.record(r, Answer::Acknowledged));
                rounds.push(round);
            }
            rounds
        };
        assert_eq!(draw(), draw());
    }
}
