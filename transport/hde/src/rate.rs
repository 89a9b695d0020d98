//! How fast the link takes bytes, from when it took them.

use std::time::Duration;

/// Bytes per second of a link, over the time in which something waited for it.
#[derive(Debug, Clone, Default)]
pub struct LinkRate {
    /// When bytes were taken last, and whether more waited after that.
    last: Option<(Duration, Waiting)>,
    busy_seconds: f64,
    busy_bytes: f64,
}

/// Whether bytes still waited when some were taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waiting {
    Some,
    None,
}

/// What was seen this much busy time ago counts a third.
const MEMORY_SECONDS: f64 = 2.0;
/// Busy time that a rate rests on, at least: what a block takes on a local link.
const SEEN_SECONDS_MIN: f64 = 2e-5;

impl LinkRate {
    /// The link took `bytes` at `now`.
    pub fn handle_taken(&mut self, now: Duration, bytes: usize, waiting: Waiting) {
        // Bytes taken while nothing had waited tell of buffers, not of the link.
        if let Some((then, Waiting::Some)) = self.last {
            let seconds = now.saturating_sub(then).as_secs_f64();
            let kept = (-seconds / MEMORY_SECONDS).exp();
            self.busy_seconds = self.busy_seconds * kept + seconds;
            self.busy_bytes = self.busy_bytes * kept + bytes as f64;
        }
        self.last = Some((now, waiting));
    }

    /// `None` until the link was busy for a while.
    pub fn bytes_per_s(&self) -> Option<f64> {
        (self.busy_seconds >= SEEN_SECONDS_MIN).then(|| self.busy_bytes / self.busy_seconds)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_over_busy_time_and_follows_a_change() {
        let mut rate = LinkRate::default();
        let mut now = Duration::ZERO;
        let mut run = |rate: &mut LinkRate, steps, bytes, waiting| {
            for _ in 0..steps {
                now += Duration::from_millis(10);
                rate.handle_taken(now, bytes, waiting);
            }
        };
        assert_eq!(rate.bytes_per_s(), None);
        run(&mut rate, 100, 10_000, Waiting::Some);
        assert!((rate.bytes_per_s().unwrap() / 1e6 - 1.0).abs() < 0.02);
        // A sender with nothing to send tells nothing of the link.
        run(&mut rate, 1, 10_000, Waiting::None);
        run(&mut rate, 300, 10, Waiting::None);
        assert!((rate.bytes_per_s().unwrap() / 1e6 - 1.0).abs() < 0.02);
        run(&mut rate, 1000, 1_000, Waiting::Some);
        assert!((rate.bytes_per_s().unwrap() / 1e5 - 1.0).abs() < 0.1);
    }
}
