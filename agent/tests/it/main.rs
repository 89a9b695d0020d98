//! The agent against a control plane of one member that the test plays: real sockets, real
//! certificates, real journal, libvirt's test hypervisor and the simulated one.

#![allow(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

mod agent;
mod images;
mod life;
mod member;
