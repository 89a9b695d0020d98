//! How long to wait before the next try: exponential, bounded, jittered.

use std::time::Duration;

/// Doubles from `first` up to `max`; half of each delay is random, so that a thousand agents
/// that lost the same member do not come back in the same instant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    pub first: Duration,
    pub max: Duration,
}

impl Backoff {
    /// For links to members. With a dial that gives up after 4 s, `max` keeps the longest silence
    /// after a healed network under the 5 s in which a fleet must agree again.
    pub const LINK: Self =
        Self { first: Duration::from_millis(100), max: Duration::from_millis(1500) };

    /// The wait before try number `attempt` (0 is the first retry): between half of the ceiling
    /// `min(first * 2^attempt, max)` and all of it, as `entropy` picks.
    pub fn delay(&self, attempt: u32, entropy: u64) -> Duration {
        let doubled = 1_u32
            .checked_shl(attempt)
            .map_or(self.max, |factor| self.first.checked_mul(factor).unwrap_or(self.max));
        let half = doubled.min(self.max) / 2;
        half + crate::share(half, entropy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn ceilings_double_up_to_the_maximum() {
        let ceilings: Vec<_> =
            (0..6).map(|attempt| Backoff::LINK.delay(attempt, u64::MAX).as_millis()).collect();
        assert_eq!(ceilings, [100, 200, 400, 800, 1500, 1500]);
        assert_eq!(Backoff::LINK.delay(0, 0).as_millis(), 50);
    }

    proptest! {
        #[test]
        fn every_delay_is_between_half_the_ceiling_and_the_ceiling(
            attempt in any::<u32>(), entropy in any::<u64>(), first_ms in 1_u64..10_000, max_ms in 1_u64..100_000,
        ) {
            let backoff = Backoff {
                first: Duration::from_millis(first_ms),
                max: Duration::from_millis(max_ms),
            };
            let ceiling = backoff.delay(attempt, u64::MAX);
            let delay = backoff.delay(attempt, entropy);
            prop_assert!(delay <= ceiling && ceiling <= backoff.max);
            prop_assert!(delay >= ceiling / 2 - Duration::from_nanos(1));
        }
    }
}
