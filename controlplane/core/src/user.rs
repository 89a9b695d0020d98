//! Users of the admin API and what they may do.

use std::fmt;

use bincode::{Decode, Encode};
use novacron_protocol::{Digest, Name, Timestamp, UserId};

#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct User {
    pub id: UserId,
    pub name: Name,
    pub role: Role,
    /// BLAKE3 of the bearer token's secret, which has 256 random bits.
    pub secret: Digest,
    pub created_at: Timestamp,
}

/// Roles, each including the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub enum Role {
    /// Reads everything but secrets.
    Viewer,
    /// Runs VMs and images, cordons hosts.
    Operator,
    /// Users, tokens, members, removal of hosts.
    Admin,
}

impl Role {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Operator => "operator",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
