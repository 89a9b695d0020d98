//! The host daemon: keeps this host's VMs as the control plane wants them.
//!
//! | module | noun |
//! |---|---|
//! | [`config`] | `agent.toml` |
//! | [`join`] | how a machine becomes a host |
//! | [`runtime`] | the event loop, which owns the core and hands out its actions |
//! | [`journal`] | desired set and restart counts, on disk |
//! | [`hypervisor`] | what runs VMs: libvirt, or a simulation |
//! | [`pool`] | the threads that wait for it |
//! | [`images`] | files of images, by digest |
//! | [`vm_files`] | what a VM has on disk |
//! | [`uplink`] | links to the members |
//! | [`members`] | where the members are |
//! | [`metrics`] | what the host does |
//!
//! What to do is decided in `novacron-agent-core`, which does no I/O; this crate does the I/O and
//! decides nothing.

pub mod config;
pub mod files;
pub mod hypervisor;
pub mod images;
pub mod join;
pub mod journal;
pub mod members;
pub mod metrics;
pub mod pool;
pub mod runtime;
pub mod uplink;
pub mod vm_files;

#[cfg(test)]
mod testing;
