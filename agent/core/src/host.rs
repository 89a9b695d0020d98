//! The core of an agent: the desired set, the owners of its VMs, and the hypervisor as far as known.
//!
//! The one look at the hypervisor is a list of all its domains. Domain events only say that a look
//! is due: they may be late, and a list can not be out of order with itself. A list that was begun
//! before a VM's last task ended says nothing about that VM, so an owner never acts on a state that
//! it has changed itself since.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use novacron_protocol::host::HypervisorHealth;
use novacron_protocol::vm::{DesiredSet, DesiredVm, Target, VmState};
use novacron_protocol::wire::agent::Report;
use novacron_protocol::{Digest, Generation, VmId};

use crate::desired::{Acceptance, DesiredRefusal, Journal, Persist, has, judge};
use crate::vm::transition::State;
use crate::vm::{Domain, DomainState, Outcome, Owner, Task};

mod looks;

use looks::Looks;

/// Something for the shell to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Have this on disk, then call [`Host::handle_persisted`]. One at a time.
    Persist(Persist),
    /// List all domains, then call [`Host::handle_observed`], or [`Host::handle_unobserved`] when
    /// the hypervisor does not answer. One at a time.
    Observe,
    /// Carry `task` out, then call [`Host::handle_task_done`]. One at a time per VM.
    Perform { vm: VmId, task: Task },
    /// Give up the preparation of `vm` that is in flight, if that is easy; its end is still told.
    Abandon { vm: VmId },
}

/// All that an agent knows and wants of its host.
#[derive(Debug)]
pub struct Host {
    /// On disk, and acted on.
    desired: Arc<DesiredSet>,
    /// Accepted and not yet on disk.
    incoming: Option<Arc<DesiredSet>>,
    owners: BTreeMap<VmId, Owned>,
    /// What is to be journalled next, and what is being journalled.
    unwritten: Persist,
    writing: Option<Persist>,
    looks: Looks,
    health: HypervisorHealth,
    version: u64,
}

#[derive(Debug)]
struct Owned {
    owner: Owner,
    /// The look that was the newest when a task of this VM last began or ended.
    touched: u64,
}

/// How often the hypervisor is looked at while a guest is powering off: there a lost event would
/// make a user wait.
const LOOK_INTERVAL_STOPPING: Duration = Duration::from_secs(1);

impl Host {
    /// A host that knows what its journal holds and has not looked at its hypervisor yet.
    pub fn new(now: Duration, journal: Journal) -> Self {
        let mut host = Self {
            desired: Arc::default(),
            incoming: None,
            owners: BTreeMap::new(),
            unwritten: Persist::default(),
            writing: None,
            looks: Looks::new(now),
            health: HypervisorHealth::Ready,
            version: 0,
        };
        host.adopt(Arc::new(journal.desired), &journal.restarts);
        host
    }

    /// Takes a desired set from a member. Nothing is done for it before it is journalled.
    pub fn handle_desired(
        &mut self,
        now: Duration,
        set: DesiredSet,
    ) -> Result<Acceptance, DesiredRefusal> {
        self.looks.handle_now(now);
        let held = Arc::clone(self.incoming.as_ref().unwrap_or(&self.desired));
        if judge(&held, &set)? == Acceptance::Unchanged {
            return Ok(Acceptance::Unchanged);
        }
        let set = Arc::new(set);
        let owners = &self.owners;
        let is_new = |vm: &&DesiredVm| !has(&held, vm.id) && !owners.contains_key(&vm.id);
        for vm in set.vms.iter().filter(is_new) {
            // A VM that this host has no count for is started here for the first time, or its
            // count was lost: in both cases no restart is owed.
            self.unwritten.restarts.entry(vm.id).or_insert(vm.restarts);
        }
        self.unwritten.desired = Some(Arc::clone(&set));
        self.incoming = Some(set);
        Ok(Acceptance::Accepted)
    }

    /// The last [`Action::Persist`] is on disk.
    pub fn handle_persisted(&mut self, now: Duration) {
        self.looks.handle_now(now);
        let Some(written) = self.writing.take() else { return };
        if let Some(desired) = written.desired {
            if self.incoming.as_ref().is_some_and(|set| set.generation == desired.generation) {
                self.incoming = None;
            }
            self.adopt(desired, &written.restarts);
        }
        for (vm, restarts) in written.restarts {
            if let Some(owned) = self.owners.get_mut(&vm) {
                owned.owner.handle_counted(restarts);
            }
        }
        self.changed();
    }

    /// Answers [`Action::Observe`]: all domains of the hypervisor, also those that are not ours.
    pub fn handle_observed(&mut self, now: Duration, domains: &[Domain]) {
        self.looks.handle_now(now);
        self.looks.handle_success();
        self.health = HypervisorHealth::Ready;
        let mut seen: Vec<(VmId, DomainState)> =
            domains.iter().map(|domain| (domain.id, domain.state)).collect();
        seen.sort_unstable_by_key(|(id, _)| *id);
        let look = self.looks.newest();
        for (id, owned) in self.owners.iter_mut().filter(|(_, owned)| owned.touched < look) {
            let at = seen.binary_search_by_key(id, |(id, _)| *id);
            owned.owner.handle_seen(now, at.ok().map(|at| seen[at].1));
        }
        self.changed();
    }

    /// Answers [`Action::Observe`]: the hypervisor does not answer.
    pub fn handle_unobserved(&mut self, now: Duration) {
        self.handle_hypervisor_lost(now);
        self.looks.handle_failure();
    }

    /// The hypervisor went away. VMs are taken to run on; nothing is done until it was looked at.
    pub fn handle_hypervisor_lost(&mut self, now: Duration) {
        self.looks.handle_now(now);
        self.health = HypervisorHealth::Unreachable;
        for owned in self.owners.values_mut() {
            owned.owner.handle_unreachable();
            owned.touched = self.looks.newest();
        }
        self.looks.want();
        self.changed();
    }

    /// Something happened to a domain.
    pub fn handle_domain_event(&mut self, now: Duration, vm: VmId) {
        self.looks.handle_now(now);
        if self.owners.contains_key(&vm) {
            self.looks.want();
        }
    }

    /// Answers [`Action::Perform`].
    pub fn handle_task_done(&mut self, now: Duration, vm: VmId, outcome: Outcome) {
        self.looks.handle_now(now);
        let Some(owned) = self.owners.get_mut(&vm) else { return };
        let unreachable = outcome == Outcome::Unreachable;
        owned.owner.handle_outcome(now, outcome);
        owned.touched = self.looks.newest();
        if owned.owner.is_gone() {
            self.owners.remove(&vm);
        }
        if unreachable {
            self.handle_hypervisor_lost(now);
        }
        self.changed();
    }

    /// Something tells that the images can be fetched again: a member got connected.
    pub fn handle_member_connected(&mut self, now: Duration) {
        self.looks.handle_now(now);
        for owned in self.owners.values_mut() {
            owned.owner.handle_supply();
        }
        self.changed();
    }

    pub fn handle_timeout(&mut self, now: Duration) {
        self.looks.handle_now(now);
        let mut due = false;
        for owned in self.owners.values_mut() {
            if owned.owner.poll_timeout().is_some_and(|at| at <= now) {
                owned.owner.handle_timeout(now);
                due = true;
            }
        }
        if due {
            self.changed();
        }
    }

    /// The next thing to do; call it again until there is none.
    pub fn poll_action(&mut self) -> Option<Action> {
        for (vm, owned) in &mut self.owners {
            if let Some(restarts) = owned.owner.poll_count() {
                self.unwritten.restarts.insert(*vm, restarts);
            }
        }
        if self.writing.is_none() && !self.unwritten.is_empty() {
            let change = std::mem::take(&mut self.unwritten);
            self.writing = Some(change.clone());
            return Some(Action::Persist(change));
        }
        if self.health == HypervisorHealth::Ready {
            if let Some(action) = self.poll_owners() {
                return Some(action);
            }
            if self.owners.values().any(|owned| owned.owner.wants_look()) {
                self.looks.want();
            }
        }
        self.looks.poll().then_some(Action::Observe)
    }

    pub fn poll_timeout(&self) -> Option<Duration> {
        let owners = self.owners.values().filter_map(|owned| owned.owner.poll_timeout()).min();
        let look = self.looks.poll_timeout();
        [owners, look].into_iter().flatten().min()
    }

    /// All VMs of the desired set, or `None` as long as the hypervisor was never looked at: then
    /// nothing that could be said is known.
    pub fn report(&self) -> Option<Report> {
        let vms = self.owners.values().map(|owned| owned.owner.observed());
        self.looks
            .has_succeeded()
            .then(|| Report { generation: self.desired.generation, vms: vms.collect() })
    }

    /// Grows whenever [`Self::report`] may have changed.
    pub fn report_version(&self) -> u64 {
        self.version
    }

    /// The generation that is on disk and acted on.
    pub fn generation(&self) -> Generation {
        self.desired.generation
    }

    pub fn hypervisor(&self) -> HypervisorHealth {
        self.health
    }

    /// Every VM of the desired set with where it is.
    pub fn vms(&self) -> impl Iterator<Item = (&DesiredVm, State)> {
        self.owners.values().map(|owned| (&**owned.owner.desired(), owned.owner.state()))
    }

    /// VMs that run, as far as known: while the hypervisor is away, those that ran before.
    pub fn running(&self) -> usize {
        let runs = |owned: &&Owned| owned.owner.shown() == VmState::Running;
        self.owners.values().filter(runs).count()
    }

    pub fn owns(&self, vm: VmId) -> bool {
        self.owners.contains_key(&vm)
    }

    /// Digests of all files that a VM of this or the coming desired set needs.
    pub fn files_in_use(&self) -> Vec<Digest> {
        let owned = self.owners.values().map(|owned| &**owned.owner.desired());
        let incoming = self.incoming.iter().flat_map(|set| &set.vms);
        let mut digests: Vec<Digest> = owned
            .chain(incoming)
            .filter(|vm| vm.target != Target::Absent)
            .flat_map(|vm| vm.boot.files.iter().map(|file| file.digest))
            .collect();
        digests.sort_unstable();
        digests.dedup();
        digests
    }

    /// Acts on a set that is on disk.
    fn adopt(&mut self, desired: Arc<DesiredSet>, restarts: &BTreeMap<VmId, u32>) {
        for (id, owned) in &mut self.owners {
            if !has(&desired, *id) {
                owned.owner.handle_left();
            }
        }
        for vm in &desired.vms {
            let restarts = restarts.get(&vm.id).copied().unwrap_or(vm.restarts);
            let vm = Arc::new(vm.clone());
            match self.owners.get_mut(&vm.id) {
                Some(owned) => owned.owner.handle_desired(vm),
                None => {
                    let owned =
                        Owned { touched: self.looks.newest(), owner: Owner::new(vm, restarts) };
                    self.owners.insert(owned.owner.desired().id, owned);
                }
            }
        }
        self.owners.retain(|_, owned| !owned.owner.is_gone());
        self.desired = desired;
        self.changed();
    }

    fn poll_owners(&mut self) -> Option<Action> {
        for (vm, owned) in &mut self.owners {
            if owned.owner.poll_abandon() {
                return Some(Action::Abandon { vm: *vm });
            }
            if let Some(task) = owned.owner.poll_task() {
                owned.touched = self.looks.newest();
                self.version += 1;
                return Some(Action::Perform { vm: *vm, task });
            }
        }
        if self.is_stopping() {
            self.looks.want_within(LOOK_INTERVAL_STOPPING);
        }
        None
    }

    fn is_stopping(&self) -> bool {
        self.owners.values().any(|owned| owned.owner.state() == State::Stopping)
    }

    fn changed(&mut self) {
        self.version += 1;
    }
}

#[cfg(test)]
mod tests;
