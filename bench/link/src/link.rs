//! One direction of a link: the parts of this crate put in a row.

use std::time::Duration;

use crate::config::LinkConfig;
use crate::counters::Counters;
use crate::loss::LossState;
use crate::queue::Backlog;
use crate::random::{Random, fraction_at};
use crate::rate;
use crate::wire::Wire;

/// One direction of a link that carries packets `T`, which it never looks into. See the crate's
/// page for how to drive it.
#[derive(Debug, Clone)]
pub struct Link<T> {
    config: LinkConfig,
    /// Up to when everything has happened.
    now: Duration,
    backlog: Backlog<T>,
    sending: Option<Sending<T>>,
    wire: Wire<T>,
    /// When the last packet that keeps the order is due: none after it may be earlier.
    last_due: Duration,
    chances: Chances,
    totals: Counters,
}

/// The packet in the transmitter.
#[derive(Debug, Clone)]
struct Sending<T> {
    since: Duration,
    /// Bits times 10^9 left at `since`.
    work: u128,
    /// `None`: never, at the rate of now.
    done: Option<Duration>,
    bytes: usize,
    packet: T,
}

#[derive(Debug, Clone)]
struct Chances {
    loss: LossState,
    reorder: Random,
    duplicate: Random,
    jitter_seed: u64,
}

impl<T: Clone> Link<T> {
    /// A link with nothing on it. `now` begins at zero.
    pub fn new(config: LinkConfig, seed: u64) -> Self {
        let chances = Chances {
            loss: LossState::new(Random::new(seed, 1)),
            reorder: Random::new(seed, 2),
            duplicate: Random::new(seed, 3),
            jitter_seed: seed ^ JITTER_PURPOSE,
        };
        Self {
            config,
            now: Duration::ZERO,
            backlog: Backlog::new(),
            sending: None,
            wire: Wire::new(),
            last_due: Duration::ZERO,
            chances,
            totals: Counters::default(),
        }
    }

    /// A packet of `bytes` enters. What it meets on the way is seen in [`Link::counters`].
    pub fn handle_packet(&mut self, now: Duration, bytes: usize, packet: T) {
        self.advance(now);
        self.totals.entered += 1;
        self.totals.entered_bytes += bytes as u64;
        if bytes > self.config.mtu_bytes {
            self.totals.too_big += 1;
        } else if self.sending.is_none() && self.backlog.len() == 0 {
            self.send(self.now, bytes, packet);
            self.advance(now);
        } else if !self.backlog.push(&self.config.queue, self.now, bytes, packet) {
            self.totals.dropped += 1;
        }
        let waiting = self.backlog.bytes() as u64;
        self.totals.queue_bytes_peak = self.totals.queue_bytes_peak.max(waiting);
    }

    /// A packet that has arrived by `now`, in the order of their arrival.
    pub fn poll_delivery(&mut self, now: Duration) -> Option<T> {
        self.poll_due(now, Duration::ZERO).map(|(_, packet)| packet)
    }

    /// A packet that is on the wire at `now` and due until `ahead` later, and when it is due: for
    /// shells that act in turns, and rather a little early than late.
    pub fn poll_due(&mut self, now: Duration, ahead: Duration) -> Option<(Duration, T)> {
        self.advance(now);
        let arrived = self.wire.receive(self.now + ahead)?;
        self.totals.delivered += 1;
        self.totals.delivered_bytes += arrived.bytes as u64;
        Some((arrived.due, arrived.packet))
    }

    /// Changes the link from `now` on. Packets under way keep the time they are due; the one that is
    /// being sent goes on at the new rate.
    pub fn set_config(&mut self, now: Duration, config: LinkConfig) {
        self.advance(now);
        if let Some(sending) = &mut self.sending {
            let done = self.config.rate.work_between(sending.since, self.now);
            sending.work = sending.work.saturating_sub(done.unwrap_or(u128::MAX));
            self.totals.busy += self.now - sending.since;
            sending.since = self.now;
            sending.done = config.rate.finish(self.now, sending.work);
        }
        self.config = config;
        self.advance(now);
    }

    /// Moves everything to where it is at `now`.
    fn advance(&mut self, now: Duration) {
        while let Some(done) = self.sending.as_ref().and_then(|sending| sending.done)
            && done <= now
        {
            if let Some(sent) = self.sending.take() {
                self.totals.busy += done - sent.since;
                self.fly(done, sent.bytes, sent.packet);
            }
            let (next, dropped) = self.backlog.pop(&self.config.queue, done);
            self.totals.dropped += dropped;
            if let Some(next) = next {
                self.send(done, next.bytes, next.packet);
            }
        }
        self.now = self.now.max(now);
    }

    /// Puts a packet into the transmitter.
    fn send(&mut self, since: Duration, bytes: usize, packet: T) {
        let work = rate::work_of(bytes);
        let done = self.config.rate.finish(since, work);
        self.sending = Some(Sending { since, work, done, bytes, packet });
    }

    /// What the wire does to a packet whose last bit was sent at `at`.
    fn fly(&mut self, at: Duration, bytes: usize, packet: T) {
        // Every die is cast for every packet: one that is in a blackout must not change the others'.
        let is_lost = self.chances.loss.next(&self.config.loss);
        let is_held = self.chances.reorder.chance(self.config.reorder.probability);
        let is_doubled = self.chances.duplicate.chance(self.config.duplicate);
        if self.config.is_blackout(at) {
            self.totals.blacked_out += 1;
            return;
        }
        if is_lost {
            self.totals.lost += 1;
            return;
        }
        let mut due = (at + self.config.delay + self.jitter(at)).max(self.last_due);
        if is_held {
            self.totals.reordered += 1;
            due += self.config.reorder.by;
        } else {
            self.last_due = due;
        }
        if is_doubled {
            self.totals.duplicated += 1;
            self.wire.send(due, bytes, packet.clone());
        }
        self.wire.send(due, bytes, packet);
    }

    fn jitter(&self, at: Duration) -> Duration {
        if self.config.jitter.is_zero() {
            return Duration::ZERO;
        }
        let slot = u64::try_from(at.as_nanos() / JITTER_SLOT.as_nanos()).unwrap_or(u64::MAX);
        self.config.jitter.mul_f64(fraction_at(self.chances.jitter_seed, slot))
    }
}

impl<T> Link<T> {
    /// When to call [`Link::poll_delivery`] next; `None` with nothing under way. Nothing may have
    /// arrived by then, if what was expected got lost.
    pub fn poll_timeout(&self) -> Option<Duration> {
        let sent = self.sending.as_ref().and_then(|sending| sending.done);
        let arrives = sent.map(|done| done + self.config.delay);
        [arrives, self.wire.next_due()].into_iter().flatten().min()
    }

    pub fn config(&self) -> &LinkConfig {
        &self.config
    }

    /// As of the last call that told the time.
    pub fn counters(&self) -> Counters {
        let being_sent = u64::from(self.sending.is_some());
        Counters {
            queue_packets: self.backlog.len() as u64,
            queue_bytes: self.backlog.bytes() as u64,
            in_flight: self.wire.len() as u64 + being_sent,
            ..self.totals
        }
    }
}

/// As long as a scheduling turn of radio and cable networks; see [`LinkConfig::jitter`].
const JITTER_SLOT: Duration = Duration::from_millis(10);
/// Any number that the other chances' purposes are not.
const JITTER_PURPOSE: u64 = 0x6a69_7474_6572;
