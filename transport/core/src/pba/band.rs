//! An interval around each prediction that holds four outcomes of five.
//!
//! Nothing is assumed about errors: both edges follow their own misses (quantile tracking, the
//! proportional part of "Conformal PID Control for Time Series Prediction", Angelopoulos, Candès
//! and Tibshirani 2023, after Gibbs and Candès, "Adaptive Conformal Inference", 2021), each on its
//! side, because links fall faster than they rise:
//!
//! ```text
//! low  = bandwidth - below * scale      below *= exp(RATE * (missed - 0.1))
//! high = bandwidth + above * scale      above *= exp(RATE * (missed - 0.1))
//! ```
//! An edge that is missed more often than one time in ten moves out, and in otherwise. Whatever
//! the link does, the share of misses comes to a tenth on each side in the long run.

/// Share of outcomes that may lie beyond each edge.
const MISSES: f32 = 0.1;
/// `RATE`: a miss moves its edge out by a tenth.
const RATE: f32 = 0.1;
/// In units of the median error: where the edges of an 80 % interval are when errors are
/// Laplace-distributed, ln 5 / ln 2.
const REACH_FIRST: f32 = 2.32;
/// Bounds of the edges. A narrower one would take minutes to come out again.
const REACH_MIN: f32 = 0.02;
const REACH_MAX: f32 = 1e4;

/// An interval that adapts to its misses.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Band {
    below: f32,
    above: f32,
}

impl Band {
    pub(super) const fn new() -> Self {
        Self { below: REACH_FIRST, above: REACH_FIRST }
    }

    /// Low and high edge around `mbps`.
    pub(super) fn around(&self, mbps: f32, scale_mbps: f32) -> (f32, f32) {
        let low = (mbps - self.below * scale_mbps).max(0.0).min(mbps);
        (low, mbps + self.above * scale_mbps)
    }

    /// The link carried `actual_mbps` where `(low, high)` was expected.
    pub(super) fn handle_outcome(&mut self, (low, high): (f32, f32), actual_mbps: f32) {
        let step = |reach: &mut f32, missed: bool| {
            let over = if missed { 1.0 - MISSES } else { -MISSES };
            *reach = (*reach * (RATE * over).exp()).clamp(REACH_MIN, REACH_MAX);
        };
        step(&mut self.below, actual_mbps < low);
        step(&mut self.above, actual_mbps > high);
    }
}
