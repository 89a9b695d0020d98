//! What became of the packets.

use std::time::Duration;

/// Totals since the link began, and what it holds now. Every packet that entered or was duplicated
/// is in exactly one of: delivered, the four ways to end, waiting, in flight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    pub entered: u64,
    pub entered_bytes: u64,
    pub delivered: u64,
    pub delivered_bytes: u64,
    /// Lost at random on the wire.
    pub lost: u64,
    /// Dropped at the queue: it was full, or CoDel chose so.
    pub dropped: u64,
    /// Larger than the MTU.
    pub too_big: u64,
    /// Sent during a blackout.
    pub blacked_out: u64,
    /// Copies made on the wire.
    pub duplicated: u64,
    /// Held back so that others may overtake.
    pub reordered: u64,
    /// Time for which the transmitter has had something to send, at a rate of 0 too.
    pub busy: Duration,
    /// Waiting to be sent, the packet that is being sent aside.
    pub queue_packets: u64,
    pub queue_bytes: u64,
    pub queue_bytes_peak: u64,
    /// Being sent, or sent and not yet delivered.
    pub in_flight: u64,
}
