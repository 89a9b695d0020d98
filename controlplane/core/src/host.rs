//! Hosts as the replicated state knows them.

use bincode::{Decode, Encode};
use novacron_protocol::host::{Connectivity, HostCapacity, HostInventory};
use novacron_protocol::vm::VmSpec;
use novacron_protocol::{
    ByteCount, Digest, Generation, HostId, LogIndex, Name, Timestamp, VcpuCount,
};

#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Host {
    pub id: HostId,
    pub name: Name,
    /// `None` until its agent first connects.
    pub inventory: Option<HostInventory>,
    pub connectivity: Connectivity,
    pub connectivity_since: Timestamp,
    /// Why nothing new is placed here; `None` when it takes VMs.
    pub cordon: Option<String>,
    /// Number of its desired set; grows with each change of a VM placed here.
    pub generation: Generation,
    /// The newest generation that its agent reported to have on disk.
    pub accepted: Generation,
    pub key: Digest,
    pub joined_at: Timestamp,
    pub changed: LogIndex,
    /// What the VMs placed here may use together. Kept by `apply`, never more than the capacity
    /// at the time of placement.
    pub allocated: Usage,
}

/// Resources that VMs take from a host.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Encode, Decode)]
pub struct Usage {
    pub vms: u32,
    pub cpus: VcpuCount,
    pub memory: ByteCount,
    pub disk: ByteCount,
}

impl Host {
    pub fn capacity(&self) -> HostCapacity {
        self.inventory.as_ref().map(|inventory| inventory.capacity).unwrap_or_default()
    }
}

impl Usage {
    /// What a VM of `spec` takes; `disk` is the size of its root disk.
    pub fn of(spec: &VmSpec, disk: ByteCount) -> Self {
        Self { vms: 1, cpus: spec.cpus, memory: spec.memory, disk }
    }

    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            vms: self.vms.saturating_add(other.vms),
            cpus: VcpuCount(self.cpus.0.saturating_add(other.cpus.0)),
            memory: self.memory + other.memory,
            disk: self.disk + other.disk,
        }
    }

    #[must_use]
    pub fn minus(self, other: Self) -> Self {
        Self {
            vms: self.vms.saturating_sub(other.vms),
            cpus: VcpuCount(self.cpus.0.saturating_sub(other.cpus.0)),
            memory: self.memory.saturating_sub(other.memory),
            disk: self.disk.saturating_sub(other.disk),
        }
    }
}
