//! Operations: long-running requests, each of which ends.

use std::fmt;

use bincode::{Decode, Encode};
use novacron_protocol::{ImageId, LogIndex, Millis, OperationId, Timestamp, VmId};

use crate::command::Actor;

/// How long an operation may stay open before it is failed with the reason it is stuck for. The
/// desired state it set stays; only the waiting ends. Long enough to fetch a 2 GiB image over
/// 20 Mbit/s.
pub const OPERATION_LIFE: Millis = Millis(15 * 60 * 1000);

#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Operation {
    pub id: OperationId,
    pub kind: OperationKind,
    pub subject: Subject,
    pub actor: Actor,
    pub status: OperationStatus,
    pub created_at: Timestamp,
    pub deadline: Timestamp,
    pub finished_at: Option<Timestamp>,
    pub changed: LogIndex,
}

/// What an operation is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub enum Subject {
    Vm(VmId),
    Image(ImageId),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub enum OperationKind {
    CreateVm,
    StartVm,
    StopVm,
    RestartVm,
    DeleteVm,
    ImportImage,
}

/// How an operation is doing, in lifecycle order.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum OperationStatus {
    Running,
    Done,
    Failed { reason: String },
    Cancelled { reason: String },
}

impl Operation {
    pub fn is_open(&self) -> bool {
        self.status == OperationStatus::Running
    }
}

impl OperationKind {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::CreateVm => "create-vm",
            Self::StartVm => "start-vm",
            Self::StopVm => "stop-vm",
            Self::RestartVm => "restart-vm",
            Self::DeleteVm => "delete-vm",
            Self::ImportImage => "import-image",
        }
    }
}

impl fmt::Display for OperationKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl OperationStatus {
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed { .. } => "failed",
            Self::Cancelled { .. } => "cancelled",
        }
    }

    /// Why it failed or was cancelled.
    pub fn reason(&self) -> Option<&str> {
        match self {
            Self::Running | Self::Done => None,
            Self::Failed { reason } | Self::Cancelled { reason } => Some(reason),
        }
    }
}
