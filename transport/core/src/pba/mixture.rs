//! Mixes the experts' forecasts for one horizon into the value that is most likely.
//!
//! A forecast is judged by its error, counted in units of the path's usual error and cut off
//! there: one that is far off is wrong, and how far does not matter. Experts are weighed
//! exponentially by what they lost lately (Vovk 1990; Littlestone and Warmuth, "The weighted
//! majority algorithm", 1994; with discounting as Herbster and Warmuth, "Tracking the best
//! expert", 1998):
//!
//! ```text
//! loss_k   = D * loss_k + min(|forecast_k - actual| / (W * usual), 1)        after each second
//! weight_k = exp(-ETA * (loss_k + N * prior_k) / (count + N))
//! bandwidth = the densest place of the weighted forecasts, seen through K * usual
//! ```
//! The densest place and not the mean: what is asked for is the least *median* error, that is the
//! most actual values within a given distance, and between two camps of experts lies nothing.

use super::experts::{EXPERTS, Forecasts, kernel};

/// `D`: half of what was lost is forgotten in about six minutes.
const DISCOUNT: f32 = 0.998;
/// `ETA`: an expert that is too far off a tenth more often has a twentieth of the weight.
const LEARNING_RATE: f32 = 30.0;
/// `W`: errors in units of the usual one, at which a forecast is as wrong as can be.
const LOSS_WIDTH: f32 = 1.6;
/// `N`: seconds that the prior counts for.
const PRIOR_SECONDS: f32 = 30.0;
/// `K`: width of the window in units of the usual error.
const WINDOW_WIDTH: f32 = 1.25;
/// Weight of the first expert (the last second goes on) before it is judged, against 1 of the
/// others: most of them smooth, and would win by number.
const LAST_WEIGHT: f32 = 1.5;
/// Step of the usual error towards the median of errors, as a part of it.
const USUAL_STEP: f32 = 0.03;

/// The mixture for one horizon.
#[derive(Debug, Clone)]
pub(super) struct Mixture {
    prior: &'static Forecasts,
    loss: Forecasts,
    count: f32,
    /// Follows the median of the mixture's own errors, in Mbit/s.
    usual_error: f32,
    /// Highest rate lately, in Mbit/s: an outage must not make the path look free of errors.
    peak: f32,
}

/// What the mixture says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Mixed {
    pub(super) mbps: f32,
    /// The expert that speaks loudest for it.
    pub(super) expert: usize,
}

impl Mixture {
    pub(super) fn new(prior: &'static Forecasts) -> Self {
        Self { prior, loss: [0.0; EXPERTS], count: 0.0, usual_error: 0.0, peak: 0.0 }
    }

    /// Follows the median of own errors, in Mbit/s.
    pub(super) fn usual_error(&self) -> f32 {
        self.usual_error
    }

    /// A path was seen for the first time, at a rate of about `level_mbps`.
    pub(super) fn handle_first(&mut self, level_mbps: f32) {
        self.peak = level_mbps;
        // A tenth is what the links of the tuning half have within a few seconds.
        self.usual_error = (level_mbps / 10.0).max(self.floor());
    }

    /// The link carried `actual_mbps`, when the experts had said `forecasts` and this mixture
    /// `mixed_mbps`.
    pub(super) fn handle_outcome(
        &mut self,
        forecasts: &Forecasts,
        mixed_mbps: f32,
        actual_mbps: f32,
    ) {
        let over = (mixed_mbps - actual_mbps).abs() > self.usual_error;
        self.usual_error *= if over { 1.0 + USUAL_STEP } else { 1.0 - USUAL_STEP };
        self.peak = (self.peak * DISCOUNT).max(actual_mbps);
        self.usual_error = self.usual_error.clamp(self.floor(), MBPS_MAX);
        let width = LOSS_WIDTH * self.usual_error;
        for (loss, forecast) in self.loss.iter_mut().zip(forecasts) {
            let lost = ((forecast - actual_mbps).abs() / width).min(1.0);
            *loss = *loss * DISCOUNT + lost;
        }
        self.count = self.count * DISCOUNT + 1.0;
    }

    pub(super) fn mix(&self, forecasts: &Forecasts) -> Mixed {
        let weights = self.weights();
        let width = WINDOW_WIDTH * self.usual_error;
        let (mut best, mut best_density) = (Mixed { mbps: forecasts[0], expert: 0 }, 0.0);
        for centre in forecasts {
            let (mut density, mut sum, mut loudest) = (0.0, 0.0, (0.0, 0));
            for (index, (forecast, weight)) in forecasts.iter().zip(weights).enumerate() {
                let voice = weight * kernel((forecast - centre) / width);
                density += voice;
                sum += voice * forecast;
                if voice > loudest.0 {
                    loudest = (voice, index);
                }
            }
            if density > best_density {
                best_density = density;
                best = Mixed { mbps: sum / density, expert: loudest.1 };
            }
        }
        best
    }

    /// What each expert lost on average lately, from 0 to 1; of the prior before the first second.
    pub(super) fn losses(&self) -> Forecasts {
        let mut losses = [0.0; EXPERTS];
        for (index, loss) in losses.iter_mut().enumerate() {
            *loss = (self.loss[index] + PRIOR_SECONDS * self.prior[index])
                / (self.count + PRIOR_SECONDS);
        }
        losses
    }

    fn weights(&self) -> Forecasts {
        // Losses lie between 0 and 1, so that no weight vanishes.
        let mut weights = self.losses().map(|loss| (-LEARNING_RATE * loss).exp());
        weights[0] *= LAST_WEIGHT;
        weights
    }

    /// Least usual error: half a percent of the peak, and 1 bit/s, so that it finds back within
    /// two minutes and divisions stay finite.
    fn floor(&self) -> f32 {
        (self.peak / 200.0).max(1e-6)
    }
}

/// Fastest link that is thought of, far above any: keeps squares within what `f32` holds.
pub(super) const MBPS_MAX: f32 = 1e9;
