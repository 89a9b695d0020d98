//! A control-plane member: Raft, storage, sessions with agents and members, the admin API.
//!
//! ```text
//!  agents, members ==QUIC== sessions -- leader loops --.
//!                                                      v
//!  clients ==HTTPS== api --> cluster (handle) --> raft driver --> log, snapshots (files)
//!                                  ^-- State, published after every apply --'
//! ```

pub mod admission;
pub mod api;
pub mod audit;
pub mod blobs;
pub mod bootstrap;
pub mod cluster;
pub mod config;
mod files;
pub mod leader;
pub mod member;
pub mod outbound;
pub mod peers;
pub mod raft;
pub mod sessions;
pub mod telemetry;

pub use novacron_daemon::clock;
