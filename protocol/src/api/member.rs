//! Members of the control plane.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::api::time::UtcTime;
use crate::{MemberId, Name};

/// A member by id and name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct MemberRef {
    pub id: MemberId,
    pub name: Name,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct MemberView {
    pub id: MemberId,
    pub name: Name,
    pub role: MemberRole,
    /// Whether the answering member knows it as the leader.
    pub leader: bool,
    /// QUIC address, for members and agents.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub cluster_address: SocketAddr,
    /// HTTPS address, for clients.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub api_address: SocketAddr,
    pub joined_at: UtcTime,
}

/// A member's part in Raft, in lifecycle order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum MemberRole {
    /// Let in; not in the Raft group yet.
    Joining,
    /// Receives the log, does not vote.
    Learner,
    Voter,
    /// On its way out.
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

impl std::fmt::Display for MemberRole {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.as_str())
    }
}
