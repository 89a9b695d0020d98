//! AMST's number of lanes: how many parallel streams, or connections, one bulk transfer uses.
//!
//! One lane is right unless something limits a lane and not the path: a stream's window, or the core
//! that seals a connection's packets. Which it is cannot be asked for, so it is tried: one lane more,
//! and it stays where goodput has grown by 8 %; one lane fewer, and it stays away where at most 3 %
//! were lost. What pays in one direction cannot pay in the other, so the count does not swing.
//!
//! ```text
//!            ┌───── gained: go on in this direction ─────┐
//!            v                                           │
//! Settling ──> Measuring ──> one more or fewer ──> Settling ──> Measuring
//!    ^                                                               │
//!    └── Resting 5 s, doubled up to 5 min <── back: it did not pay ──┘
//! ```
//!
//! More connections also mean more of a shared bottleneck than is fair. So connections are only added
//! while a lane is busy, that is, while its core and not the path is the limit
//! ([`LanePolicy::CONNECTIONS`]).
//!
//! Report progress a few times per second, call [`Lanes::handle_timeout`] when
//! [`Lanes::poll_timeout`] is due, and open or finish lanes until there are [`Lanes::count`].

use std::fmt;
use std::time::Duration;

/// Growth that keeps one lane more: above the noise of a second's measurement.
const GAIN_MIN: f64 = 1.08;
/// What is left when one lane fewer is kept. A lane costs memory, and a core's caches.
const LEFT_MIN: f64 = 0.97;
/// A measurement whose second half is this much faster is of a transfer that still speeds up.
const RISING: f64 = 1.15;
/// So often a rising measurement is taken again; then it is taken as it is.
const RISING_MAX: u32 = 5;
/// Time to measure, at least ten round trips.
const EPOCH: Duration = Duration::from_secs(1);
/// Time for new lanes to come up to speed, at least ten round trips.
const SETTLE: Duration = Duration::from_millis(500);
const EPOCH_RTTS: u32 = 10;
/// Rest after a try that did not pay; doubled after each further one.
const REST_MIN: Duration = Duration::from_secs(5);
const REST_MAX: Duration = Duration::from_secs(300);

/// When lanes may be added.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LanePolicy {
    /// Never more.
    pub max: u32,
    /// Part of the time that the busiest lane has to be at work before one is added, 0 to 1.
    pub busy_min: f64,
}

impl LanePolicy {
    /// Streams of one connection take nothing from others.
    pub const STREAMS: Self = Self { max: 8, busy_min: 0.0 };
    /// Connections, where a core is the limit.
    pub const CONNECTIONS: Self = Self { max: 4, busy_min: 0.8 };
}

/// How far a transfer has come.
#[derive(Debug, Clone, Copy)]
pub struct Progress {
    /// Bytes that the peer has, since the transfer began.
    pub bytes_total: u64,
    /// Part of the time since the last report that the busiest lane was at work, 0 to 1.
    pub busy: f64,
}

/// Why there are as many lanes as there are.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum LaneReason {
    Started,
    /// Another number is being tried.
    Trying {
        from: u32,
    },
    /// The step before has paid, and the next one is being tried.
    GoingOn {
        from: u32,
        percent: f64,
    },
    /// One more or fewer has paid, and there is no further step.
    Paid {
        percent: f64,
    },
    /// Another number did not pay.
    DidNotPay {
        tried: u32,
        percent: f64,
    },
}

/// Decides for one transfer.
#[derive(Debug, Clone)]
pub struct Lanes {
    policy: LanePolicy,
    count: u32,
    phase: Phase,
    trial: Option<Trial>,
    step: Step,
    rest: Duration,
    rtt: Duration,
    bytes: u64,
    busy: f64,
    rising: u32,
    reason: LaneReason,
}

#[derive(Debug, Clone, Copy)]
enum Phase {
    Settling { until: Duration },
    Measuring { from: Mark, half: Option<Mark> },
    Resting { until: Duration },
}

/// How far the transfer was, and when.
#[derive(Debug, Clone, Copy)]
struct Mark {
    at: Duration,
    bytes: u64,
}

/// What a try is measured against.
#[derive(Debug, Clone, Copy)]
struct Trial {
    from: u32,
    /// Bytes per second.
    goodput: f64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    More,
    Fewer,
}

impl Lanes {
    pub fn new(policy: LanePolicy, now: Duration, rtt: Duration) -> Self {
        let mut lanes = Self {
            policy,
            count: 1,
            phase: Phase::Resting { until: now },
            trial: None,
            step: Step::More,
            rest: REST_MIN,
            rtt,
            bytes: 0,
            busy: 0.0,
            rising: 0,
            reason: LaneReason::Started,
        };
        lanes.settle(now);
        lanes
    }

    pub fn handle_rtt(&mut self, rtt: Duration) {
        self.rtt = rtt;
    }

    pub fn handle_progress(&mut self, now: Duration, progress: Progress) {
        self.bytes = progress.bytes_total;
        self.busy = self.busy.max(progress.busy);
        self.handle_timeout(now);
    }

    /// The transfer had nothing to send, or was held up on purpose: what is being measured says
    /// nothing about lanes.
    pub fn handle_starved(&mut self, now: Duration) {
        if !matches!(self.phase, Phase::Resting { .. }) {
            self.settle(now);
        }
    }

    /// The deadline of [`Self::poll_timeout`] came, or an earlier instant.
    pub fn handle_timeout(&mut self, now: Duration) {
        let mark = Mark { at: now, bytes: self.bytes };
        match self.phase {
            Phase::Settling { until } if now >= until => {
                self.busy = 0.0;
                self.phase = Phase::Measuring { from: mark, half: None };
            }
            Phase::Measuring { from, half: None } if now >= from.at + self.epoch() / 2 => {
                self.phase = Phase::Measuring { from, half: Some(mark) };
            }
            Phase::Measuring { from, half: Some(half) } if now >= half.at + self.epoch() / 2 => {
                self.measured(from, half, mark);
            }
            Phase::Resting { until } if now >= until => self.settle(now),
            Phase::Settling { .. } | Phase::Measuring { .. } | Phase::Resting { .. } => {}
        }
    }

    /// When to call [`Self::handle_timeout`].
    pub fn poll_timeout(&self) -> Duration {
        match self.phase {
            Phase::Settling { until } | Phase::Resting { until } => until,
            Phase::Measuring { from, half: None } => from.at + self.epoch() / 2,
            Phase::Measuring { half: Some(half), .. } => half.at + self.epoch() / 2,
        }
    }

    /// How many lanes there should be: 1 to [`LanePolicy::max`].
    pub const fn count(&self) -> u32 {
        self.count
    }

    pub const fn reason(&self) -> LaneReason {
        self.reason
    }

    fn measured(&mut self, from: Mark, half: Mark, end: Mark) {
        let is_rising = goodput(half, end) > RISING * goodput(from, half);
        if is_rising && self.rising < RISING_MAX {
            self.rising += 1;
            self.phase = Phase::Measuring { from: end, half: None };
            return;
        }
        self.rising = 0;
        let goodput = goodput(from, end);
        match self.trial.take() {
            Some(trial) => self.judge(end.at, trial, goodput),
            None => self.try_step(end.at, goodput),
        }
    }

    fn judge(&mut self, now: Duration, trial: Trial, goodput: f64) {
        let ratio = if trial.goodput > 0.0 { goodput / trial.goodput } else { 1.0 };
        let percent = (ratio - 1.0) * 100.0;
        let needed = match self.step {
            Step::More => GAIN_MIN,
            Step::Fewer => LEFT_MIN,
        };
        if ratio < needed {
            self.reason = LaneReason::DidNotPay { tried: self.count, percent };
            self.count = trial.from;
            self.step = self.step.other();
            return self.rest_until_next(now);
        }
        self.rest = REST_MIN;
        if self.is_possible(self.step) {
            self.reason = LaneReason::GoingOn { from: self.count, percent };
            self.start_trial(now, goodput);
        } else {
            self.reason = LaneReason::Paid { percent };
            self.rest_until_next(now);
        }
    }

    /// Tries the next number in the current direction, or in the other one at an end.
    fn try_step(&mut self, now: Duration, goodput: f64) {
        if !self.is_possible(self.step) {
            self.step = self.step.other();
        }
        if self.is_possible(self.step) {
            self.reason = LaneReason::Trying { from: self.count };
            self.start_trial(now, goodput);
        } else {
            self.rest_until_next(now);
        }
    }

    fn start_trial(&mut self, now: Duration, goodput: f64) {
        self.trial = Some(Trial { from: self.count, goodput });
        match self.step {
            Step::More => self.count += 1,
            Step::Fewer => self.count -= 1,
        }
        self.settle(now);
    }

    fn is_possible(&self, step: Step) -> bool {
        match step {
            Step::More => self.count < self.policy.max && self.busy >= self.policy.busy_min,
            Step::Fewer => self.count > 1,
        }
    }

    fn rest_until_next(&mut self, now: Duration) {
        self.phase = Phase::Resting { until: now + self.rest };
        self.rest = (2 * self.rest).min(REST_MAX);
    }

    fn settle(&mut self, now: Duration) {
        self.phase = Phase::Settling { until: now + SETTLE.max(EPOCH_RTTS * self.rtt) };
    }

    fn epoch(&self) -> Duration {
        EPOCH.max(EPOCH_RTTS * self.rtt)
    }
}

impl Step {
    const fn other(self) -> Self {
        match self {
            Self::More => Self::Fewer,
            Self::Fewer => Self::More,
        }
    }
}

impl fmt::Display for LaneReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Started => f.write_str("the transfer has just started"),
            Self::Trying { from } => write!(f, "it is tried whether this is better than {from}"),
            Self::GoingOn { from, percent } => {
                write!(f, "{from} has brought {percent:+.0} %, and one step further is tried")
            }
            Self::Paid { percent } => write!(f, "the last step has brought {percent:+.0} %"),
            Self::DidNotPay { tried, percent } => {
                write!(f, "{tried} did not pay ({percent:+.0} %)")
            }
        }
    }
}

fn goodput(from: Mark, to: Mark) -> f64 {
    let span = to.at.saturating_sub(from.at).as_secs_f64();
    to.bytes.saturating_sub(from.bytes) as f64 / span.max(1e-9)
}

#[cfg(test)]
mod tests;
