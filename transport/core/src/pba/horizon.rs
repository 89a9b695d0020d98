//! Everything about one distance into the future: its mixture, its band, and what it promised.

use super::band::Band;
use super::experts::{Forecasts, PATTERNS, Pattern};
use super::mixture::Mixture;

/// A prediction for one horizon, in Mbit/s.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Outlook {
    pub(super) mbps: f32,
    pub(super) low: f32,
    pub(super) high: f32,
    pub(super) pattern: Pattern,
}

/// Predicts one fixed number of seconds ahead.
#[derive(Debug, Clone)]
pub(super) struct Horizon {
    mixture: Mixture,
    band: Band,
}

impl Horizon {
    pub(super) fn new(prior: &'static Forecasts) -> Self {
        Self { mixture: Mixture::new(prior), band: Band::new() }
    }

    pub(super) fn handle_first(&mut self, mbps: f32) {
        self.mixture.handle_first(mbps);
    }

    /// The link carried `actual_mbps` where `outlook` had been made of `forecasts`.
    pub(super) fn handle_outcome(
        &mut self,
        forecasts: &Forecasts,
        outlook: &Outlook,
        actual_mbps: f32,
    ) {
        self.band.handle_outcome((outlook.low, outlook.high), actual_mbps);
        self.mixture.handle_outcome(forecasts, outlook.mbps, actual_mbps);
    }

    pub(super) fn outlook(&self, forecasts: &Forecasts) -> Outlook {
        let mixed = self.mixture.mix(forecasts);
        let (low, high) = self.band.around(mixed.mbps, self.mixture.usual_error());
        Outlook { mbps: mixed.mbps, low, high, pattern: PATTERNS[mixed.expert] }
    }

    pub(super) fn losses(&self) -> Forecasts {
        self.mixture.losses()
    }

    pub(super) fn usual_error(&self) -> f32 {
        self.mixture.usual_error()
    }
}
