//! Competing with somebody who keeps the queue full, and finding out when to stop.
//!
//! The window is CUBIC's. Whether the queue is still somebody else's shows after a cut: we hold back so
//! far that flows of ours alone would leave no queue at all, for some round trips. All of ours do so
//! at the same time, because all see the cut, or see the queue fall by it.

use std::time::Duration;

use super::cubic::CubicWindow;
use super::epoch::Measure;
use super::{Acp, Phase};

/// The state of a competition.
#[derive(Debug, Clone)]
pub(super) struct Compete {
    cubic: CubicWindow,
    /// The longest round trip since the last look, and what we had then.
    peak: Peak,
    look: Option<Look>,
    /// Epochs since the last look.
    since_look: u32,
    /// What the last look saw.
    seen: Option<Duration>,
    /// Epochs in a row without much of a queue.
    calm_run: u32,
    cut: bool,
}

#[derive(Debug, Clone, Copy, Default)]
struct Peak {
    rtt: Duration,
    window: f64,
    rate: f64,
}

/// Holding back to see whose the queue is.
#[derive(Debug, Clone, Copy)]
struct Look {
    window: f64,
    epochs: u32,
    rtt_min: Duration,
    rate: f64,
}

impl Compete {
    pub(super) fn new(now: Duration, window_bytes: f64, mtu: u64) -> Self {
        Self {
            cubic: CubicWindow::new(now, window_bytes, mtu),
            peak: Peak::default(),
            look: None,
            since_look: 0,
            seen: None,
            calm_run: 0,
            cut: false,
        }
    }

    pub(super) fn window_bytes(&self) -> f64 {
        self.look.map_or(self.cubic.bytes(), |look| look.window.min(self.cubic.bytes()))
    }

    pub(super) fn handle_acked(&mut self, now: Duration, rtt: Duration, bytes: u64) {
        if self.look.is_none() {
            self.cubic.handle_acked(now, rtt, bytes);
        }
    }

    pub(super) fn handle_lost(&mut self, now: Duration, sent: Duration) {
        let before = self.cubic.bytes();
        if self.cubic.handle_lost(now, sent) {
            self.peak.window = self.peak.window.max(before);
            self.cut = true;
        }
    }

    /// An epoch passed with a round trip of `rtt`. Gives the rate we had before, should the queue have
    /// turned out to be ours alone.
    fn handle_epoch(&mut self, rtt: Duration, rate: f64, base: Duration) -> Outcome {
        if let Some(look) = &mut self.look {
            look.epochs += 1;
            if look.epochs >= 2 {
                look.rtt_min = look.rtt_min.min(rtt);
            }
            let look = *look;
            if look.rtt_min <= base + calm(base) {
                return Outcome::Alone { rate: look.rate };
            }
            if look.epochs < LOOK_EPOCHS {
                return Outcome::Going;
            }
            self.look = None;
            let seen = self.seen.replace(look.rtt_min);
            let is_same = seen.is_some_and(|seen| {
                seen.abs_diff(look.rtt_min) < seen / 50 + Duration::from_micros(500)
            });
            return if is_same { Outcome::PathIsLonger } else { Outcome::Going };
        }
        self.since_look += 1;
        if rtt >= self.peak.rtt {
            self.peak = Peak { rtt, window: self.cubic.bytes(), rate };
        }
        let queue = rtt.saturating_sub(base);
        let has_fallen = queue < self.peak.rtt.saturating_sub(base) * 3 / 4;
        if (self.cut || has_fallen) && self.since_look >= LOOK_APART {
            let share = base.as_secs_f64() / self.peak.rtt.as_secs_f64();
            let window = 0.9 * share * self.peak.window;
            let rate = self.peak.rate;
            self.look = Some(Look { window, epochs: 0, rtt_min: Duration::MAX, rate });
            self.peak = Peak::default();
            self.since_look = 0;
        }
        self.cut = false;
        let is_calm = queue <= calm(base);
        self.calm_run = if is_calm { self.calm_run + 1 } else { 0 };
        if self.calm_run >= CALM_EPOCHS { Outcome::Alone { rate } } else { Outcome::Going }
    }
}

/// A queue that needs nobody else to explain it.
fn calm(base: Duration) -> Duration {
    base / 10 + Duration::from_millis(1)
}

enum Outcome {
    Going,
    /// The queue is ours, or gone.
    Alone {
        rate: f64,
    },
    /// What was taken for a queue is there however little we send.
    PathIsLonger,
}

impl Acp {
    /// Somebody else fills the queue: take part with a window of `window_bytes`.
    pub(super) fn enter_competing(&mut self, now: Duration, window_bytes: f64) {
        self.phase = Phase::Competing { compete: Compete::new(now, window_bytes, self.mtu) };
    }

    pub(super) fn handle_epoch_competing(&mut self, now: Duration, measure: &Measure) {
        self.rate = measure.passed.min(self.rate_max);
        let base = self.base();
        let Phase::Competing { compete } = &mut self.phase else { return };
        let outcome = compete.handle_epoch(measure.rtt, self.rate, base);
        let window = compete.cubic.bytes();
        match outcome {
            Outcome::Going => self.base.keep(now),
            Outcome::PathIsLonger => self.base.forget(),
            Outcome::Alone { rate } => {
                self.rate = rate;
                self.enter_steady(now);
                self.steady.handle_competed(now, window);
            }
        }
    }
}

const LOOK_EPOCHS: u32 = 4;
/// Epochs between two looks: a look costs us some of our share.
const LOOK_APART: u32 = 16;
const CALM_EPOCHS: u32 = 3;
