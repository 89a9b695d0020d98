//! How much was delivered lately: the rate over a trailing span, from a ring of checkpoints.

use std::time::Duration;

/// Delivered bytes at up to [`CHECKPOINTS`] moments, a `spacing` apart or more.
#[derive(Debug, Clone)]
pub(super) struct Meter {
    ring: [(Duration, u64); CHECKPOINTS],
    /// Index of the newest checkpoint.
    newest: usize,
    delivered: u64,
}

impl Meter {
    pub(super) fn new(now: Duration) -> Self {
        Self { ring: [(now, 0); CHECKPOINTS], newest: 0, delivered: 0 }
    }

    /// `bytes` were acknowledged at `now`; `spacing` is a sixteenth of a round trip, so that two of them are kept.
    pub(super) fn handle_delivered(&mut self, now: Duration, bytes: u64, spacing: Duration) {
        self.delivered += bytes;
        if now.saturating_sub(self.ring[self.newest].0) >= spacing {
            self.newest = (self.newest + 1) % CHECKPOINTS;
            self.ring[self.newest] = (now, self.delivered);
        }
    }

    /// Bytes per second over the shortest recorded span of at least `span`, or the longest there is.
    pub(super) fn rate(&self, now: Duration, span: Duration) -> f64 {
        let from = self.checkpoint_before(now.saturating_sub(span));
        rate_between(from, (now, self.delivered))
    }

    /// The same for the span that ended `ago`.
    pub(super) fn rate_ago(&self, now: Duration, span: Duration, ago: Duration) -> f64 {
        let end = now.saturating_sub(ago);
        let (from, to) = (end.saturating_sub(span), self.checkpoint_before(end));
        rate_between(self.checkpoint_before(from), to)
    }

    /// The newest checkpoint that is not after `at`, or the oldest there is.
    fn checkpoint_before(&self, at: Duration) -> (Duration, u64) {
        let newest_first = (0..CHECKPOINTS)
            .map(|back| self.ring[(self.newest + CHECKPOINTS - back) % CHECKPOINTS]);
        let oldest = self.ring[(self.newest + 1) % CHECKPOINTS];
        newest_first.into_iter().find(|point| point.0 <= at).unwrap_or(oldest)
    }
}

fn rate_between(from: (Duration, u64), to: (Duration, u64)) -> f64 {
    let elapsed = to.0.saturating_sub(from.0).max(ELAPSED_MIN);
    to.1.saturating_sub(from.1) as f64 / elapsed.as_secs_f64()
}

const CHECKPOINTS: usize = 32;
/// No span can be timed better.
const ELAPSED_MIN: Duration = Duration::from_micros(50);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_is_that_of_the_trailing_span() {
        let ms = Duration::from_millis;
        let mut meter = Meter::new(ms(0));
        for at in 1..=200 {
            // 1 kB/ms, then 3 kB/ms for the last 40 ms.
            let bytes = if at > 160 { 3_000 } else { 1_000 };
            meter.handle_delivered(ms(at), bytes, ms(5));
        }
        assert_eq!(meter.rate(ms(200), ms(20)), 3e6);
        let mixed = meter.rate(ms(200), ms(60));
        assert!((1.9e6..2.5e6).contains(&mixed), "{mixed}");
        assert_eq!(meter.rate_ago(ms(200), ms(20), ms(60)), 1e6);
    }
}
