//! Hypervisor hosts.

use serde::{Deserialize, Serialize};

use crate::api::time::UtcTime;
use crate::host::Connectivity;
use crate::{ByteCount, HostId, Labels, LogIndex, Name, VcpuCount};

/// A host by id and name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct HostRef {
    pub id: HostId,
    pub name: Name,
}

/// `POST /hosts/{host}/cordon`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CordonHost {
    /// Why, for people; 1 to 1,024 bytes without control characters.
    pub reason: String,
}

/// Amounts of what VMs use of a host.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Resources {
    /// Virtual CPUs.
    pub cpus: VcpuCount,
    pub memory: ByteCount,
    pub disk: ByteCount,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct HostView {
    pub id: HostId,
    pub name: Name,
    pub connectivity: Connectivity,
    pub connectivity_since: UtcTime,
    /// Why nothing new is placed here; `null` when it takes VMs.
    pub cordon: Option<String>,
    /// `null` until its agent first connects, as are the next two.
    pub agent_version: Option<String>,
    pub hypervisor: Option<String>,
    /// What placement may hand out.
    pub capacity: Option<Resources>,
    /// What the VMs placed here may use together.
    pub allocated: Resources,
    pub free: Resources,
    pub labels: Labels,
    /// VMs placed here.
    pub vms: u32,
    pub joined_at: UtcTime,
    /// The log index of its last change; also the header `ETag`, in quotes.
    pub etag: LogIndex,
}
