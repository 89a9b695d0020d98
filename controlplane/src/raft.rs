//! Raft, as a member runs it: raft-rs decides, we carry, keep and apply.
//!
//! ```text
//!  Cluster handle --Input--> driver thread --Message--> Outbound (sessions)
//!                               |  ^
//!             entries, votes -> log store (segments), synced before any message that promises them
//!                               |
//!                               '--> State, published after each batch of entries
//! ```
//! Only this module and its children name raft-rs types.

mod configuration;
mod convert;
mod deliveries;
mod disk;
mod driver;
mod handle;
mod incoming;
mod log_writer;
mod logger;
mod mark;
mod memory;
mod metrics;
mod pace;
mod proposals;
mod segments;
mod sled_log;
mod store;

pub use configuration::MembershipChange;
pub use deliveries::SnapshotDelivery;
pub use driver::{Driver, DriverError, DriverOptions, Outbound};
pub use handle::{Handle, SnapshotRefusal};
pub use metrics::{Distribution, Durations, RaftMetrics};
pub use proposals::{ProposeRefusal, ReadRefusal};
pub use segments::SegmentStore;
pub use store::{HardState, Loaded, LogStore, SnapshotStore, StoreError, StoredSnapshot};
