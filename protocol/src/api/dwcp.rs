//! The transport's sessions of one member.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use crate::MemberId;

/// `GET /dwcp/status`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DwcpStatus {
    /// The member that answers; the sessions are its.
    pub member: MemberId,
    pub sessions: Vec<DwcpSession>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DwcpSession {
    /// `member` or `host`.
    pub peer_kind: String,
    pub peer_id: String,
    pub peer_name: Option<String>,
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub remote_address: SocketAddr,
    /// Protocol version the two agreed on.
    pub version: u16,
    pub rtt_us: u64,
    pub sent_bytes: u64,
    pub received_bytes: u64,
    pub sent_packets: u64,
    pub lost_packets: u64,
    /// Lost of a million packets sent.
    pub loss_ppm: u64,
    pub congestion_window_bytes: u64,
}
