//! What runs VMs: one trait, two drivers.
//!
//! A driver is chosen by URI: `sim://` is [`simulated`], all others are [`libvirt`]. All calls
//! block, and are made from the threads of the [`pool`](crate::pool). A driver keeps no opinion of
//! what should be; it looks, and does what it is told to one domain.

pub mod domain_xml;
pub mod libvirt;
pub mod simulated;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use novacron_agent_core::telemetry::VmCounters;
use novacron_agent_core::{Domain, Outcome};
use novacron_protocol::{ByteCount, Generation, Name, VcpuCount, VmId};
use serde::Deserialize;

pub use libvirt::Libvirt;
pub use simulated::Simulated;

/// A hypervisor on this host.
pub trait Hypervisor: Send + Sync + fmt::Debug {
    /// What the host has and what runs it.
    fn about(&self) -> Result<About, HypervisorError>;

    /// All domains, those of others included, in one call.
    fn domains(&self) -> Result<Vec<Domain>, HypervisorError>;

    /// What all domains that are on have used, in one call.
    fn counters(&self) -> Result<BTreeMap<VmId, VmCounters>, HypervisorError>;

    /// Defines a domain, or defines it anew. A running one changes at its next start.
    fn define(&self, spec: &DomainSpec) -> Result<(), HypervisorError>;

    /// Starts a domain; one that is on already is no error.
    fn start(&self, vm: VmId) -> Result<(), HypervisorError>;

    /// Presses the guest's power button.
    fn shutdown(&self, vm: VmId) -> Result<(), HypervisorError>;

    /// Forces a domain off; one that is off already is no error.
    fn destroy(&self, vm: VmId) -> Result<(), HypervisorError>;

    /// Removes a domain that is off; one that is not there is no error.
    fn undefine(&self, vm: VmId) -> Result<(), HypervisorError>;

    /// A call hangs and was given up; those to come must not meet what it hangs on.
    fn handle_hang(&self) {}

    /// Whether domains boot from files, which must be there before they are defined.
    fn needs_images(&self) -> bool;
}

/// What a hypervisor says about itself and its host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct About {
    /// For people: `QEMU 7.2.0 via libvirt 9.0.0 (tcg)`.
    pub description: String,
    pub cpus: VcpuCount,
    pub memory: ByteCount,
    /// `None`: as much as the file system with the VMs' disks has.
    pub disk: Option<ByteCount>,
}

/// All that a domain is made from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DomainSpec {
    pub vm: VmId,
    pub name: Name,
    pub revision: Generation,
    pub cpus: VcpuCount,
    pub memory: ByteCount,
    pub kernel: Option<KernelBoot>,
    /// The VM's own qcow2 disk.
    pub disk: Option<PathBuf>,
    /// Where the serial console is written to; `None` has no console.
    pub console_log: Option<PathBuf>,
}

impl DomainSpec {
    /// A domain that only finds out whether guests run: its firmware finds nothing to boot.
    pub(crate) fn probe(vm: VmId) -> Self {
        let name: Name = format!("novacron-probe-{vm}").parse().expect("55 characters of an id");
        Self {
            vm,
            name,
            revision: Generation(0),
            cpus: VcpuCount(1),
            memory: ByteCount::mib(32),
            kernel: None,
            disk: None,
            console_log: None,
        }
    }
}

/// A Linux kernel that is booted without a boot loader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KernelBoot {
    pub kernel: PathBuf,
    pub initrd: Option<PathBuf>,
    pub cmdline: String,
}

/// Why a hypervisor did not do what it was told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HypervisorError {
    /// It does not answer. Look again later; whether the call had an effect is not known.
    #[error("the hypervisor does not answer: {0}")]
    Unreachable(String),
    /// It has no such domain.
    #[error("the hypervisor has no such domain")]
    NotFound,
    /// It is busy with that domain. Try again.
    #[error("the hypervisor is busy: {0}")]
    Busy(String),
    /// It cannot do that.
    #[error("{0}")]
    Refused(String),
}

/// Something that a hypervisor tells unasked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HypervisorEvent {
    /// A domain came, went, or changed what it does.
    Domain(VmId),
    /// The connection to the hypervisor is gone.
    Lost,
}

/// Where a driver's events go; called from its own threads, never blocks.
pub type EventSink = Arc<dyn Fn(HypervisorEvent) + Send + Sync>;

/// Which way of running guests is asked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Acceleration {
    /// KVM where it really works, else TCG.
    #[default]
    Auto,
    Kvm,
    Tcg,
}

/// Opens the hypervisor at `uri`. One that does not answer is no error here: it may come.
pub fn open(
    uri: &str,
    acceleration: Acceleration,
    data_dir: &Path,
    sink: EventSink,
) -> Result<Arc<dyn Hypervisor>, HypervisorError> {
    if uri.starts_with(simulated::SCHEME) {
        return Ok(Arc::new(Simulated::open(uri, data_dir, sink)?));
    }
    Ok(Arc::new(Libvirt::new(uri, acceleration, sink)))
}

impl HypervisorError {
    /// How a task that met this error ended.
    pub fn into_outcome(self) -> Outcome {
        match self {
            Self::Unreachable(_) => Outcome::Unreachable,
            Self::NotFound => Outcome::NotFound,
            Self::Busy(reason) => Outcome::Unavailable(reason),
            Self::Refused(reason) => Outcome::Refused(reason),
        }
    }
}

#[cfg(test)]
pub(crate) mod testing;
