//! Traffic classes: what is more urgent than what.

use std::fmt;

use bincode::{Decode, Encode};

/// A traffic class, most urgent first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub enum Class {
    /// Heartbeats, leases, Raft: late is the same as lost.
    Lease,
    /// Desired state, reports, requests.
    Command,
    Event,
    Console,
    Telemetry,
    Migration,
    /// Images, snapshots, backups.
    Bulk,
}

impl Class {
    pub const ALL: [Self; 7] = [
        Self::Lease,
        Self::Command,
        Self::Event,
        Self::Console,
        Self::Telemetry,
        Self::Migration,
        Self::Bulk,
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Lease => "lease",
            Self::Command => "command",
            Self::Event => "event",
            Self::Console => "console",
            Self::Telemetry => "telemetry",
            Self::Migration => "migration",
            Self::Bulk => "bulk",
        }
    }
}

impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
