//! The pure part of the control plane.
//!
//! [`State`] is a plain value of persistent maps: a clone is O(1), so API reads, planning and
//! snapshots work on a clone while [`State::apply`] goes on. `apply` is deterministic: time is
//! stamped into the command by the member that proposed it, and nothing here reads a clock, draws
//! a random number, depends on hash order or does I/O.
//!
//! ```text
//! Envelope --apply--> State --place/fleet (leader only)--> Commands --Raft--> Envelope ...
//!                       |--desired_set(host)--> agent --Report--> fleet
//! ```

pub mod apply;
pub mod command;
pub mod event;
pub mod fleet;
pub mod host;
pub mod image;
pub mod liveness;
pub mod member;
pub mod membership;
pub mod operation;
pub mod outcome;
pub mod placement;
pub mod request;
pub mod snapshot;
pub mod state;
pub mod token;
pub mod user;
pub mod vm;

pub use command::{Actor, Command, Envelope};
pub use outcome::{Outcome, Refusal, RefusalCode};
pub use state::State;
