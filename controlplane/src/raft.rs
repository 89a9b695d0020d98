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
mod driver;
mod logger;
mod mark;
mod memory;
mod proposals;
mod sled_store;
mod store;

pub use configuration::MembershipChange;
pub use driver::{
    Driver, DriverError, DriverOptions, Handle, Outbound, ReadRefusal, SnapshotDelivery,
};
pub use proposals::ProposeRefusal;
pub use sled_store::SledStore;
pub use store::{HardState, Loaded, LogStore, StoreError, StoredSnapshot};
