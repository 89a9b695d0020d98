//! Start-up: the window triples each round trip, and doubles once a queue shows, until the path is
//! full.
//!
//! It ends when a queue shows (several acknowledgements in a row that are late, as HyStart++ does, RFC
//! 9406), when the delivery rate stops growing (BBR: less than 25 % in three round trips), or when
//! more is lost than usual.

use std::time::Duration;

use super::epoch::{Epoch, Measure};
use super::loss::Verdict;
use super::{Acp, Phase, steady};

/// Start-up's own state.
#[derive(Debug, Clone)]
pub(super) struct Start {
    window: f64,
    /// Acknowledgements in a row that saw a queue.
    late_run: u32,
    /// Since when there has been a queue.
    late_since: Option<Duration>,
    best: f64,
    stalled: u32,
}

impl Start {
    pub(super) fn new(window: f64) -> Self {
        Self { window, late_run: 0, late_since: None, best: 0.0, stalled: 0 }
    }

    pub(super) fn window(&self) -> f64 {
        self.window
    }
}

impl Acp {
    pub(super) fn handle_acks_starting(&mut self, now: Duration, rtt: Duration, bytes: u64) {
        let base = self.base();
        let rate = self.start.window / base.as_secs_f64();
        let target = steady::queue_target(rate, base);
        let is_late = rtt > base + (target * 2).max(base / 6);
        self.start.late_run = if is_late { self.start.late_run + 1 } else { 0 };
        // A window that was not used says nothing about a larger one.
        if (self.in_flight + bytes) as f64 >= self.start.window / 2.0 {
            let growth = if rtt > base + target + base / 16 { 1.0 } else { GROWTH_FREE };
            let grown = self.start.window + growth * bytes as f64;
            self.start.window = grown.min(super::WINDOW_MAX);
        }
        if self.start.late_run < LATE_ACKS {
            return;
        }
        let late_since = *self.start.late_since.get_or_insert(now);
        if !self.is_gaining(now) || rtt > base * 2 {
            if now.saturating_sub(late_since) > base / 3 {
                self.join(now, rtt);
            } else {
                self.settle(now);
            }
        }
    }

    /// Whether the delivery rate still grows with the window, although there is a queue: then the
    /// queue is of others', who make room, and leaving now would leave us with next to nothing.
    fn is_gaining(&self, now: Duration) -> bool {
        let span = (self.base() / 2).max(RATE_SPAN_MIN);
        self.meter.rate(now, span) > GAINING * self.meter.rate_ago(now, span, span)
    }

    pub(super) fn handle_epoch_starting(
        &mut self,
        now: Duration,
        measure: &Measure,
        loss: Verdict,
    ) {
        if measure.app_limited {
            self.rate = self.rate.max(measure.passed);
            return;
        }
        self.rate = measure.passed;
        if measure.passed > self.start.best * 1.25 {
            (self.start.best, self.start.stalled) = (measure.passed, 0);
        } else {
            self.start.stalled += 1;
        }
        if self.start.stalled >= 3 || loss == Verdict::Excess {
            self.settle(now);
        }
    }

    /// The path is full: what it delivers now is what it has for us.
    fn settle(&mut self, now: Duration) {
        let base = self.base();
        let spans = [base / 4, base / 2, base];
        let rates = spans.map(|span| self.meter.rate(now, span.max(RATE_SPAN_MIN)));
        let delivered = rates.into_iter().fold(0.0, f64::max);
        self.rate = (delivered / (1.0 - self.loss.usual())).min(self.rate_max);
        self.phase = Phase::Settling { until: now + base * 4 };
    }

    /// The path is full, and others are on it. They make room while we do not; what is in flight over
    /// a round trip is what we shall get in the next one.
    fn join(&mut self, now: Duration, rtt: Duration) {
        self.rate = (self.in_flight as f64 / rtt.as_secs_f64()).min(self.rate_max);
        self.enter_steady(now);
        self.steady.begin_contest();
    }

    pub(super) fn enter_steady(&mut self, now: Duration) {
        self.phase = Phase::Steady;
        self.epoch = Epoch::new(now, self.base());
        self.steady.handle_entered();
    }
}

/// HyStart++ takes 8 samples; ours are acknowledgement frames, of two packets or more.
const LATE_ACKS: u32 = 6;
/// Acknowledged bytes add so many times themselves while no queue shows: the window triples. The
/// queue of one round trip too much is then 0.8 of the path's product, against 0.4 for doubling.
const GROWTH_FREE: f64 = 2.0;
/// Growth of half a round trip: 1.4 while a window that doubles finds room, 1.2 while it wins a share
/// from others, 1 at the end of a path that is ours alone.
const GAINING: f64 = 1.08;
/// What is delivered within less says more about lumps of acknowledgements than about the path.
const RATE_SPAN_MIN: Duration = Duration::from_millis(4);
