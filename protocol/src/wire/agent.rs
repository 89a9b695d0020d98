//! Between an agent and the members, after the hello.

use bincode::{Decode, Encode};

use crate::host::{HostInventory, HostSummary, HypervisorHealth};
use crate::vm::{DesiredSet, ObservedVm};
use crate::wire::join::MemberAddress;
use crate::wire::telemetry::Batch;
use crate::{Generation, MemberId, Term};

/// From an agent to a member.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub enum FromAgent {
    /// Class `lease`, every heartbeat interval, to the leader.
    Heartbeat(Heartbeat),
    /// Class `command`: after connecting to a new leader, and when it changed.
    Inventory(HostInventory),
    /// Class `command`: after connecting to a new leader, and when it changed. Always the whole.
    Report(Report),
    /// Class `telemetry`.
    Telemetry(Batch),
}

#[derive(Debug, Clone, Copy, PartialEq, Encode, Decode)]
pub struct Heartbeat {
    /// The generation that the agent has on disk.
    pub generation: Generation,
    pub hypervisor: HypervisorHealth,
    pub summary: HostSummary,
}

/// All VMs of the desired set as the agent sees them.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Report {
    /// The generation that the agent has on disk and acts on.
    pub generation: Generation,
    /// Sorted by id.
    pub vms: Vec<ObservedVm>,
}

/// From a member to an agent.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum ToAgent {
    /// Class `command`: who leads, as far as the sender knows; sent at connect and on change.
    Leadership { term: Term, leader: Option<MemberId> },
    /// Class `command`: the members to keep connections to; sent at connect and on change.
    Members(Vec<MemberAddress>),
    /// Class `command`, from the leader: what this host should have.
    Desired(DesiredSet),
}
