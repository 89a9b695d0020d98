//! Members as the replicated state knows them.

use std::fmt;

use bincode::{Decode, Encode};
use novacron_protocol::wire::join::MemberAddresses;
use novacron_protocol::{Digest, MemberId, Name, Timestamp};

#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Member {
    pub id: MemberId,
    pub name: Name,
    pub addresses: MemberAddresses,
    pub role: MemberRole,
    pub key: Digest,
    pub joined_at: Timestamp,
}

/// A member's part in Raft, in lifecycle order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub enum MemberRole {
    /// Let in; the leader has not added it to the Raft group yet.
    Joining,
    /// Receives the log, does not vote.
    Learner,
    Voter,
    /// On its way out of the Raft group.
    Leaving,
}

impl MemberRole {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Joining => "joining",
            Self::Learner => "learner",
            Self::Voter => "voter",
            Self::Leaving => "leaving",
        }
    }
}

impl fmt::Display for MemberRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
