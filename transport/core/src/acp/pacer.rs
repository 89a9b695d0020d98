//! Spreads packets over time: a token bucket in bytes.
//!
//! Timers are coarse (a millisecond) and late (more of them), so the bucket keeps what a late wake-up
//! missed, for a bounded while. What leaves at once is a quantum, so that segmentation offload works.

use std::time::Duration;

/// The bucket.
#[derive(Debug, Clone)]
pub(super) struct Pacer {
    /// Bytes per second; infinite when the acknowledgements are clock enough.
    rate: f64,
    /// Bytes that may leave now; below zero after a probe that did not ask.
    tokens: f64,
    filled_at: Duration,
    /// The longest delay of a wake-up that is made up for.
    catch_up: Duration,
    /// The window was full when last asked.
    is_blocked: bool,
    mtu: f64,
}

impl Pacer {
    pub(super) fn new(now: Duration, mtu: u64) -> Self {
        Self {
            rate: f64::INFINITY,
            tokens: 0.0,
            filled_at: now,
            catch_up: CATCH_UP,
            is_blocked: false,
            mtu: mtu as f64,
        }
    }

    pub(super) fn set_rate(&mut self, now: Duration, rate: f64) {
        self.fill(now);
        self.rate = rate;
        self.tokens = self.tokens.min(self.burst());
    }

    /// Makes up for longer delays on longer paths.
    pub(super) fn set_round_trip(&mut self, base: Duration) {
        self.catch_up = (base / 8).clamp(CATCH_UP, CATCH_UP_MAX);
    }

    pub(super) fn set_mtu(&mut self, mtu: u64) {
        self.mtu = mtu as f64;
    }

    pub(super) fn handle_sent(&mut self, now: Duration, bytes: u64) {
        if self.rate.is_finite() {
            self.fill(now);
            self.tokens = (self.tokens - bytes as f64).max(-self.burst());
        }
    }

    /// Bytes that may leave at `now`: nothing, or a quantum at least.
    pub(super) fn budget(&mut self, now: Duration) -> u64 {
        if self.rate.is_infinite() {
            return u64::MAX;
        }
        self.fill(now);
        if std::mem::take(&mut self.is_blocked) {
            self.tokens = self.tokens.min(self.quantum());
        }
        // A nanosecond's rounding of the timer must not cost another wake-up.
        if self.tokens + 1.0 < self.quantum() { 0 } else { self.tokens.ceil() as u64 }
    }

    /// The window is full: what is missed from here on is not the timer's fault, and must not leave as
    /// a burst once acknowledgements make room.
    pub(super) fn handle_blocked(&mut self, now: Duration) {
        self.fill(now);
        self.tokens = self.tokens.min(self.quantum());
        self.is_blocked = true;
    }

    /// When the next quantum may leave; `None` when it may now.
    pub(super) fn ready_at(&self) -> Option<Duration> {
        let missing = self.quantum() - self.tokens;
        (self.rate.is_finite() && missing > 1.0)
            .then(|| self.filled_at + Duration::from_secs_f64((missing / self.rate).min(1.0)))
    }

    fn fill(&mut self, now: Duration) {
        let elapsed = now.saturating_sub(self.filled_at);
        self.filled_at = self.filled_at.max(now);
        if self.rate.is_finite() {
            self.tokens = (self.tokens + elapsed.as_secs_f64() * self.rate).min(self.burst());
        } else {
            self.tokens = 0.0;
        }
    }

    fn quantum(&self) -> f64 {
        (self.rate * QUANTUM.as_secs_f64()).clamp(2.0 * self.mtu, QUANTUM_BYTES_MAX)
    }

    fn burst(&self) -> f64 {
        self.quantum() + self.rate * self.catch_up.as_secs_f64()
    }
}

/// As coarse as the timers.
const QUANTUM: Duration = Duration::from_millis(1);
/// What one send with segmentation offload takes.
const QUANTUM_BYTES_MAX: f64 = 65_536.0;
/// Schedulers of busy machines take 2 ms, and a longer burst would be a queue of its own.
const CATCH_UP: Duration = Duration::from_millis(3);
/// Machines that are at their limit take three times as long, and long paths have buffers for that.
const CATCH_UP_MAX: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    fn pacer(rate: f64) -> Pacer {
        let mut pacer = Pacer::new(MS(0), 1_500);
        pacer.set_rate(MS(0), rate);
        pacer
    }

    #[test]
    fn a_quantum_leaves_each_millisecond() {
        let mut pacer = pacer(10e6);
        assert_eq!(pacer.budget(MS(0)), 0);
        assert_eq!(pacer.ready_at(), Some(MS(1)));
        for at in 1..100 {
            assert_eq!(pacer.budget(MS(at)), 10_000);
            pacer.handle_sent(MS(at), 10_000);
            assert_eq!(pacer.ready_at(), Some(MS(at + 1)));
        }
    }

    #[test]
    fn a_late_wake_up_is_made_up_for_and_a_very_late_one_is_not() {
        let mut pacer = pacer(10e6);
        assert_eq!(pacer.budget(MS(3)), 30_000);
        pacer.handle_sent(MS(3), 30_000);
        assert_eq!(pacer.budget(MS(500)), 40_000);
    }

    #[test]
    fn slow_paths_send_two_packets_at_once() {
        let mut pacer = pacer(100e3);
        assert_eq!(pacer.ready_at(), Some(MS(30)));
        assert_eq!(pacer.budget(MS(29)), 0);
        assert_eq!(pacer.budget(MS(30)), 3_000);
    }

    #[test]
    fn without_a_rate_nothing_waits() {
        let mut pacer = pacer(f64::INFINITY);
        assert_eq!((pacer.budget(MS(0)), pacer.ready_at()), (u64::MAX, None));
        pacer.handle_sent(MS(0), 1 << 40);
        assert_eq!(pacer.budget(MS(0)), u64::MAX);
    }
}
