//! The transport over real sockets on the loopback interface.

#![allow(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

mod calls;
mod classes;
mod cluster;
mod handshake;
mod hostile;
mod identity;
mod joining;
mod links;
mod raw;
mod renewal;
mod revocation;
mod ways;
