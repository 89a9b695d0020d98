//! Placeholder.
pub mod files;
pub mod hypervisor;
pub mod images;
pub mod journal;
#[cfg(test)]
mod testing;
pub mod vm_files;
