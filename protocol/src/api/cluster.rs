//! The cluster as one member sees it.

use serde::{Deserialize, Serialize};

use crate::api::member::MemberRef;
use crate::api::time::UtcTime;
use crate::{ClusterId, LogIndex, Name, Term};

/// `GET /cluster`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ClusterView {
    pub id: ClusterId,
    pub name: Name,
    pub created_at: UtcTime,
    /// `null` while there is none, as far as the answering member knows.
    pub leader: Option<MemberRef>,
    pub term: Term,
    /// The member that answers; what follows is about its log.
    pub member: MemberRef,
    pub committed: LogIndex,
    pub applied: LogIndex,
    pub counts: ClusterCounts,
    /// Release of the answering member.
    pub version: String,
}

/// How many there are of each.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ClusterCounts {
    pub members: u32,
    pub voters: u32,
    pub hosts: u32,
    pub hosts_connected: u32,
    pub vms: u32,
    pub vms_running: u32,
    pub images: u32,
    pub operations_open: u32,
}

/// `GET /health` and `GET /health/ready`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Health {
    /// `ok`.
    pub status: String,
}
