//! How a session is doing, for people and programs.

use std::time::Duration;

use novacron_protocol::wire::Class;
use novacron_protocol::{Bitrate, ByteCount};
use novacron_transport_core::acp::State;
use novacron_transport_core::ass::{Hold, Reason};
use novacron_transport_core::fallback::Way;
use novacron_transport_core::pba::Prediction;

/// One session, as of a moment. Counts are since its start, and of this side unless they say
/// otherwise.
#[derive(Debug, Clone)]
pub struct SessionStats {
    /// How this side's packets travel.
    pub way: Way,
    pub rtt: Duration,
    /// The round trip without queues; zero before the first sample.
    pub rtt_min: Duration,
    /// Largest packet, without IP and UDP headers.
    pub mtu_bytes: u16,
    pub sent_bytes: u64,
    pub received_bytes: u64,
    pub sent_packets: u64,
    pub lost_packets: u64,
    pub congestion_window_bytes: u64,
    /// What ACP takes our share of the path for; zero before the first sample.
    pub bandwidth: Bitrate,
    /// What leaves while there is enough to send.
    pub pacing_rate: Bitrate,
    /// What ACP is doing, and why.
    pub congestion: State,
    /// Bytes of the classes that left in the last second.
    pub goodput: Bitrate,
    /// What the path will carry for this session, with a band that holds four times in five.
    pub in_one_second: Prediction,
    pub in_five_seconds: Prediction,
    /// Streams that this side writes.
    pub streams: usize,
    /// By [`Class`], most urgent first.
    pub classes: [ClassStats; Class::ALL.len()],
}

/// One class of a session.
#[derive(Debug, Clone, Copy)]
pub struct ClassStats {
    pub class: Class,
    pub sent_bytes: u64,
    /// Bytes that wait to be sent.
    pub queued_bytes: u64,
    /// What it will most likely get of the next second.
    pub allocated: ByteCount,
    /// Why the class was last allowed to send.
    pub reason: Option<Reason>,
    /// What keeps it from sending now.
    pub hold: Hold,
}
