//! Start-up: the window doubles each round trip until the path is full.
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
    best: f64,
    stalled: u32,
}

impl Start {
    pub(super) fn new(window: f64) -> Self {
        Self { window, late_run: 0, best: 0.0, stalled: 0 }
    }

    pub(super) fn window(&self) -> f64 {
        self.window
    }
}

impl Acp {
    pub(super) fn handle_acks_starting(&mut self, now: Duration, rtt: Duration, bytes: u64) {
        let base = self.base();
        // A window that was not used says nothing about a larger one.
        if (self.in_flight + bytes) as f64 >= self.start.window / 2.0 {
            self.start.window = (self.start.window + bytes as f64).min(super::WINDOW_MAX);
        }
        let rate = self.start.window / base.as_secs_f64();
        let late = (steady::queue_target(rate, base) * 2).max(base / 6);
        self.start.late_run = if rtt > base + late { self.start.late_run + 1 } else { 0 };
        if self.start.late_run >= LATE_ACKS {
            self.settle(now);
        }
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
        let span = (base / 4).max(RATE_SPAN_MIN);
        let delivered = self.meter.rate(now, span);
        self.rate = (delivered / (1.0 - self.loss.usual())).min(self.rate_max);
        self.phase = Phase::Settling { until: now + base * 4 };
    }

    pub(super) fn enter_steady(&mut self, now: Duration) {
        self.phase = Phase::Steady;
        self.epoch = Epoch::new(now, self.base());
        self.steady.handle_entered();
    }
}

/// HyStart++ takes 8 samples; ours are acknowledgement frames, of two packets or more.
const LATE_ACKS: u32 = 6;
/// What is delivered within less says more about lumps of acknowledgements than about the path.
const RATE_SPAN_MIN: Duration = Duration::from_millis(4);
