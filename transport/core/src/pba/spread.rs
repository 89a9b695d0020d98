//! Three quantiles of rates in constant memory: what is usual.

use bincode::{Decode, Encode};
use novacron_protocol::Bitrate;

use super::prediction::Usual;

/// Follows the tenth, fiftieth and ninetieth percentile of rates by stochastic approximation
/// (Robbins and Monro, 1951): each sample moves each of them by `step`, up with the weight of its
/// quantile and down with that of the rest. Rates are logarithms, so that steps are parts of a
/// rate; and the step shrinks as one over the number of samples, down to [`STEP_MIN`], so that
/// first samples are learned fast and later changes are never missed.
#[derive(Debug, Clone, Copy, PartialEq, Encode, Decode)]
pub(super) struct Spread {
    /// Natural logarithms of bits per second, ascending.
    quantiles: [f32; 3],
    samples: u32,
}

const QUANTILES: [f32; 3] = [0.1, 0.5, 0.9];
/// Twice the optimum for rates that are spread over a factor of e: spreads of links are no narrower
/// by much, and a first sample far off is left sooner.
const STEP_FIRST: f32 = 2.0;
/// Half a percent of the rate: a lasting change by half is followed within 300 samples.
const STEP_MIN: f32 = 0.005;
/// Natural logarithm of 2^64 bits per second, the fastest there is.
const LN_MAX: f32 = 44.4;

impl Spread {
    pub(super) const EMPTY: Self = Self { quantiles: [0.0; 3], samples: 0 };

    pub(super) fn handle_sample(&mut self, rate: Bitrate) {
        // An outage is a rate of 1 bit/s: logarithms know no zero.
        let value = (rate.0.max(1) as f32).ln();
        self.samples = self.samples.saturating_add(1);
        if self.samples == 1 {
            self.quantiles = [value; 3];
            return;
        }
        let step = (STEP_FIRST / self.samples as f32).max(STEP_MIN);
        for (at, quantile) in self.quantiles.iter_mut().zip(QUANTILES) {
            let pull = if value > *at { quantile } else { quantile - 1.0 };
            // No step leads past the sample: a steady rate is met and not circled.
            let moved = *at + step * pull;
            *at = if (value > *at) == (value > moved) { moved } else { value };
        }
        self.quantiles.sort_unstable_by(f32::total_cmp);
    }

    pub(super) fn samples(&self) -> u32 {
        self.samples
    }

    /// Whether this can be one that [`Self::handle_sample`] left: bytes from a disk may say anything.
    pub(super) fn is_sound(&self) -> bool {
        self.quantiles.iter().all(|value| (0.0..=LN_MAX).contains(value))
            && self.quantiles.is_sorted()
    }

    /// What several of them say together, each counting as much as it has samples, but at most
    /// `samples_max`; `None` when none has any.
    pub(super) fn pooled<'a>(
        spreads: impl Iterator<Item = &'a Self>,
        samples_max: u32,
    ) -> Option<Self> {
        let (mut sums, mut weights, mut samples) = ([0.0; 3], 0.0, 0_u32);
        for spread in spreads {
            let weight = f64::from(spread.samples.min(samples_max));
            for (sum, quantile) in sums.iter_mut().zip(spread.quantiles) {
                *sum += weight * f64::from(quantile);
            }
            weights += weight;
            samples = samples.saturating_add(spread.samples);
        }
        (samples > 0).then(|| Self { quantiles: sums.map(|sum| (sum / weights) as f32), samples })
    }

    /// `None` before the first sample.
    pub(super) fn usual(&self) -> Option<Usual> {
        let [low, median, high] =
            self.quantiles.map(|value| Bitrate(f64::from(value).exp() as u64));
        (self.samples > 0).then_some(Usual { low, median, high })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn quantiles_are_found_and_followed() {
        let mut spread = Spread::EMPTY;
        // 1 to 100 Mbit/s in an order that is mixed: 37 has no factor in common with 100.
        let mut feed = |scale: u64| {
            for index in 0..20_000_u64 {
                spread.handle_sample(Bitrate::mbit((index * 37 % 100 + 1) * scale));
            }
            let usual = spread.usual().unwrap();
            [usual.low, usual.median, usual.high].map(|rate| rate.0 / 1_000_000)
        };
        let near = |found: [u64; 3], wanted: [u64; 3]| {
            found.iter().zip(wanted).all(|(found, wanted)| found.abs_diff(wanted) * 4 <= wanted)
        };
        let found = feed(1);
        assert!(near(found, [10, 50, 90]), "{found:?}");
        let found = feed(10);
        assert!(near(found, [100, 500, 900]), "{found:?}");
    }

    #[test]
    fn a_steady_rate_is_its_own_quantiles() {
        let mut spread = Spread::EMPTY;
        assert_eq!(spread.usual(), None);
        for _ in 0..100 {
            spread.handle_sample(Bitrate::mbit(20));
        }
        let usual = spread.usual().unwrap();
        assert_eq!(usual.low, usual.high);
        assert!(usual.median.0.abs_diff(20_000_000) < 200, "{usual:?}");
    }

    proptest! {
        #[test]
        fn quantiles_stay_in_order_whatever_comes(rates in prop::collection::vec(any::<u64>(), 1..200)) {
            let mut spread = Spread::EMPTY;
            for rate in rates {
                spread.handle_sample(Bitrate(rate));
                prop_assert!(spread.is_sound());
                let usual = spread.usual().unwrap();
                prop_assert!(usual.low <= usual.median && usual.median <= usual.high);
            }
        }
    }
}
