//! Samples of hosts and VMs, as columns.

use bincode::{Decode, Encode};
use serde::{Deserialize, Serialize};

use crate::{Timestamp, VmId};

/// The samples of one interval. Rates are over that interval.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub struct Batch {
    pub at: Timestamp,
    pub host: HostSample,
    /// Sorted by id.
    pub vms: Vec<VmSample>,
}

/// One sample of a host.
#[derive(Debug, Clone, Copy, Default, PartialEq, Encode, Decode, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct HostSample {
    pub cpu_busy_permille: u16,
    pub load1_milli: u32,
    pub memory_used_bytes: u64,
    pub memory_total_bytes: u64,
    pub disk_used_bytes: u64,
    pub disk_total_bytes: u64,
    pub net_rx_bytes_per_s: u64,
    pub net_tx_bytes_per_s: u64,
}

/// One sample of a VM.
#[derive(Debug, Clone, Copy, PartialEq, Encode, Decode)]
pub struct VmSample {
    pub vm: VmId,
    /// Thousandths of one host processor; a busy 2-CPU VM has 2000.
    pub cpu_milli: u32,
    pub memory_bytes: u64,
    pub disk_read_bytes_per_s: u64,
    pub disk_write_bytes_per_s: u64,
    pub net_rx_bytes_per_s: u64,
    pub net_tx_bytes_per_s: u64,
}

/// What one member holds of one host, oldest first.
#[derive(Debug, Clone, Default, PartialEq, Encode, Decode)]
pub struct HostMetrics {
    pub batches: Vec<Batch>,
}
