//! HDE, hierarchical data exchange: as few bytes, or as little time, as link and processors allow.
//!
//! ```text
//! content ──> Sender ──> Job ──> Coded ──> wire ──> Receiver ──> Piece
//!               │ what the peer has (delta)                │ references to its base
//!               │ runs, noise (probe)                      │ bounds, checks
//!               └ choice by link and processor (planner)
//! samples ──> telemetry::BatchEncoder ──> bytes ──> telemetry::BatchDecoder
//! ```
//! Everything here is processor work and decisions: no clock, no I/O, no randomness. The shell
//! measures how long a job took and what the link takes, and says so. `docs/decisions/0012` has the
//! measurements behind the choices.

mod block;
mod choice;
pub mod delta;
mod estimate;
pub mod limits;
mod planner;
mod probe;
mod rate;
mod receiver;
mod rope;
mod sender;
pub mod telemetry;
mod work;

pub use block::{Checks, StreamError};
pub use choice::Choice;
pub use planner::{Link, Options};
pub use rate::{LinkRate, Waiting};
pub use receiver::{Piece, Receiver};
pub use sender::{Flush, PushError, Sender, SenderStats};
pub use work::{Coded, Compressor, Job};

#[cfg(test)]
mod tests;
