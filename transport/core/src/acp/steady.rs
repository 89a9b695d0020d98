//! The steady law: keeps a short queue, takes what room there is, yields what it must.

use std::time::Duration;

use super::cubic::CubicWindow;
use super::epoch::Measure;
use super::loss::Verdict;
use super::{Acp, Phase};

/// The steady law's own state.
#[derive(Debug, Clone, Default)]
pub(super) struct Steady {
    /// Pacing is `rate * (1 + trim)`.
    trim: f64,
    /// Epochs in a row without a queue.
    idle_run: u32,
    /// Epochs to let pass: their packets were sent before the last decision.
    skip: u32,
    /// Epochs in which the rate must not rise, after more loss than usual.
    hold: u32,
    hold_next: u32,
    crowd: Option<Crowd>,
    /// Epochs in a row without much of a queue, while competing.
    calm_run: u32,
}

/// A queue that stays although we yield.
#[derive(Debug, Clone, Copy)]
struct Crowd {
    epochs: u32,
    /// Before we yielded.
    rate: f64,
    queue: Duration,
    queue_min: Duration,
    since: Duration,
}

impl Steady {
    pub(super) fn trim(&self) -> f64 {
        self.trim
    }

    pub(super) fn is_rising(&self) -> bool {
        self.idle_run > RISE_AFTER
    }

    pub(super) fn is_yielding(&self) -> bool {
        self.crowd.is_some()
    }

    pub(super) fn handle_entered(&mut self) {
        *self = Self { skip: 1, ..Self::default() };
    }
}

/// The queue, as time, that a flow of `rate` bytes per second keeps on a path.
///
/// `2 ms * sqrt(100 Mbit/s / rate)`: 4.5 ms at 20 Mbit/s (seven packets), 0.9 ms at 500 Mbit/s. On
/// paths of less than two milliseconds the ends' schedulers are the longest part of the round trip,
/// and less than 2.5 ms would leave them idle.
pub(super) fn queue_target(rate: f64, base: Duration) -> Duration {
    let target = 2e-3 * (12.5e6 / rate.max(1.0)).sqrt();
    let least = if base < super::PACED_RTT_MIN { 2.5e-3 } else { 0.8e-3 };
    Duration::from_secs_f64(target.clamp(least, 12e-3))
}

impl Acp {
    pub(super) fn handle_epoch(&mut self, now: Duration, measure: &Measure) {
        let loss = self.loss.handle_epoch(measure.delivered, measure.lost, self.mtu);
        match &mut self.phase {
            Phase::Starting => self.handle_epoch_starting(now, measure, loss),
            Phase::Settling { .. } => {}
            Phase::Steady => self.handle_epoch_steady(now, measure, loss),
            Phase::Looking { until, .. } => {
                if now >= *until {
                    self.base.handle_looked(now);
                    self.phase = Phase::Steady;
                    self.steady.skip = 1;
                    self.steady.trim = 0.0;
                }
            }
            Phase::Competing { .. } => self.handle_epoch_competing(now, measure),
        }
    }

    fn handle_epoch_steady(&mut self, now: Duration, measure: &Measure, loss: Verdict) {
        if self.steady.skip > 0 {
            self.steady.skip -= 1;
            return;
        }
        let target = queue_target(self.rate, self.base());
        let turn = self.base() + target;
        if measure.app_limited {
            self.steady.idle_run = 0;
            self.rate = self.rate.max(measure.passed.min(self.rate_max));
            self.steady.trim = 0.0;
            return;
        }
        let high = target + target.max(self.base() / 12).max(QUEUE_NOISE);
        let error = (target.as_secs_f64() - self.queue.as_secs_f64()) / turn.as_secs_f64();
        self.steady.trim = (TRIM_GAIN * error).clamp(-0.5, 0.1);
        if loss == Verdict::Excess {
            self.handle_excess(measure);
        } else if self.queue > high {
            self.yield_to(now, measure);
        } else {
            self.steady.crowd = None;
            if self.queue >= target / 4 {
                self.steady.idle_run = 0;
                self.rate += FOLLOW_GAIN * (measure.passed - self.rate);
            } else {
                self.rise(measure, target, turn);
            }
        }
        self.rate = self.rate.clamp(self.mtu as f64, self.rate_max);
        if matches!(self.phase, Phase::Steady) && self.base.stale_for(now) > LOOK_EVERY {
            self.look(now);
        }
    }

    /// No queue: the path has room.
    fn rise(&mut self, measure: &Measure, target: Duration, turn: Duration) {
        if self.steady.hold > 0 {
            self.steady.hold -= 1;
            return;
        }
        self.steady.idle_run += 1;
        self.rate = self.rate.max(measure.passed);
        if let Some(doublings) = self.steady.idle_run.checked_sub(RISE_AFTER + 1) {
            let first = (0.5 * target.as_secs_f64() / turn.as_secs_f64()).clamp(0.01, 0.05);
            let step = (first * f64::from(1_u32 << doublings.min(8))).min(RISE_MAX);
            self.rate *= 1.0 + step;
        }
    }

    /// The queue is too long: what was delivered is our share.
    fn yield_to(&mut self, now: Duration, measure: &Measure) {
        self.steady.idle_run = 0;
        let (rate, queue) = (self.rate, self.queue);
        let crowd = self.steady.crowd.get_or_insert(Crowd {
            epochs: 0,
            rate,
            queue,
            queue_min: queue,
            since: now,
        });
        crowd.epochs += 1;
        crowd.queue_min = crowd.queue_min.min(queue);
        let crowd = *crowd;
        self.rate = self.rate.min(measure.passed);
        let is_standing = crowd.queue_min * 10 >= crowd.queue * 6;
        if crowd.epochs >= CROWD_EPOCHS
            && is_standing
            && now.saturating_sub(crowd.since) >= CROWD_MIN
        {
            let rtt = self.base() + queue;
            let window = (crowd.rate * 0.5).max(self.rate) * rtt.as_secs_f64();
            self.steady.crowd = None;
            self.steady.calm_run = 0;
            self.phase = Phase::Competing { window: CubicWindow::new(now, window, self.mtu) };
        }
    }

    /// More is lost than usual: the path takes no more than it delivers.
    fn handle_excess(&mut self, measure: &Measure) {
        let delivered = measure.delivery / (1.0 - self.loss.usual());
        self.rate = delivered.clamp(self.rate * 0.7, self.rate);
        self.steady.idle_run = 0;
        self.steady.hold_next = (self.steady.hold_next * 2).clamp(4, 32);
        self.steady.hold = self.steady.hold_next;
    }

    /// Empties our part of the queue for a moment.
    fn look(&mut self, now: Duration) {
        let queue = self.queue + LOOK_MARGIN;
        let span = self.base().max(queue * 2);
        let gain = (1.0 - queue.as_secs_f64() / span.as_secs_f64()).clamp(0.5, 0.98);
        self.phase = Phase::Looking { until: now + span, gain };
    }

    fn handle_epoch_competing(&mut self, now: Duration, measure: &Measure) {
        self.rate = measure.passed.min(self.rate_max);
        let target = queue_target(self.rate, self.base());
        let is_calm = self.queue <= target * 2;
        self.steady.calm_run = if is_calm { self.steady.calm_run + 1 } else { 0 };
        if self.steady.calm_run >= 3 {
            self.enter_steady(now);
        }
    }
}

/// Half of the queue's error is corrected at once: what was sent in between, a round trip's worth,
/// does not know of the correction yet.
const TRIM_GAIN: f64 = 0.5;
const FOLLOW_GAIN: f64 = 0.5;
/// Epochs without a queue before the rate rises in steps of its own.
const RISE_AFTER: u32 = 2;
const RISE_MAX: f64 = 0.5;
/// What schedulers of both ends add to every packet of half an epoch, at worst.
const QUEUE_NOISE: Duration = Duration::from_millis(2);
const CROWD_EPOCHS: u32 = 6;
const CROWD_MIN: Duration = Duration::from_millis(200);
/// Two chances within the minimum's window.
const LOOK_EVERY: Duration = Duration::from_secs(4);
const LOOK_MARGIN: Duration = Duration::from_millis(1);
