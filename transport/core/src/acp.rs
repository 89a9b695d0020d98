//! ACP, the congestion controller of DWCP: how fast one connection may send, decided without a clock.
//!
//! It models the path by two numbers, as BBR does: the rate at which the bottleneck serves us, and the
//! round trip without queues. Unlike BBR it does not overshoot to learn: it keeps a queue of about a
//! millisecond at the bottleneck, which is enough to keep it busy. While there is a queue, what is
//! delivered *is* our share of the bottleneck; when there is none, the path has room and the rate
//! rises, the faster the longer that lasts.
//!
//! ```text
//!            queue or plateau            drained
//!  Starting ------------------> Settling -------> Steady <------> Looking   (every few seconds)
//!     ^                                           |    ^
//!     | persistent loss (from any)     queue stays|    | queue goes away
//!     +---                                        v    |
//!                                               Competing
//! ```
//!
//! Once per epoch (a round trip, see [`epoch`]) the steady law ([`steady`]) compares the queue `q`
//! with its target `q_t`:
//!
//! * `q` near `q_t`: `rate` follows the delivery rate, and pacing is trimmed by `(q_t - q) / 2T`, so
//!   that an error of the queue is gone after two round trips `T`.
//! * no queue: `rate` grows by a step that doubles each epoch.
//! * `q` far above: `rate` is what was delivered. Should the queue stay although we yield, somebody
//!   else keeps it there, and we compete as CUBIC would ([`cubic`]).
//!
//! `q_t` falls with the square root of the rate: flows that share a bottleneck see the same queue, so
//! the faster one finds it too long and the slower too short until both are equal. That is Copa's
//! idea (Arun and Balakrishnan, NSDI 2018), with a curve that schedulers' noise does not drown.
//!
//! Loss that the path always has is learnt and ignored ([`loss`]).
//!
//! A driver calls `handle_*` as things happen, asks [`Acp::send_budget`] before it sends, and comes
//! back at [`Acp::poll_timeout`].

mod base_rtt;
mod compete;
mod cubic;
mod epoch;
mod loss;
mod meter;
mod pacer;
mod start;
mod state;
mod steady;

use std::time::Duration;

use novacron_protocol::unit::Bitrate;

pub use state::State;

use base_rtt::BaseRtt;
use compete::Compete;
use epoch::Epoch;
use loss::LossFloor;
use meter::Meter;
use pacer::Pacer;
use start::Start;
use steady::Steady;

/// Whether a loss leaves the model standing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Persistence {
    /// Some packets of many.
    Passing,
    /// Everything for several timeouts (RFC 9002, section 7.6): the path was gone, or is another.
    Persistent,
}

/// The controller of one path of one connection. Times are since an arbitrary start.
#[derive(Debug, Clone)]
pub struct Acp {
    mtu: u64,
    phase: Phase,
    /// Bytes per second: our share of the bottleneck. Zero before the first delivery.
    rate: f64,
    rate_max: f64,
    cwnd: u64,
    in_flight: u64,
    /// The queue of the last epoch.
    queue: Duration,
    base: BaseRtt,
    meter: Meter,
    epoch: Epoch,
    loss: LossFloor,
    pacer: Pacer,
    batch: Batch,
    /// The most bytes that one acknowledgement frame brought lately.
    lump: f64,
    /// Packets sent until then say nothing about the path's limit.
    app_limited_at: Option<Duration>,
    start: Start,
    steady: Steady,
}

#[derive(Debug, Clone)]
enum Phase {
    Starting,
    Settling {
        until: Duration,
    },
    Steady,
    /// `gain` is the share of the rate that is sent.
    Looking {
        until: Duration,
        gain: f64,
    },
    Competing {
        compete: Compete,
    },
}

/// What one acknowledgement frame brought.
#[derive(Debug, Clone, Copy, Default)]
struct Batch {
    bytes: u64,
    newest: Duration,
}

impl Acp {
    pub fn new(now: Duration, mtu_bytes: u16) -> Self {
        let mtu = u64::from(mtu_bytes);
        Self {
            mtu,
            phase: Phase::Starting,
            rate: 0.0,
            rate_max: f64::INFINITY,
            cwnd: WINDOW_BLIND * mtu,
            in_flight: 0,
            queue: Duration::ZERO,
            base: BaseRtt::new(now),
            meter: Meter::new(now),
            epoch: Epoch::new(now, Duration::ZERO),
            loss: LossFloor::default(),
            pacer: Pacer::new(now, mtu),
            batch: Batch::default(),
            lump: 0.0,
            app_limited_at: None,
            start: Start::new((WINDOW_INITIAL * mtu) as f64),
            steady: Steady::default(),
        }
    }

    /// An ack-eliciting packet leaves.
    pub fn handle_sent(&mut self, now: Duration, bytes: u64) {
        self.in_flight += bytes;
        self.pacer.handle_sent(now, bytes);
    }

    /// A packet sent at `sent` was acknowledged. [`Acp::handle_acks_end`] follows.
    pub fn handle_acked(&mut self, _now: Duration, sent: Duration, bytes: u64) {
        self.batch.bytes += bytes;
        self.batch.newest = self.batch.newest.max(sent);
    }

    /// The acknowledgement frame is done.
    pub fn handle_acks_end(&mut self, now: Duration, in_flight_bytes: u64) {
        self.in_flight = in_flight_bytes;
        let batch = std::mem::take(&mut self.batch);
        if batch.bytes == 0 {
            return;
        }
        let rtt = now.saturating_sub(batch.newest);
        self.lump = self.lump.max(batch.bytes as f64).min(LUMP_MAX);
        self.base.handle_sample(now, rtt);
        let base = self.base();
        self.meter.handle_delivered(now, batch.bytes, base / 16);
        self.epoch.handle_acked(now, rtt, batch.bytes);
        if self.app_limited_at.is_some_and(|at| batch.newest <= at) {
            self.epoch.handle_app_limited();
        }
        match &mut self.phase {
            Phase::Starting => self.handle_acks_starting(now, rtt, batch.bytes),
            Phase::Settling { until }
                if self.in_flight as f64 <= self.rate * base.as_secs_f64() || now >= *until =>
            {
                self.enter_steady(now);
            }
            Phase::Competing { compete } => compete.handle_acked(now, rtt, batch.bytes),
            Phase::Settling { .. } | Phase::Steady | Phase::Looking { .. } => {}
        }
        if let Some(measure) = self.epoch.finish(now, batch.newest) {
            self.epoch = Epoch::new(now, measure.rtt);
            self.queue = measure.rtt.saturating_sub(base);
            self.lump *= LUMP_KEPT;
            self.handle_epoch(now, &measure);
        }
        self.apply(now);
    }

    /// A round of loss detection found `lost_bytes` lost; the latest of them left at `sent`.
    pub fn handle_lost(
        &mut self,
        now: Duration,
        sent: Duration,
        lost_bytes: u64,
        persistence: Persistence,
    ) {
        self.in_flight = self.in_flight.saturating_sub(lost_bytes);
        self.epoch.handle_lost(lost_bytes);
        if persistence == Persistence::Persistent {
            self.restart(now, RESUME_SHARE);
        } else if let Phase::Competing { compete } = &mut self.phase {
            compete.handle_lost(now, sent);
        }
        self.apply(now);
    }

    /// The largest packet of the path changed.
    pub fn handle_mtu(&mut self, mtu_bytes: u16) {
        self.mtu = u64::from(mtu_bytes);
        self.pacer.set_mtu(self.mtu);
    }

    /// There was budget and nothing to send.
    pub fn handle_app_limited(&mut self, now: Duration) {
        self.app_limited_at = Some(now);
        self.epoch.handle_app_limited();
    }

    /// The peer's or our own address changed: the old path says little about the new one, which most
    /// often is no slower by an order of magnitude.
    pub fn handle_path_changed(&mut self, now: Duration) {
        self.base.forget();
        self.loss.forget();
        self.restart(now, RESUME_SHARE);
        self.apply(now);
    }

    /// A hard limit of the site's policy, above what the path allows or below.
    pub fn set_rate_max(&mut self, rate_max: Option<Bitrate>) {
        self.rate_max = rate_max.map_or(f64::INFINITY, |rate| rate.0 as f64 / 8.0);
    }

    /// Bytes that may leave at `now`.
    pub fn send_budget(&mut self, now: Duration) -> u64 {
        let window = self.cwnd.saturating_sub(self.in_flight);
        if window < self.mtu {
            self.pacer.handle_blocked(now);
            return 0;
        }
        self.pacer.budget(now).min(window)
    }

    /// When pacing lets more leave; `None` when only an acknowledgement can, or when more may now.
    pub fn poll_timeout(&self) -> Option<Duration> {
        let has_window = self.cwnd >= self.in_flight + self.mtu;
        has_window.then(|| self.pacer.ready_at()).flatten()
    }

    pub fn cwnd_bytes(&self) -> u64 {
        self.cwnd
    }

    /// What leaves per second while there is enough to send.
    pub fn pacing_rate(&self) -> Bitrate {
        bitrate(self.pacing())
    }

    /// Our share of the bottleneck, as far as it is known.
    pub fn bandwidth(&self) -> Bitrate {
        bitrate(self.rate)
    }

    /// The round trip without queues; zero before the first sample.
    pub fn min_rtt(&self) -> Duration {
        self.base.value().unwrap_or_default()
    }

    pub fn state(&self) -> State {
        let (rate, queue) = (self.bandwidth(), self.queue);
        match self.phase {
            Phase::Starting => State::Starting { rate },
            Phase::Settling { .. } => State::Settling { rate, queue },
            Phase::Steady if self.steady.is_rising() => State::Rising { rate },
            Phase::Steady if self.steady.is_yielding() => State::Yielding { rate, queue },
            Phase::Steady => State::Steady { rate, queue },
            Phase::Looking { .. } => State::Looking { rate, queue },
            Phase::Competing { .. } => State::Competing { rate, queue },
        }
    }

    /// Begins anew from a share of what the path carried before.
    fn restart(&mut self, now: Duration, share: f64) {
        let window =
            (self.rate * share * self.base().as_secs_f64()).max((WINDOW_INITIAL * self.mtu) as f64);
        self.phase = Phase::Starting;
        self.start = Start::new(window);
        self.steady = Steady::default();
        self.epoch = Epoch::new(now, self.base());
    }

    /// The round trip without queues, or a guess.
    fn base(&self) -> Duration {
        self.base.value().unwrap_or(RTT_INITIAL)
    }

    /// Bytes per second that leave, not counting the window. Infinite before the first sample.
    fn pacing(&self) -> f64 {
        let Some(base) = self.base.value() else { return f64::INFINITY };
        let seconds = (base + self.queue).as_secs_f64();
        let rate = match &self.phase {
            Phase::Starting => START_PACING * self.start.window() / seconds,
            Phase::Settling { .. } => self.rate,
            Phase::Steady => self.rate * (1.0 + self.steady.trim()),
            Phase::Looking { gain, .. } => self.rate * gain,
            Phase::Competing { compete } => COMPETE_PACING * compete.window_bytes() / seconds,
        };
        rate.min(self.rate_max)
    }

    fn window(&self) -> f64 {
        let base = self.base().as_secs_f64();
        let paced = self.is_paced();
        match &self.phase {
            Phase::Starting if self.base.value().is_none() => (WINDOW_BLIND * self.mtu) as f64,
            Phase::Starting => self.start.window(),
            Phase::Settling { .. } => self.rate * base,
            Phase::Looking { .. } if !paced => self.rate * base * 0.9,
            Phase::Steady | Phase::Looking { .. } => {
                let slack = if paced { base / 4.0 + SLACK.as_secs_f64() } else { 0.0 };
                let target = self.steady.target(self.rate, self.base()).as_secs_f64();
                self.rate * (base + target + slack) + self.lump
            }
            Phase::Competing { compete } => compete.window_bytes(),
        }
    }

    fn is_paced(&self) -> bool {
        self.base() >= PACED_RTT_MIN || self.rate_max.is_finite()
    }

    /// Puts the decision into effect.
    fn apply(&mut self, now: Duration) {
        let window = self.window().max((WINDOW_MIN * self.mtu) as f64).min(WINDOW_MAX);
        self.cwnd = window as u64;
        let rate = if self.is_paced() { self.pacing() } else { f64::INFINITY };
        self.pacer.set_round_trip(self.base());
        self.pacer.set_rate(now, rate.max((WINDOW_MIN * self.mtu) as f64));
    }
}

fn bitrate(bytes_per_second: f64) -> Bitrate {
    // Saturates at both ends.
    Bitrate((bytes_per_second * 8.0) as u64)
}

/// Packets before anything is known; RFC 9002 and BBR start with ten.
const WINDOW_BLIND: u64 = 10;
/// Packets once the round trip is known and they can be paced over it.
const WINDOW_INITIAL: u64 = 32;
/// Enough for the peer to acknowledge every second packet at once.
const WINDOW_MIN: u64 = 4;
/// A gigabyte: 10 Gbit/s for 0.8 s.
const WINDOW_MAX: f64 = (1_u64 << 30) as f64;
/// As RFC 9002 guesses (`kInitialRtt` is 333 ms), but for paths inside a country.
const RTT_INITIAL: Duration = Duration::from_millis(100);
/// Below it timers of a millisecond would limit the rate, and acknowledgements are clock enough.
const PACED_RTT_MIN: Duration = Duration::from_micros(1_000);
/// The window beyond the model, for acknowledgements that come late and in lumps.
const SLACK: Duration = Duration::from_millis(4);
/// A lump is remembered for some ten epochs.
const LUMP_KEPT: f64 = 0.9;
/// Four sends with segmentation offload: what comes in larger lumps was held back by more than hosts.
const LUMP_MAX: f64 = 262_144.0;
/// The window doubles in a round trip, and pacing must not be what slows that.
const START_PACING: f64 = 1.1;
/// As Linux paces CUBIC outside slow start (`tcp_pacing_ca_ratio`).
const COMPETE_PACING: f64 = 1.2;
/// A path that comes back is most often the same one; half its rate costs one round trip.
const RESUME_SHARE: f64 = 0.5;
