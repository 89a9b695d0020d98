//! The window of RFC 9438, for paths whose queue somebody else keeps full.
//!
//! There a short queue is not to be had, and yielding to whoever fills it only means to starve. So we
//! become what they are: CUBIC, with its growth and its cut.

use std::time::Duration;

/// A CUBIC window, in bytes outside and in packets inside, as the RFC's formulas are.
#[derive(Debug, Clone)]
pub(super) struct CubicWindow {
    window: f64,
    window_max: f64,
    /// What a Reno flow of the same losses would have (section 4.3).
    reno: f64,
    epoch_start: Duration,
    /// Seconds until the window is back at `window_max`.
    k: f64,
    last_cut: Duration,
    mtu: f64,
}

impl CubicWindow {
    pub(super) fn new(now: Duration, window_bytes: f64, mtu: u64) -> Self {
        let window = (window_bytes / mtu as f64).max(WINDOW_MIN);
        Self {
            window,
            window_max: window,
            reno: window,
            epoch_start: now,
            k: 0.0,
            last_cut: now,
            mtu: mtu as f64,
        }
    }

    pub(super) fn bytes(&self) -> f64 {
        self.window * self.mtu
    }

    /// Sections 4.2 to 4.5: `W_cubic(t) = C (t - K)^3 + W_max`, and Reno's where that is more.
    pub(super) fn handle_acked(&mut self, now: Duration, rtt: Duration, bytes: u64) {
        let acked = bytes as f64 / self.mtu;
        let t = (now.saturating_sub(self.epoch_start) + rtt).as_secs_f64();
        let target = C * (t - self.k).powi(3) + self.window_max;
        let target = target.clamp(self.window, 1.5 * self.window);
        self.window += (target - self.window) * acked / self.window;
        let alpha = if self.reno < self.window_max { ALPHA } else { 1.0 };
        self.reno += alpha * acked / self.window;
        self.window = self.window.max(self.reno);
    }

    /// Section 4.6 and 4.7, once per round trip: only packets sent after the last cut count. Whether it cut.
    pub(super) fn handle_lost(&mut self, now: Duration, sent: Duration) -> bool {
        if sent <= self.last_cut {
            return false;
        }
        self.window_max = if self.window < self.window_max {
            self.window * (1.0 + BETA) / 2.0
        } else {
            self.window
        };
        self.window = (self.window * BETA).max(WINDOW_MIN);
        self.reno = self.window;
        self.k = ((self.window_max - self.window) / C).max(0.0).cbrt();
        (self.epoch_start, self.last_cut) = (now, now);
        true
    }
}

const C: f64 = 0.4;
const BETA: f64 = 0.7;
const ALPHA: f64 = 3.0 * (1.0 - BETA) / (1.0 + BETA);
const WINDOW_MIN: f64 = 4.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cut_is_regained_within_k() {
        let rtt = Duration::from_millis(100);
        let mut cubic = CubicWindow::new(Duration::ZERO, 1_000_000.0, 1_000);
        cubic.handle_lost(Duration::from_secs(1), Duration::from_millis(900));
        // The same round trip.
        cubic.handle_lost(Duration::from_secs(1), Duration::from_millis(950));
        assert_eq!(cubic.bytes().round(), 700_000.0);
        // K = cbrt(300 / 0.4) = 9.09 s.
        let mut now = Duration::from_secs(1);
        while now < Duration::from_secs(9) {
            now += rtt;
            cubic.handle_acked(now, rtt, cubic.bytes() as u64);
        }
        assert!((980_000.0..1_005_000.0).contains(&cubic.bytes()), "{}", cubic.bytes());
    }
}
