//! The leader's loops: from what agents say and what the state wants, to commands.
//!
//! Level-triggered and idempotent: [`Fleet::reconcile`] looks at the whole difference each time,
//! so a command that got lost is simply proposed again, and one too many changes nothing. The
//! shell proposes what it returns, waits until that is applied or given up, and calls again.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use novacron_protocol::host::HostInventory;
use novacron_protocol::vm::ObservedVm;
use novacron_protocol::wire::agent::Report;
use novacron_protocol::{HostId, OperationId, Timestamp};

use crate::command::Command;
use crate::liveness::Liveness;
use crate::placement;
use crate::state::State;
use crate::vm::Vm;

/// VMs in one `Observe` command: with the longest of reasons, 1,024 bytes, they stay below the
/// command limit.
const OBSERVATIONS_PER_COMMAND: usize = 200;
/// Placements proposed in one round; the rest wait for the next, so that a burst of creates does
/// not hold up the reports of hosts.
const PLACEMENTS_PER_ROUND: usize = 256;
/// Operations expired by one command.
const EXPIRIES_PER_COMMAND: usize = 1_000;

/// What the leader has heard since it leads.
#[derive(Debug)]
pub struct Fleet {
    liveness: Liveness,
    inventories: BTreeMap<HostId, HostInventory>,
    reports: BTreeMap<HostId, Report>,
    /// Hosts whose report may say something that the state does not know.
    unsettled: BTreeSet<HostId>,
}

impl Fleet {
    /// A new leader's fleet; nothing is heard yet.
    pub fn new(now: Duration, silence_max: Duration) -> Self {
        Self {
            liveness: Liveness::new(now, silence_max),
            inventories: BTreeMap::new(),
            reports: BTreeMap::new(),
            unsettled: BTreeSet::new(),
        }
    }

    pub fn handle_heartbeat(&mut self, now: Duration, host: HostId) {
        self.liveness.handle_heard(now, host);
    }

    pub fn handle_inventory(&mut self, now: Duration, host: HostId, inventory: HostInventory) {
        self.liveness.handle_heard(now, host);
        self.inventories.insert(host, inventory);
    }

    pub fn handle_report(&mut self, now: Duration, host: HostId, report: Report) {
        self.liveness.handle_heard(now, host);
        self.reports.insert(host, report);
        self.unsettled.insert(host);
    }

    /// Everything that should be proposed now. `at` is the wall clock, for deadlines of operations.
    pub fn reconcile(&mut self, now: Duration, at: Timestamp, state: &State) -> Vec<Command> {
        self.forget_removed(state);
        let mut commands = self.new_inventories(state);
        let changes = self.liveness.poll_changes(now, state);
        if !changes.is_empty() {
            commands.push(Command::SetConnectivity { hosts: changes });
        }
        commands.extend(self.new_observations(state));
        commands.extend(placements(state));
        commands.extend(expiries(state, at));
        commands
    }

    /// When `reconcile` has something to do although nothing is heard and nothing changes.
    pub fn poll_timeout(&self, state: &State) -> Option<Duration> {
        self.liveness.poll_timeout(state)
    }

    fn forget_removed(&mut self, state: &State) {
        let known = |id: &HostId| state.host(*id).is_some();
        self.liveness.retain_known(state);
        self.inventories.retain(|id, _| known(id));
        self.reports.retain(|id, _| known(id));
        self.unsettled.retain(known);
    }

    fn new_inventories(&self, state: &State) -> Vec<Command> {
        let differs = |host: &HostId, inventory: &HostInventory| {
            state.host(*host).is_some_and(|known| known.inventory.as_ref() != Some(inventory))
        };
        self.inventories
            .iter()
            .filter(|(host, inventory)| differs(host, inventory))
            .map(|(host, inventory)| Command::SetInventory {
                host: *host,
                inventory: inventory.clone(),
            })
            .collect()
    }

    fn new_observations(&mut self, state: &State) -> Vec<Command> {
        let mut commands = Vec::new();
        let mut settled = Vec::new();
        for id in &self.unsettled {
            let (Some(report), Some(host)) = (self.reports.get(id), state.host(*id)) else {
                continue;
            };
            let news: Vec<ObservedVm> =
                report.vms.iter().filter(|seen| is_news(state, *id, seen)).cloned().collect();
            if news.is_empty() && report.generation <= host.accepted {
                settled.push(*id);
                continue;
            }
            let mut chunks: Vec<Vec<ObservedVm>> =
                news.chunks(OBSERVATIONS_PER_COMMAND).map(<[ObservedVm]>::to_vec).collect();
            if chunks.is_empty() {
                chunks.push(Vec::new());
            }
            let generation = report.generation;
            let observe = |vms| Command::Observe { host: *id, generation, vms };
            commands.extend(chunks.into_iter().map(observe));
        }
        for id in settled {
            self.unsettled.remove(&id);
        }
        commands
    }
}

/// Whether a report says something of a VM that the state does not know. A VM that is gone, or
/// placed elsewhere, is no news.
fn is_news(state: &State, host: HostId, report: &ObservedVm) -> bool {
    let Some(vm) = state.vm(report.id).filter(|vm| vm.host == Some(host)) else { return false };
    match &vm.seen {
        None => true,
        Some(seen) if report.revision < seen.revision => false,
        Some(seen) => {
            seen.state != report.state
                || seen.revision != report.revision
                || seen.restarts != report.restarts
                || seen.reason != report.reason
        }
    }
}

/// A host for each VM that waits and can have one. Each choice counts for the next.
fn placements(state: &State) -> Vec<Command> {
    let mut plan = state.clone();
    let place = |vm: &Vm| {
        let host = placement::choose(&plan, vm)?;
        plan.assume_placed(vm.id, host);
        Some(Command::Place { vm: vm.id, host })
    };
    state.unplaced().filter_map(place).take(PLACEMENTS_PER_ROUND).collect()
}

fn expiries(state: &State, at: Timestamp) -> Option<Command> {
    let late = state.open_operations().filter(|operation| operation.deadline <= at);
    let operations: Vec<OperationId> =
        late.map(|operation| operation.id).take(EXPIRIES_PER_COMMAND).collect();
    (!operations.is_empty()).then_some(Command::ExpireOperations { operations })
}
