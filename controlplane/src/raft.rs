//! Raft, as a member runs it: raft-rs decides, we carry, keep and apply.
//!
//! ```text
//!  Cluster handle --Input--> driver thread --Message--> Outbound (sessions)
//!                               |  ^
//!             entries, votes -> log store (sled), flushed before any message that promises them
//!                               |
//!                               '--> State, published after each batch of entries
//! ```
//! Only this module and its children name raft-rs types.

mod configuration;
mod convert;
mod deliveries;
mod driver;
mod handle;
mod incoming;
mod logger;
mod mark;
mod memory;
mod proposals;
mod sled_store;
mod store;

pub use configuration::MembershipChange;
pub use deliveries::SnapshotDelivery;
pub use driver::{Driver, DriverError, DriverOptions, Outbound};
pub use handle::{Handle, SnapshotRefusal};
pub use proposals::{ProposeRefusal, ReadRefusal};
pub use sled_store::SledStore;
pub use store::{HardState, Loaded, LogStore, StoreError, StoredSnapshot};
