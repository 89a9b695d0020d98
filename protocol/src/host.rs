//! What a hypervisor host has and how it is doing.

use std::fmt;

use bincode::{Decode, Encode};
use serde::{Deserialize, Serialize};

use crate::{ByteCount, Labels, Name, VcpuCount};

/// What a host offers to VMs. Reported by its agent at each connect and when it changes.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct HostInventory {
    pub name: Name,
    /// Of this agent: release, for people.
    pub agent_version: String,
    /// Driver and its version, such as `QEMU 7.2.0 via libvirt 9.0.0 (tcg)`.
    pub hypervisor: String,
    pub capacity: HostCapacity,
    pub labels: Labels,
}

/// What placement may hand out, after the host's own reserve.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct HostCapacity {
    /// Virtual CPUs, overcommit included.
    pub cpus: VcpuCount,
    pub memory: ByteCount,
    /// Of the file system that holds the VMs' disks.
    pub disk: ByteCount,
}

/// The small summary every heartbeat carries; placement needs no more of live data.
#[derive(Debug, Clone, Copy, Default, PartialEq, Encode, Decode, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct HostSummary {
    /// Busy share of all processors, 0 to 1000 per mille.
    pub cpu_busy_permille: u16,
    pub memory_used: ByteCount,
    pub disk_used: ByteCount,
    pub vms_running: u32,
}

/// Whether the hypervisor under the agent answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum HypervisorHealth {
    Ready,
    /// libvirtd is away; VMs run on, nothing can be changed.
    Unreachable,
}

/// What the control plane knows of a host's agent, in lifecycle order.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Encode, Decode, Serialize, Deserialize,
)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Connectivity {
    /// Joined; its agent has not connected yet.
    Joining,
    Connected,
    /// Its agent is not heard. Says nothing about its VMs.
    Disconnected,
    /// Fenced, or proven off by somebody. Never guessed from silence.
    Down,
}

impl Connectivity {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Joining => "joining",
            Self::Connected => "connected",
            Self::Disconnected => "disconnected",
            Self::Down => "down",
        }
    }
}

impl fmt::Display for Connectivity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
