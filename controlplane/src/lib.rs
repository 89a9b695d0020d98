//! A control-plane member: Raft, storage, sessions with agents and members, the admin API.
//!
//! ```text
//!  agents, members ==QUIC== sessions -- leader loops --.
//!                                                      v
//!  clients ==HTTPS== api --> cluster (handle) --> raft driver --> log, snapshots (sled)
//!                                  ^-- State, published after every apply --'
//! ```

pub mod api;
pub mod blobs;
pub mod cluster;
pub mod config;
pub mod peers;
pub mod raft;
pub mod telemetry;

pub use novacron_daemon::clock;
