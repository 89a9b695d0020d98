//! One turn of a connection: what has come due, what may leave, when to look again.

use std::io;
use std::net::SocketAddr;
use std::task::Context;
use std::time::Instant;

use novacron_protocol::Bitrate;
use novacron_protocol::wire::Class;
use novacron_transport_core::acp::Acp;
use quinn_proto::{FrameStats, Transmit};

use super::connection::State;
use super::ways::Ways;
use crate::session::copies;

/// Bytes handed to QUIC ahead of a burst: one burst.
const BURST_BYTES: u64 = 64 << 10;

/// How a turn ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    /// Nothing may or can be sent now.
    Idle,
    /// There is more to send; others come first.
    More,
    /// The socket takes no more for now.
    SocketFull(SocketAddr),
}

/// Bytes in QUIC's send buffers that have not left.
#[derive(Debug, Default)]
pub(super) struct Unsent {
    bytes: u64,
    lost_seen: u64,
}

impl State {
    /// Tells QUIC of the time that has passed, if that changes anything.
    pub(super) fn handle_timeouts(&mut self, now: Instant) -> bool {
        let is_due = self.quic.poll_timeout().is_some_and(|due| due <= now);
        if is_due {
            self.quic.handle_timeout(now);
        }
        is_due
    }

    /// When the next turn is due if nothing else happens.
    pub(super) fn next_timeout(&mut self) -> Option<Instant> {
        let way = self.fallback.as_ref().and_then(|(fallback, _)| fallback.poll_timeout());
        let copy = self.hedge.poll_timeout();
        let own = [self.ass.poll_timeout(), way, copy].into_iter().flatten().min();
        let own = own.map(|at| self.epoch + at);
        [self.quic.poll_timeout(), self.path.timeout(), own].into_iter().flatten().min()
    }

    /// Sends what may leave now.
    pub(super) fn transmit(&mut self, now: Instant, ways: &Ways, bursts_max: usize) -> Progress {
        self.queue_copies(now);
        self.look_ahead(now);
        for _ in 0..bursts_max {
            let transmit = match self.refused.take() {
                Some(refused) => refused,
                None => match self.next_burst(now, ways.udp.segments_max()) {
                    Some(transmit) => transmit,
                    None => return Progress::Idle,
                },
            };
            let sent = if std::mem::take(&mut self.probing) {
                ways.udp.try_send(&transmit, &self.burst)
            } else {
                ways.try_send(&transmit, &self.burst)
            };
            match sent {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let destination = transmit.destination;
                    self.refused = Some(transmit);
                    return Progress::SocketFull(destination);
                }
                Err(error) => tracing::debug!("a packet was not sent: {error}"),
            }
        }
        Progress::More
    }

    /// The next packets, as many as may leave in one burst.
    fn next_burst(&mut self, now: Instant, segments_max: usize) -> Option<Transmit> {
        let mut budget = self.path.budget(now);
        if self.error().is_some() {
            // The goodbye is the last packet, and must not be held up.
            self.path.open();
        } else if budget > 0 {
            self.count_lost();
            self.fill(now, budget.min(BURST_BYTES).saturating_sub(self.unsent.bytes));
        } else if self.copies_queued
            || self.ass.backlog(Class::Lease) + self.ass.backlog(Class::Command) > 0
        {
            // What is urgent waits neither for pacing nor for acknowledgements, as long as it is
            // little. It overtakes what QUIC holds by its streams' priority.
            budget = self.path.overdraft();
            self.fill(now, budget);
        }
        let mtu = u64::from(self.quic.current_mtu());
        let segments = usize::try_from(budget.div_ceil(mtu)).unwrap_or(segments_max);
        let before = self.quic.stats().frame_tx;
        self.burst.clear();
        let transmit =
            self.quic.poll_transmit(now, segments.clamp(1, segments_max), &mut self.burst);
        match &transmit {
            Some(transmit) => {
                if wants_acknowledgement(&before, &self.quic.stats().frame_tx) {
                    self.path.sent(now, transmit.size as u64);
                    let since = self.since(now);
                    if let Some((fallback, _)) = &mut self.fallback {
                        fallback.handle_asked(since);
                    }
                }
                self.unsent.bytes = self.unsent.bytes.saturating_sub(transmit.size as u64);
                self.hedge.handle_traffic(transmit.size as u64);
            }
            // QUIC has nothing left although it might send.
            None if budget > 0 => {
                self.unsent.bytes = 0;
                self.path.app_limited(now);
                self.forecast.handle_app_limited();
            }
            None => {}
        }
        transmit
    }

    /// Tells PBA what the path carries, and ASS what to expect of it.
    fn look_ahead(&mut self, now: Instant) {
        let since = self.since(now);
        let bandwidth = self.path.look(Acp::bandwidth);
        let sent = self.quic.stats().udp_tx.bytes;
        if self.forecast.sample(since, bandwidth, sent) && bandwidth > Bitrate::ZERO {
            self.ass.handle_bandwidth(bandwidth);
        }
    }

    /// Hands QUIC the second copies that are due.
    fn queue_copies(&mut self, now: Instant) {
        let since = self.since(now);
        self.copies_queued = false;
        if self.hedge.poll_timeout().is_none_or(|due| due > since) {
            return;
        }
        while let Some(copy) = self.hedge.poll_copy(since) {
            // Fails only towards a peer that takes no datagrams, or not of this length.
            self.copies_queued |= self.quic.datagrams().send(copies::datagram(&copy), true).is_ok();
        }
    }

    /// What was lost is waiting in QUIC again, and goes first.
    fn count_lost(&mut self) {
        let lost = self.quic.stats().path.lost_bytes;
        self.unsent.bytes += lost - std::mem::replace(&mut self.unsent.lost_seen, lost);
    }

    /// Hands QUIC at most `room` bytes, in the order that ASS wants.
    fn fill(&mut self, now: Instant, mut room: u64) {
        let since = self.since(now);
        while room > 0 {
            let Some(grant) = self.ass.poll_grant(since, room) else { break };
            let moved = self.outgoing.fill(&mut self.quic, grant.class, grant.bytes);
            self.ass.handle_sent(since, grant.class, moved);
            if !self.outgoing.is_ready(grant.class) && self.ass.backlog(grant.class) > 0 {
                self.ass.handle_blocked(grant.class);
            }
            self.goodput.count(now, moved);
            self.unsent.bytes += moved;
            room = room.saturating_sub(moved);
        }
    }
}

/// Whether anything but acknowledgements was sent in between.
fn wants_acknowledgement(before: &FrameStats, after: &FrameStats) -> bool {
    let others = |frames: &FrameStats| {
        frames.stream
            + frames.datagram
            + frames.crypto
            + frames.ping
            + frames.max_data
            + frames.max_stream_data
            + frames.new_connection_id
            + frames.reset_stream
            + frames.stop_sending
            + frames.path_challenge
            + frames.path_response
            + u64::from(frames.handshake_done)
    };
    others(before) != others(after)
}

/// Keeps the driver's waker current.
pub(super) fn remember(slot: &mut Option<std::task::Waker>, context: &Context<'_>) {
    match slot {
        Some(waker) => waker.clone_from(context.waker()),
        None => *slot = Some(context.waker().clone()),
    }
}
