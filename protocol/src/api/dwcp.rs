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
    /// How this member's packets travel: `udp`, or `tcp` where UDP is blocked.
    pub way: String,
    /// Protocol version the two agreed on.
    pub version: u16,
    pub rtt_us: u64,
    /// The round trip without queues; 0 before it was measured.
    pub rtt_min_us: u64,
    /// Largest packet, without IP and UDP headers.
    pub mtu_bytes: u16,
    pub sent_bytes: u64,
    pub received_bytes: u64,
    pub sent_packets: u64,
    pub lost_packets: u64,
    /// Lost of a million packets sent.
    pub loss_ppm: u64,
    pub congestion_window_bytes: u64,
    /// What the congestion control takes this session's share of the path for; 0 before it knows.
    pub bandwidth_bps: u64,
    /// What leaves while there is enough to send.
    pub pacing_rate_bps: u64,
    /// What left in the last second, headers and repetitions not counted.
    pub goodput_bps: u64,
    /// What the path will carry for this session, one and five seconds ahead.
    pub predictions: Vec<DwcpPrediction>,
    /// What the congestion control is doing, in one word.
    pub congestion: String,
    /// The same with its reason.
    pub congestion_reason: String,
    /// Streams that this member writes.
    pub streams: u64,
    /// Most urgent first.
    pub classes: Vec<DwcpClass>,
}

/// What a path will carry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DwcpPrediction {
    pub ahead_s: u64,
    pub bandwidth_bps: u64,
    /// One outcome in ten lies below.
    pub low_bps: u64,
    /// One outcome in ten lies above; absent when nothing is known of it.
    pub high_bps: Option<u64>,
    pub reason: String,
}

/// One traffic class of a session, in the member's direction.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct DwcpClass {
    pub class: String,
    pub sent_bytes: u64,
    /// Bytes that wait to be sent.
    pub queued_bytes: u64,
    /// Bytes that it will most likely get of the next second.
    pub allocated_bytes: u64,
    /// Why it was last allowed to send.
    pub sent_because: Option<String>,
    /// What keeps it from sending now.
    pub held_because: String,
}
