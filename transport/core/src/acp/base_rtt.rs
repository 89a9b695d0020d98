//! The shortest round trip of the last seconds: the path without its queues.
//!
//! A windowed minimum in ten buckets, so that a sample costs a comparison and a bucket's end a look
//! at ten numbers. The window is BBR's 10 s (draft-ietf-ccwg-bbr, `MinRTTFilterLen`): longer, and a
//! path that became longer is taken for a queue; shorter, and the drains that keep it honest cost
//! goodput.

use std::time::Duration;

/// Windowed minimum of round-trip times.
#[derive(Debug, Clone)]
pub(super) struct BaseRtt {
    buckets: [Duration; BUCKETS],
    /// Number of the bucket that takes samples, counted from time zero.
    current: u64,
    min: Option<Duration>,
    /// When a sample was last as short as the path without queues allows, as far as is known.
    bare_at: Duration,
}

impl BaseRtt {
    pub(super) fn new(now: Duration) -> Self {
        Self { buckets: [NEVER; BUCKETS], current: bucket_of(now), min: None, bare_at: now }
    }

    pub(super) fn handle_sample(&mut self, now: Duration, rtt: Duration) {
        self.advance(now);
        let bucket = &mut self.buckets[(self.current % BUCKETS as u64) as usize];
        *bucket = rtt.min(*bucket);
        if self.min.is_none_or(|min| rtt < min) {
            self.min = Some(rtt);
        }
        if self.min.is_some_and(|min| rtt <= min + BARE) {
            self.bare_at = now;
        }
    }

    /// Forgets everything but the last value, which holds until the next sample.
    pub(super) fn forget(&mut self) {
        self.buckets = [NEVER; BUCKETS];
    }

    /// Keeps the value as if it had been seen now.
    pub(super) fn keep(&mut self, now: Duration) {
        if let Some(min) = self.min {
            self.handle_sample(now, min);
        }
    }

    /// `None` before the first sample.
    pub(super) fn value(&self) -> Option<Duration> {
        self.min
    }

    /// How long no sample has been near the minimum.
    pub(super) fn stale_for(&self, now: Duration) -> Duration {
        now.saturating_sub(self.bare_at)
    }

    /// Counts the path as looked at, whatever was seen.
    pub(super) fn handle_looked(&mut self, now: Duration) {
        self.bare_at = now;
    }

    fn advance(&mut self, now: Duration) {
        let next = bucket_of(now);
        if next <= self.current {
            return;
        }
        for passed in 0..(next - self.current).min(BUCKETS as u64) {
            self.buckets[((next - passed) % BUCKETS as u64) as usize] = NEVER;
        }
        self.current = next;
        let min = self.buckets.iter().copied().min().filter(|min| *min != NEVER);
        // Without any sample in the window (idle, blackout) the next one is the new minimum.
        self.min = min;
    }
}

fn bucket_of(now: Duration) -> u64 {
    now.as_secs()
}

/// One second each: the window is 9 to 10 s long.
const BUCKETS: usize = 10;
const NEVER: Duration = Duration::MAX;
/// A queue that one measures as this long may as well be noise of clocks and schedulers.
const BARE: Duration = Duration::from_micros(300);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minimum_is_forgotten_after_its_window() {
        let (s, ms) = (Duration::from_secs, Duration::from_millis);
        let mut base = BaseRtt::new(s(0));
        assert_eq!(base.value(), None);
        base.handle_sample(s(1), ms(40));
        for at in 2..11 {
            base.handle_sample(s(at), ms(50));
            assert_eq!(base.value(), Some(ms(40)), "at {at} s");
        }
        assert_eq!(base.stale_for(s(10)), s(9));
        base.handle_sample(s(11), ms(50));
        assert_eq!(base.value(), Some(ms(50)));
    }

    #[test]
    fn after_a_silence_the_first_sample_counts() {
        let mut base = BaseRtt::new(Duration::ZERO);
        base.handle_sample(Duration::from_secs(1), Duration::from_millis(10));
        base.handle_sample(Duration::from_secs(60), Duration::from_millis(90));
        assert_eq!(base.value(), Some(Duration::from_millis(90)));
    }
}
