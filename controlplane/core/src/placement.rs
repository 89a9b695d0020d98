//! Which host a VM goes to, and why.
//!
//! First feasibility: every reason against a host is named, not only the first. Then a score of a
//! few parts in thousandths, each of which reads like a sentence. All in integers, so that every
//! member computes the same. `choose` and `explain` share all of it: an explanation can never
//! differ from the decision.

use std::cmp::Reverse;
use std::fmt;

use novacron_protocol::host::Connectivity;
use novacron_protocol::limits::VMS_PER_HOST_MAX;
use novacron_protocol::{ByteCount, HostId, VcpuCount};

use crate::host::{Host, Usage};
use crate::state::State;
use crate::vm::Vm;

/// A reason why a host cannot take a VM.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Against {
    NotConnected(Connectivity),
    Cordoned(String),
    NoInventory,
    LabelMissing { key: String, value: String },
    Cpus { wanted: VcpuCount, free: VcpuCount },
    Memory { wanted: ByteCount, free: ByteCount },
    Disk { wanted: ByteCount, free: ByteCount },
    Full,
}

/// One reason for a host, worth `weight` x `permille`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    pub name: &'static str,
    pub permille: u32,
    pub weight: u32,
    /// The part as a clause for people.
    pub text: String,
}

/// How well a host suits a VM; more is better.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Score {
    /// Weighted mean of the parts, 0 to 1000.
    pub permille: u32,
    pub parts: Vec<Part>,
}

/// What is to be said of one host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    Feasible(Score),
    Infeasible(Vec<Against>),
}

/// What is to be said of all hosts for one VM, the best first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Explanation {
    /// Where the VM is; `None` while it waits.
    pub placed_on: Option<HostId>,
    pub hosts: Vec<(HostId, Verdict)>,
}

const WEIGHT_MEMORY: u32 = 3;
const WEIGHT_CPUS: u32 = 2;
const WEIGHT_DISK: u32 = 1;
/// Siblings apart counts most: losing one host should not lose a whole service.
const WEIGHT_SPREAD: u32 = 4;

/// Every reason why `host` cannot take `vm` now.
pub fn reasons_against(vm: &Vm, host: &Host) -> Vec<Against> {
    reasons_with(vm, host, host.allocated)
}

/// The best host for `vm`, or `None` when no host can take it. Ties go to the lowest id.
pub fn choose(state: &State, vm: &Vm) -> Option<HostId> {
    let feasible = state.hosts().filter(|host| reasons_against(vm, host).is_empty());
    let scored = feasible.map(|host| (score(state, vm, host, host.allocated).permille, host.id));
    scored.max_by_key(|(permille, id)| (*permille, Reverse(*id))).map(|(_, id)| id)
}

/// Reasons for and against each host, as they are now. The VM's own share of its host is set
/// aside, so that a placed VM is judged as if it were to be placed again.
pub fn explain(state: &State, vm: &Vm) -> Explanation {
    let verdict = |host: &Host| {
        let used = match vm.host == Some(host.id) {
            true => host.allocated.minus(vm.usage()),
            false => host.allocated,
        };
        let against = reasons_with(vm, host, used);
        match against.is_empty() {
            true => Verdict::Feasible(score(state, vm, host, used)),
            false => Verdict::Infeasible(against),
        }
    };
    let mut hosts: Vec<_> = state.hosts().map(|host| (host.id, verdict(host))).collect();
    hosts.sort_by_key(|(id, verdict)| {
        let permille = match verdict {
            Verdict::Feasible(score) => Some(score.permille),
            Verdict::Infeasible(_) => None,
        };
        (Reverse(permille), *id)
    });
    Explanation { placed_on: vm.host, hosts }
}

fn reasons_with(vm: &Vm, host: &Host, used: Usage) -> Vec<Against> {
    let mut against = Vec::new();
    if host.connectivity != Connectivity::Connected {
        against.push(Against::NotConnected(host.connectivity));
    }
    if let Some(reason) = &host.cordon {
        against.push(Against::Cordoned(reason.clone()));
    }
    let Some(inventory) = &host.inventory else {
        against.push(Against::NoInventory);
        return against;
    };
    if let Some((key, value)) = vm.spec.host_labels.first_missing_in(&inventory.labels) {
        against.push(Against::LabelMissing { key: key.to_owned(), value: value.to_owned() });
    }
    let (capacity, wanted) = (inventory.capacity, vm.usage());
    let free = VcpuCount(capacity.cpus.0.saturating_sub(used.cpus.0));
    if wanted.cpus > free {
        against.push(Against::Cpus { wanted: wanted.cpus, free });
    }
    let free = capacity.memory.saturating_sub(used.memory);
    if wanted.memory > free {
        against.push(Against::Memory { wanted: wanted.memory, free });
    }
    let free = capacity.disk.saturating_sub(used.disk);
    if wanted.disk > free {
        against.push(Against::Disk { wanted: wanted.disk, free });
    }
    if used.vms as usize >= VMS_PER_HOST_MAX {
        against.push(Against::Full);
    }
    against
}

fn score(state: &State, vm: &Vm, host: &Host, used: Usage) -> Score {
    let (capacity, after) = (host.capacity(), used.plus(vm.usage()));
    let left = |after: u64, capacity: u64| {
        let left = u128::from(capacity.saturating_sub(after)) * 1000;
        u32::try_from(left.checked_div(u128::from(capacity)).unwrap_or(0)).unwrap_or(1000)
    };
    let headroom = |name, weight, permille: u32| Part {
        name,
        permille,
        weight,
        text: format!("{}.{} % of its {name} stays free", permille / 10, permille % 10),
    };
    let siblings = state.siblings_on(vm, host.id);
    let parts = vec![
        headroom("memory", WEIGHT_MEMORY, left(after.memory.0, capacity.memory.0)),
        headroom("cpus", WEIGHT_CPUS, left(after.cpus.0.into(), capacity.cpus.0.into())),
        headroom("disk", WEIGHT_DISK, left(after.disk.0, capacity.disk.0)),
        Part {
            name: "spread",
            permille: 1000 / (1 + siblings),
            weight: WEIGHT_SPREAD,
            text: match siblings {
                0 => "none of its siblings is here".to_owned(),
                1 => "1 of its siblings is here".to_owned(),
                count => format!("{count} of its siblings are here"),
            },
        },
    ];
    let weight: u32 = parts.iter().map(|part| part.weight).sum();
    let total: u32 = parts.iter().map(|part| part.weight * part.permille).sum();
    Score { permille: total / weight, parts }
}

impl fmt::Display for Against {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotConnected(connectivity) => write!(f, "its agent is {connectivity}"),
            Self::Cordoned(reason) => write!(f, "it is cordoned: {reason}"),
            Self::NoInventory => f.write_str("its agent has not said what it has"),
            Self::LabelMissing { key, value } => write!(f, "it lacks the label {key}={value}"),
            Self::Cpus { wanted, free } => write!(f, "{wanted} CPUs wanted, {free} free"),
            Self::Memory { wanted, free } => write!(f, "{wanted} memory wanted, {free} free"),
            Self::Disk { wanted, free } => write!(f, "{wanted} disk wanted, {free} free"),
            Self::Full => write!(f, "it has {VMS_PER_HOST_MAX} VMs, as many as a host may"),
        }
    }
}
