//! The last hour of samples of a host or a VM.

use serde::{Deserialize, Serialize};

use crate::api::host::HostRef;
use crate::api::time::UtcTime;
use crate::api::vm::VmRef;
use crate::wire::telemetry::HostSample;

/// `GET /hosts/{host}/metrics`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct HostMetricsView {
    pub host: HostRef,
    /// Oldest first. Empty when no member has any.
    pub samples: Vec<HostPoint>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct HostPoint {
    pub at: UtcTime,
    #[serde(flatten)]
    pub sample: HostSample,
}

/// `GET /vms/{vm}/metrics`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct VmMetricsView {
    pub vm: VmRef,
    /// Oldest first. Empty when no member has any.
    pub samples: Vec<VmPoint>,
}

/// One sample of a VM. Rates are over the interval that ended at `at`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct VmPoint {
    pub at: UtcTime,
    /// Thousandths of one host processor; a busy 2-CPU VM has 2000.
    pub cpu_milli: u32,
    pub memory_bytes: u64,
    pub disk_read_bytes_per_s: u64,
    pub disk_write_bytes_per_s: u64,
    pub net_rx_bytes_per_s: u64,
    pub net_tx_bytes_per_s: u64,
}
