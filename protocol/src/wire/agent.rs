//! Between an agent and the members, after the hello.

use bincode::{Decode, Encode};

use crate::codec::{self, CodecError};
use crate::host::{HostInventory, HostSummary, HypervisorHealth};
use crate::limits::{FRAME_BYTES_MAX, TEXT_LEN_MAX, VMS_PER_HOST_MAX};
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
    /// Class `telemetry`, from version 2 on: a batch as differences to those before it on the same
    /// session. Its form is that of `novacron-hde`'s `telemetry`.
    CodedTelemetry(Vec<u8>),
}

/// Words of an agent that it must not say.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FromAgentError {
    #[error(transparent)]
    Codec(#[from] CodecError),
    #[error("a report of {0} VMs; a host has at most {VMS_PER_HOST_MAX}")]
    TooManyVms(usize),
    #[error("a report that is not sorted, or names a VM twice")]
    Unsorted,
    #[error("a text of {0} bytes; at most {TEXT_LEN_MAX} are kept")]
    TextTooLong(usize),
}

impl FromAgent {
    /// Reads and checks a frame: what passes can be kept in the replicated state as it is.
    pub fn open(bytes: &[u8]) -> Result<Self, FromAgentError> {
        let message: Self = codec::decode(bytes, FRAME_BYTES_MAX)?;
        match &message {
            Self::Heartbeat(_) | Self::Telemetry(_) | Self::CodedTelemetry(_) => {}
            Self::Inventory(inventory) => {
                check_text(&inventory.agent_version)?;
                check_text(&inventory.hypervisor)?;
            }
            Self::Report(report) => report.check()?,
        }
        Ok(message)
    }
}

impl Report {
    fn check(&self) -> Result<(), FromAgentError> {
        if self.vms.len() > VMS_PER_HOST_MAX {
            return Err(FromAgentError::TooManyVms(self.vms.len()));
        }
        if !self.vms.is_sorted_by(|a, b| a.id < b.id) {
            return Err(FromAgentError::Unsorted);
        }
        self.vms.iter().try_for_each(|vm| check_text(&vm.reason))
    }
}

fn check_text(text: &str) -> Result<(), FromAgentError> {
    if text.len() <= TEXT_LEN_MAX { Ok(()) } else { Err(FromAgentError::TextTooLong(text.len())) }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::VmId;
    use crate::vm::VmState;
    use uuid::Uuid;

    fn report(vms: impl IntoIterator<Item = (u128, usize)>) -> Result<FromAgent, FromAgentError> {
        let seen = |(id, reason): (u128, usize)| ObservedVm {
            id: VmId::from_uuid(Uuid::from_u128(id)),
            revision: Generation(1),
            state: VmState::Failed,
            restarts: 0,
            reason: "x".repeat(reason),
        };
        let report = Report { generation: Generation(1), vms: vms.into_iter().map(seen).collect() };
        FromAgent::open(&codec::encode(&FromAgent::Report(report)).unwrap())
    }

    #[test]
    fn a_report_is_sorted_unique_and_bounded() {
        assert!(report([(1, 0), (2, TEXT_LEN_MAX)]).is_ok());
        assert_eq!(report([(2, 0), (1, 0)]), Err(FromAgentError::Unsorted));
        assert_eq!(report([(1, 0), (1, 0)]), Err(FromAgentError::Unsorted));
        let long = TEXT_LEN_MAX + 1;
        assert_eq!(report([(1, long)]), Err(FromAgentError::TextTooLong(long)));
        let many = VMS_PER_HOST_MAX + 1;
        let all = report((0..many as u128).map(|id| (id, 0)));
        assert_eq!(all, Err(FromAgentError::TooManyVms(many)));
    }
}
