//! Placeholder.
pub mod files;
pub mod hypervisor;
