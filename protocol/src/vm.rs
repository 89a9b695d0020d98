//! What a VM should be and what it was last seen to be.

use std::fmt;

use bincode::{Decode, Encode};
use serde::{Deserialize, Serialize};

use crate::image::ImageBoot;
use crate::limits::{DISK_MAX, MEMORY_MAX, MEMORY_MIN, VCPUS_MAX, VCPUS_MIN};
use crate::{ByteCount, Generation, ImageId, Labels, Millis, Name, VcpuCount, VmId};

/// What the user asked for. Everything placement and the agent need, nothing about where it runs.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct VmSpec {
    pub cpus: VcpuCount,
    pub memory: ByteCount,
    pub image: ImageId,
    /// Size of the root disk as the guest sees it; `None` is the size of the image's disk. Must
    /// not be smaller than that. Ignored by an image without a disk.
    #[serde(default)]
    pub disk: Option<ByteCount>,
    /// What the VM itself is called by: for selection, and for spreading.
    #[serde(default)]
    pub labels: Labels,
    /// Labels that a host must carry to run this VM.
    #[serde(default)]
    pub host_labels: Labels,
}

/// A field of a spec that cannot be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpecError {
    pub field: &'static str,
    pub message: String,
}

impl VmSpec {
    /// Every field that is out of its bounds, not only the first.
    pub fn errors(&self) -> Vec<SpecError> {
        let mut errors = Vec::new();
        if !(VCPUS_MIN..=VCPUS_MAX).contains(&self.cpus.0) {
            let message = format!("must be {VCPUS_MIN} to {VCPUS_MAX}, not {}", self.cpus);
            errors.push(SpecError { field: "cpus", message });
        }
        if !(MEMORY_MIN..=MEMORY_MAX).contains(&self.memory) {
            let message = format!("must be {MEMORY_MIN} to {MEMORY_MAX}, not {}", self.memory);
            errors.push(SpecError { field: "memory", message });
        }
        if let Some(disk) = self.disk.filter(|disk| !(ByteCount(1)..=DISK_MAX).contains(disk)) {
            let message = format!("must be 1 B to {DISK_MAX}, not {disk}");
            errors.push(SpecError { field: "disk", message });
        }
        errors
    }
}

/// How a running VM is brought to a halt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum StopMode {
    /// ACPI power button first; force when the guest has not gone after [`STOP_GRACE`].
    Graceful,
    /// At once, as if the cord were pulled.
    Force,
}

/// How long a guest may take to answer the power button before it is forced off. Arbitrary: most
/// Linux guests need 2 to 5 s.
pub const STOP_GRACE: Millis = Millis(10_000);

/// What a VM should be doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Target {
    Running,
    Stopped,
    /// Gone, with its domain and disks.
    Absent,
}

/// What an agent saw a VM do, in lifecycle order.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode, Serialize, Deserialize,
)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum VmState {
    /// Nothing of it is on the host.
    Absent,
    /// Its image is being fetched or its disk and domain made.
    Preparing,
    Stopped,
    Running,
    Paused,
    /// Asked to stop and not gone yet.
    Stopping,
    /// The last step towards its target was refused; the reason says why. Tried again slowly.
    Failed,
}

impl VmState {
    pub const ALL: [Self; 7] = [
        Self::Absent,
        Self::Preparing,
        Self::Stopped,
        Self::Running,
        Self::Paused,
        Self::Stopping,
        Self::Failed,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Absent => "absent",
            Self::Preparing => "preparing",
            Self::Stopped => "stopped",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Stopping => "stopping",
            Self::Failed => "failed",
        }
    }
}

impl fmt::Display for VmState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl Target {
    pub const ALL: [Self; 3] = [Self::Running, Self::Stopped, Self::Absent];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Stopped => "stopped",
            Self::Absent => "absent",
        }
    }

    /// Whether a VM seen in `state` is what it should be.
    pub fn is_met_by(self, state: VmState) -> bool {
        matches!(
            (self, state),
            (Self::Running, VmState::Running)
                | (Self::Stopped, VmState::Stopped)
                | (Self::Absent, VmState::Absent)
        )
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// One VM of a host's desired set.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct DesiredVm {
    pub id: VmId,
    pub name: Name,
    /// Generation of the host's set at which this entry last changed. What the agent reports of
    /// the VM names the revision it acted on, so that an old failure is not taken for a new one.
    pub revision: Generation,
    pub target: Target,
    pub stop_mode: StopMode,
    /// Grows by one with each restart asked for; the agent restarts when it is above what it did.
    pub restarts: u32,
    pub spec: VmSpec,
    pub boot: ImageBoot,
}

/// Everything one host should have. Always the whole set; an id that is missing is not ours to
/// touch, removal is asked for with [`Target::Absent`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Encode, Decode)]
pub struct DesiredSet {
    pub generation: Generation,
    /// Sorted by id.
    pub vms: Vec<DesiredVm>,
}

/// One VM as its agent saw it.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct ObservedVm {
    pub id: VmId,
    /// The [`DesiredVm::revision`] that `state` is the answer to.
    pub revision: Generation,
    pub state: VmState,
    /// [`DesiredVm::restarts`] as far as they were done.
    pub restarts: u32,
    /// Why it is `Failed` or still `Preparing`; empty otherwise. At most `TEXT_LEN_MAX` bytes.
    pub reason: String,
}
