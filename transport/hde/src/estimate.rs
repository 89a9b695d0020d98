//! What each choice costs and brings on this stream, learnt from the blocks coded so far.
//!
//! Two layers, in logarithms: what all choices have in common (how hard this content is, how fast
//! this processor), and what sets each apart. A block teaches the first quickly and the second
//! slowly, and what it says of one choice is believed a little of its neighbours, so that 24
//! choices are known after a few blocks. Without the common layer a choice that met an easy block
//! would look better than its neighbours for long.

use crate::choice::{COUNT, PRIORS, RAW};

/// Cost and size of every choice.
#[derive(Debug, Clone)]
pub(crate) struct Estimates {
    seconds: Quantity,
    ratio: Quantity,
}

/// One choice on the next block.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Estimate {
    /// Processor time to code a byte of content.
    pub(crate) seconds_per_byte: f64,
    /// Coded bytes per byte of content.
    pub(crate) ratio: f64,
}

/// One quantity of every choice, as logarithms.
#[derive(Debug, Clone)]
struct Quantity {
    common: f64,
    own: [f64; COUNT],
    seen: [f64; COUNT],
    seen_any: f64,
}

/// Share of a surprise that is put down to the content; the first block's counts whole.
const COMMON_GAIN: f64 = 0.5;
/// Share that is put down to the choice itself.
const OWN_GAIN: f64 = 0.06;
/// How far what is learnt of a choice reaches, in choices.
const REACH: f64 = 2.0;
/// Largest surprise taken at its word: a factor of four. The odd block of zeros is no news.
const SURPRISE_MAX: f64 = 1.4;

impl Default for Estimates {
    fn default() -> Self {
        Self {
            seconds: Quantity::new(|at| PRIORS[at].seconds_per_byte()),
            ratio: Quantity::new(|at| PRIORS[at].ratio),
        }
    }
}

impl Estimates {
    /// Learns what a block coded with the choice at `at` came to, as a share of its content.
    pub(crate) fn handle_ratio(&mut self, at: usize, ratio: f64) {
        self.ratio.handle(at, ratio);
    }

    /// Learns what it took, per byte of content.
    pub(crate) fn handle_seconds(&mut self, at: usize, seconds_per_byte: f64) {
        self.seconds.handle(at, seconds_per_byte);
    }

    pub(crate) fn of(&self, at: usize) -> Estimate {
        if at == RAW {
            return Estimate { seconds_per_byte: PRIORS[RAW].seconds_per_byte(), ratio: 1.0 };
        }
        Estimate { seconds_per_byte: self.seconds.of(at), ratio: self.ratio.of(at).min(1.0) }
    }
}

impl Quantity {
    fn new(prior: impl Fn(usize) -> f64) -> Self {
        let own = std::array::from_fn(|at| prior(at).ln());
        Self { common: 0.0, own, seen: [0.0; COUNT], seen_any: 0.0 }
    }

    fn of(&self, at: usize) -> f64 {
        (self.common + self.own[at]).exp()
    }

    fn handle(&mut self, at: usize, value: f64) {
        let surprise = value.max(1e-12).ln() - self.common - self.own[at];
        if self.seen_any == 0.0 {
            self.common += surprise;
        } else {
            let surprise = surprise.clamp(-SURPRISE_MAX, SURPRISE_MAX);
            // Nothing tells a choice's first trial from its prior: there the surprise is its own.
            let own_gain = OWN_GAIN.max(0.2 / (1.0 + self.seen[at]));
            self.common += COMMON_GAIN * (1.0 - own_gain) * surprise;
            for near in 1..COUNT {
                let reach = (-(near.abs_diff(at) as f64) / REACH).exp();
                self.own[near] +=
                    own_gain * surprise * reach / (1.0 + self.seen[near] * (1.0 - reach));
            }
        }
        self.seen[at] += 1.0;
        self.seen_any += 1.0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::choice::Choice;

    fn at(choice: Choice) -> usize {
        choice.index().unwrap()
    }

    #[test]
    fn the_first_block_tells_how_hard_the_content_is_for_all_choices() {
        let mut estimates = Estimates::default();
        let before = estimates.of(at(Choice::Zstd(9)));
        let one = estimates.of(at(Choice::Zstd(1)));
        estimates.handle_seconds(at(Choice::Zstd(1)), one.seconds_per_byte * 2.0);
        estimates.handle_ratio(at(Choice::Zstd(1)), one.ratio / 2.0);
        let after = estimates.of(at(Choice::Zstd(9)));
        assert!((after.ratio / before.ratio - 0.5).abs() < 1e-9);
        assert!((after.seconds_per_byte / before.seconds_per_byte - 2.0).abs() < 1e-9);
    }

    #[test]
    fn a_level_that_brings_nothing_is_found_out_in_a_few_blocks() {
        let mut estimates = Estimates::default();
        for _ in 0..10 {
            for choice in [Choice::Zstd(1), Choice::Zstd(19)] {
                estimates.handle_ratio(at(choice), 0.9);
            }
        }
        let (low, high) = (estimates.of(at(Choice::Zstd(1))), estimates.of(at(Choice::Zstd(19))));
        assert!((low.ratio / high.ratio - 1.0).abs() < 0.15, "{low:?} {high:?}");
    }
}
