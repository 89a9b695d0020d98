//! Virtual machines.

use serde::{Deserialize, Serialize};

use crate::api::host::HostRef;
use crate::api::operation::{OperationRef, OperationView};
use crate::api::time::UtcTime;
use crate::vm::{StopMode, Target, VmSpec, VmState};
use crate::{LogIndex, Name, VmId};

/// `POST /vms`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CreateVm {
    pub name: Name,
    pub spec: VmSpec,
    /// Whether it is started once it is placed.
    #[serde(default)]
    pub start: StartChoice,
}

/// Whether a new VM is started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum StartChoice {
    #[default]
    Start,
    LeaveStopped,
}

/// `POST /vms/{vm}/stop` and `/restart`; an empty body is the default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct StopVm {
    #[serde(default = "graceful")]
    pub mode: StopMode,
}

impl Default for StopVm {
    fn default() -> Self {
        Self { mode: graceful() }
    }
}

const fn graceful() -> StopMode {
    StopMode::Graceful
}

/// A VM by id and name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct VmRef {
    pub id: VmId,
    pub name: Name,
}

/// A VM: what it should be, where, and what was last seen of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct VmView {
    pub id: VmId,
    pub name: Name,
    pub spec: VmSpec,
    pub target: Target,
    /// Where it is placed; `null` while it waits for a host.
    pub host: Option<HostRef>,
    pub observed: ObservedView,
    /// All of the above in one word, for tables.
    pub state: VmStatus,
    /// The open operation on it, if any.
    pub operation: Option<OperationRef>,
    pub created_at: UtcTime,
    /// The log index of its last change; also the header `ETag`, in quotes.
    pub etag: LogIndex,
}

/// What is known of a VM now. Never a guess: silence makes it unknown, not stopped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum ObservedView {
    /// Not placed, or its host has not spoken of it yet.
    Absent,
    Known {
        state: VmState,
        at: UtcTime,
        /// Why it is failed or still preparing.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// Its host is not heard since then; it was last seen in `last`.
    Unknown { since: UtcTime, last: Option<VmState> },
}

/// A VM in one word, in lifecycle order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum VmStatus {
    /// Waits for a host that can take it.
    Pending,
    /// Given to a host that has not begun yet.
    Placed,
    Preparing,
    Stopped,
    Running,
    Paused,
    Stopping,
    /// Its last step was refused; the observed reason says why.
    Failed,
    Deleting,
    /// Its host is not heard.
    Unknown,
}

impl VmStatus {
    pub const ALL: [Self; 10] = [
        Self::Pending,
        Self::Placed,
        Self::Preparing,
        Self::Stopped,
        Self::Running,
        Self::Paused,
        Self::Stopping,
        Self::Failed,
        Self::Deleting,
        Self::Unknown,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Placed => "placed",
            Self::Preparing => "preparing",
            Self::Stopped => "stopped",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Stopping => "stopping",
            Self::Failed => "failed",
            Self::Deleting => "deleting",
            Self::Unknown => "unknown",
        }
    }
}

impl std::fmt::Display for VmStatus {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}

/// `202` to a change of a VM: it is under way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct VmAccepted {
    pub operation: OperationView,
    /// `null` when it is gone already.
    pub vm: Option<VmView>,
}

/// `200` to `POST /vms?dry_run=true`: what would happen now. Nothing changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct VmDryRun {
    /// Where it would go; `null` when it would wait for a host.
    pub host: Option<HostRef>,
    pub explanation: Explanation,
}

/// Why a VM is where it is: reasons for and against each host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Explanation {
    /// Where the VM is; `null` while it waits.
    pub placed_on: Option<HostRef>,
    /// The whole in a sentence.
    pub summary: String,
    /// Best host first; at most `limit` of them.
    pub hosts: Vec<HostVerdict>,
    /// Hosts that could take it and hosts that could not, all counted.
    pub feasible: u32,
    pub infeasible: u32,
}

/// What is to be said of one host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct HostVerdict {
    pub host: HostRef,
    /// How well it suits, 0 to 1000; `null` when it cannot take the VM.
    pub score: Option<u32>,
    /// The verdict as a sentence.
    pub sentence: String,
    /// What the score is made of; empty when it cannot take the VM.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parts: Vec<ScorePart>,
    /// Every reason why it cannot take the VM.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub against: Vec<String>,
}

/// One reason for a host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ScorePart {
    pub name: String,
    /// 0 to 1000.
    pub permille: u32,
    pub weight: u32,
    pub text: String,
}
