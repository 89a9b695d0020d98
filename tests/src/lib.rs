//! The laboratory, and what stands on it: the demo and the end-to-end tests.
//!
//! Real processes, real sockets, real libvirt and QEMU, each host in network and mount namespaces
//! of its own on one machine. Nothing here is linked into a product binary.

pub mod chaos;
pub mod demo;
pub mod lab;
pub mod tidy;
pub mod wait;
