//! When to renew a certificate, and when to try again.

use std::time::Duration;

use novacron_protocol::Timestamp;

/// The span in which a certificate is valid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Life {
    pub not_before: Timestamp,
    pub not_after: Timestamp,
}

/// Shortest wait between two tries, so that a member in trouble is not hammered.
const RETRY_MIN: Duration = Duration::from_millis(500);
/// Longest wait between two tries: an operator who repaired the cause sees the effect.
const RETRY_MAX: Duration = Duration::from_secs(15 * 60);

impl Life {
    /// How long to wait at `now` before renewing: until two thirds of the life are over. Up to a
    /// thirtieth of the life more, as `entropy` picks, keeps hosts that joined together from
    /// renewing together.
    pub fn renew_in(&self, now: Timestamp, entropy: u64) -> Duration {
        let life = Duration::from(self.not_after - self.not_before);
        let due = life * 2 / 3 + crate::share(life / 30, entropy);
        due.saturating_sub((now - self.not_before).into())
    }

    /// How long to wait at `now` after a renewal failed: a tenth of what is left, so that tries
    /// become denser towards the end, within bounds and jittered by half.
    pub fn retry_in(&self, now: Timestamp, entropy: u64) -> Duration {
        let left = self.left(now);
        let step = (left / 10).clamp(RETRY_MIN, RETRY_MAX);
        step / 2 + crate::share(step / 2, entropy)
    }

    /// What is left at `now`; zero when it is over.
    pub fn left(&self, now: Timestamp) -> Duration {
        (self.not_after - now).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR_MS: u64 = 3_600_000;
    const DAY: Life =
        Life { not_before: Timestamp(1_000), not_after: Timestamp(1_000 + 24 * HOUR_MS) };

    fn at(hours: u64) -> Timestamp {
        Timestamp(1_000 + hours * HOUR_MS)
    }

    #[test]
    fn renewal_is_due_at_two_thirds_of_the_life() {
        assert_eq!(DAY.renew_in(at(0), 0), Duration::from_secs(16 * 3600));
        assert_eq!(DAY.renew_in(at(15), 0), Duration::from_secs(3600));
        assert_eq!(DAY.renew_in(at(17), 0), Duration::ZERO);
        assert_eq!(DAY.renew_in(at(99), u64::MAX), Duration::ZERO);
    }

    #[test]
    fn jitter_never_delays_renewal_by_more_than_a_thirtieth_of_the_life() {
        let latest = DAY.renew_in(at(0), u64::MAX);
        assert_eq!(latest, Duration::from_secs(16 * 3600 + 48 * 60));
    }

    #[test]
    fn a_clock_before_the_life_waits_until_two_thirds_of_it() {
        assert_eq!(DAY.renew_in(Timestamp(0), 0), Duration::from_secs(16 * 3600));
    }

    #[test]
    fn tries_become_denser_towards_the_end() {
        assert_eq!(DAY.retry_in(at(16), u64::MAX), RETRY_MAX);
        assert_eq!(DAY.retry_in(at(23), u64::MAX), Duration::from_secs(360));
        assert_eq!(DAY.retry_in(at(23), 0), Duration::from_secs(180));
        assert_eq!(DAY.retry_in(at(25), u64::MAX), RETRY_MIN);
    }
}
