//! The steady law: keeps a short queue, takes what room there is, yields what it must.

use std::time::Duration;

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
    /// The queues of the last two epochs, and how much one lies off the line between its neighbours:
    /// on a path with jitter a part of what looks like a queue is none.
    last_queues: [Option<Duration>; 2],
    deviation: Duration,
    /// The rate that was ours, fading.
    peak: f64,
    /// Epochs left in which a longer queue is kept, so that shares move faster.
    contest: u32,
    was_contest: bool,
    /// Epochs left in which no contest begins: neither because the queue is long, nor because our
    /// share is small.
    peace: u32,
    peace_squeezed: u32,
    /// When the last competition ended, and its window.
    competed: Option<(Duration, f64)>,
}

/// A queue that stays although we yield.
#[derive(Debug, Clone, Copy)]
struct Crowd {
    /// Epochs with a long queue, less those without.
    epochs: u32,
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
        *self = Self { skip: 1, competed: self.competed, peak: self.peak, ..Self::default() };
    }

    /// The part of `queue` that is not jitter, and what jitter may add to it.
    fn filter(&mut self, queue: Duration) -> (Duration, Duration) {
        // Our own corrections bend the curve of the queue; jitter breaks it.
        if let [Some(first), Some(second)] = self.last_queues {
            let kink = second.abs_diff((first + queue) / 2);
            self.deviation = (self.deviation * 7 + kink) / 8;
        }
        self.last_queues = [self.last_queues[1], Some(queue)];
        let jitter = (self.deviation * 3 / 2).saturating_sub(JITTER_USUAL);
        (queue.saturating_sub(jitter), jitter)
    }

    /// Others are here: shares have to be found.
    pub(super) fn begin_contest(&mut self) {
        self.contest = CONTEST_EPOCHS;
        self.peace = CONTEST_EPOCHS + PEACE_EPOCHS;
        self.peace_squeezed = CONTEST_EPOCHS + PEACE_EPOCHS_SQUEEZED;
    }

    fn handle_rate(&mut self, rate: f64, elapsed: Duration) {
        let faded = self.peak * (1.0 - elapsed.as_secs_f64() / PEAK_FADES).max(0.0);
        self.peak = faded.max(rate);
    }

    pub(super) fn handle_competed(&mut self, now: Duration, window: f64) {
        self.competed = Some((now, window));
        // Whatever share this is, it is nobody's fault who is left.
        self.peak = 0.0;
        (self.peace, self.peace_squeezed) = (PEACE_EPOCHS, PEACE_EPOCHS_SQUEEZED);
    }

    /// The queue to keep, see [`queue_target`].
    pub(super) fn target(&self, rate: f64, base: Duration) -> Duration {
        let factor = match self.contest {
            0 => 1.0,
            _ => (base.as_secs_f64() / CONTEST_BASE).max(CONTEST_MIN),
        };
        queue_target(rate, base).mul_f64(factor)
    }
}

/// The queue, as time, that a flow of `rate` bytes per second keeps on a path.
///
/// `2 ms * sqrt(100 Mbit/s / rate)`: 4.5 ms at 20 Mbit/s (seven packets), 0.9 ms at 500 Mbit/s. On
/// short paths, where people notice a few milliseconds, `1.2 ms * (100 Mbit/s / rate)^(1/4)`. Where a
/// gigabit and more is possible at once, the ends' schedulers are the longest part of the round trip,
/// and less than [`TARGET_LAN`] would leave them idle.
pub(super) fn queue_target(rate: f64, base: Duration) -> Duration {
    let slowness = 12.5e6 / rate.max(1.0);
    if base >= SHORT {
        Duration::from_secs_f64((2e-3 * slowness.sqrt()).clamp(0.8e-3, 12e-3))
    } else if slowness < 0.1 && base < super::PACED_RTT_MIN {
        TARGET_LAN
    } else {
        Duration::from_secs_f64((1.2e-3 * slowness.sqrt().sqrt()).clamp(0.8e-3, 6e-3))
    }
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
                    self.steady.last_queues = [None; 2];
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
        let (queue, jitter) = self.steady.filter(self.queue);
        let target = self.steady.target(self.rate, self.base());
        // On a short path an epoch is many round trips, and a correction lasts as long.
        let turn = (self.base() + target).max(measure.elapsed);
        // A pause between two writes is no lack of data; and a queue that stands is one however it
        // came about.
        let is_starved = measure.app_limited && measure.passed < STARVED * self.rate;
        if is_starved && queue <= target * 2 {
            self.steady.idle_run = 0;
            self.rate = self.rate.max(measure.passed.min(self.rate_max));
            self.steady.trim = 0.0;
            return;
        }
        let high = target + (target / 2).max(self.base() / 12).max(QUEUE_NOISE) + jitter;
        let error = (target.as_secs_f64() - queue.as_secs_f64()) / turn.as_secs_f64();
        self.steady.trim = (TRIM_GAIN * error).clamp(-0.5, 0.25);
        self.steady.peace = self.steady.peace.saturating_sub(1);
        self.steady.contest = self.steady.contest.saturating_sub(1);
        self.steady.peace_squeezed = self.steady.peace_squeezed.saturating_sub(1);
        let is_pressed = queue > high && self.steady.crowd.is_some() && self.steady.peace == 0;
        let is_squeezed = self.queue > target
            && self.rate < SQUEEZED * self.steady.peak
            && self.steady.peace_squeezed == 0;
        if (is_pressed || is_squeezed) && self.base() >= CONTEST_RTT_MIN {
            self.steady.begin_contest();
        }
        if loss == Verdict::Excess {
            self.handle_excess(measure);
        } else if queue > high {
            self.yield_to(now, measure);
        } else {
            if let Some(crowd) = &mut self.steady.crowd {
                crowd.epochs = crowd.epochs.saturating_sub(1);
                if crowd.epochs == 0 || queue < target {
                    self.steady.crowd = None;
                }
            }
            if queue >= target / 4 {
                self.steady.idle_run = 0;
                let gain = if self.steady.contest > 0 { 1.0 } else { FOLLOW_GAIN };
                // Much more than was sent is somebody else's pause, not ours to keep; and much less
                // without a long queue is jitter.
                let passed = measure.passed.clamp(self.rate / FOLLOW_MAX, self.rate * FOLLOW_MAX);
                self.rate += gain * (passed - self.rate);
            } else {
                self.rise(measure, target, turn);
            }
        }
        self.rate = self.rate.clamp(self.mtu as f64, self.rate_max);
        self.steady.handle_rate(self.rate, measure.elapsed);
        // After a contest all who took part look at the same time, and see the bare path.
        let is_over = std::mem::replace(&mut self.steady.was_contest, self.steady.contest > 0)
            && self.steady.contest == 0;
        if matches!(self.phase, Phase::Steady) && (is_over || self.base.stale_for(now) > LOOK_EVERY)
        {
            self.look(now, if is_over { LOOK_TURNS_CONTEST } else { 1 });
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
            let first = (0.5 * target.as_secs_f64() / turn.as_secs_f64()).clamp(0.005, 0.05);
            let step = (first * f64::from(1_u32 << doublings.min(8))).min(RISE_MAX);
            self.rate *= 1.0 + step;
            // The queue that this makes in the end is ours.
            self.steady.peace = self.steady.peace.max(PEACE_EPOCHS_RISEN);
        }
    }

    /// The queue is too long: what was delivered is our share.
    fn yield_to(&mut self, now: Duration, measure: &Measure) {
        self.steady.idle_run = 0;
        let queue = self.queue;
        let is_contest = self.steady.contest > 0;
        let crowd = self.steady.crowd.get_or_insert(Crowd { epochs: 0 });
        crowd.epochs += u32::from(!is_contest);
        let crowd = *crowd;
        self.rate = self.rate.min(measure.passed);
        let again = self.steady.competed.filter(|(at, _)| now.saturating_sub(*at) < MEMORY);
        let epochs_min = if again.is_some() { CROWD_EPOCHS_AGAIN } else { CROWD_EPOCHS };
        if crowd.epochs >= epochs_min {
            let rtt = self.base() + queue;
            let share = (self.steady.peak * PEAK_SHARE).max(self.rate) * rtt.as_secs_f64();
            self.enter_competing(now, again.map_or(share, |(_, window)| window.max(share)));
        }
    }

    /// More is lost than usual: the path takes no more than it delivers.
    fn handle_excess(&mut self, measure: &Measure) {
        let delivered = measure.delivery / (1.0 - self.loss.usual());
        self.rate = delivered.clamp(self.rate * 0.85, self.rate);
        self.steady.idle_run = 0;
        self.steady.hold_next = (self.steady.hold_next * 2).clamp(2, 16);
        self.steady.hold = self.steady.hold_next;
    }

    /// Empties our part of the queue for a moment.
    fn look(&mut self, now: Duration, turns: u32) {
        let queue = self.queue + LOOK_MARGIN;
        let turn = self.base().max(queue * 2);
        let gain = (1.0 - queue.as_secs_f64() / turn.as_secs_f64()).clamp(0.5, 0.98);
        let span = turn * turns;
        self.phase = Phase::Looking { until: now + span, gain };
    }
}

/// Half of the queue's error is corrected at once: what was sent in between, a round trip's worth,
/// does not know of the correction yet.
const TRIM_GAIN: f64 = 0.5;
const FOLLOW_GAIN: f64 = 0.5;
const FOLLOW_MAX: f64 = 1.05;
/// Epochs without a queue before the rate rises in steps of its own.
const RISE_AFTER: u32 = 2;
const RISE_MAX: f64 = 0.5;
/// Who sent less than this share of what was allowed had nothing to send.
const STARVED: f64 = 0.9;
/// What schedulers make the queue seem to differ.
const JITTER_USUAL: Duration = Duration::from_millis(1);
/// What schedulers of both ends add to every packet of half an epoch, at worst.
const QUEUE_NOISE: Duration = Duration::from_millis(2);
/// What we claim when we begin to compete: of a path that was ours alone, a little more than half,
/// because a window that starts too large is cut sooner than one that starts too small grows.
const PEAK_SHARE: f64 = 0.6;
/// Seconds.
const PEAK_FADES: f64 = 30.0;
/// Paths with a shorter round trip keep a shorter queue.
const SHORT: Duration = Duration::from_millis(20);
const TARGET_LAN: Duration = Duration::from_micros(2_500);
/// Epochs of yielding in vain before we compete. Flows of ours that start together need some, too.
const CROWD_EPOCHS: u32 = 10;
/// The same, soon after a competition.
const CROWD_EPOCHS_AGAIN: u32 = 6;
/// That soon.
const MEMORY: Duration = Duration::from_secs(10);
const CONTEST_EPOCHS: u32 = 12;
const PEACE_EPOCHS: u32 = 24;
const PEACE_EPOCHS_RISEN: u32 = 8;
const PEACE_EPOCHS_SQUEEZED: u32 = 100;
/// Seconds of round trip per multiple of the usual queue in a contest.
const CONTEST_BASE: f64 = 12.5e-3;
const CONTEST_MIN: f64 = 3.0;
/// Shorter paths find equal shares soon enough without.
const CONTEST_RTT_MIN: Duration = Duration::from_millis(10);
/// Who has so little of what was his begins a contest: those who share the path make room, and those
/// who fill it are found out.
const SQUEEZED: f64 = 0.6;
/// Two chances within the minimum's window.
const LOOK_EVERY: Duration = Duration::from_secs(4);
const LOOK_TURNS_CONTEST: u32 = 2;
const LOOK_MARGIN: Duration = Duration::from_millis(1);
