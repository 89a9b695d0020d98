//! TCP CUBIC as a competitor: RFC 9438 with HyStart++ (RFC 9406), written apart from the product's.

use std::time::Duration;

use crate::sim::PAYLOAD_BYTES;

/// In packets and seconds, as the RFC's formulas are.
pub(crate) struct Cubic {
    cwnd: f64,
    ssthresh: f64,
    w_max: f64,
    w_est: f64,
    k: f64,
    epoch_start: Option<Duration>,
    recovery_start: Option<Duration>,
    hystart: HyStart,
}

#[derive(Default)]
struct HyStart {
    round_end: Duration,
    last_min: Option<Duration>,
    min: Option<Duration>,
    samples: u32,
}

impl Cubic {
    pub(crate) fn new() -> Self {
        Self {
            cwnd: 10.0,
            ssthresh: f64::INFINITY,
            w_max: 0.0,
            w_est: 0.0,
            k: 0.0,
            epoch_start: None,
            recovery_start: None,
            hystart: HyStart::default(),
        }
    }

    pub(crate) fn window_bytes(&self) -> u64 {
        (self.cwnd * PAYLOAD_BYTES as f64) as u64
    }

    pub(crate) fn handle_acked(&mut self, now: Duration, rtt: Duration) {
        let sent = now - rtt;
        if self.recovery_start.is_some_and(|start| sent <= start) {
            return;
        }
        if self.cwnd < self.ssthresh {
            self.cwnd += 1.0;
            if self.hystart.handle_sample(now, sent, rtt) {
                self.ssthresh = self.cwnd;
            }
            return;
        }
        let start = *self.epoch_start.get_or_insert_with(|| {
            self.w_est = self.cwnd;
            if self.w_max <= self.cwnd {
                (self.w_max, self.k) = (self.cwnd, 0.0);
            } else {
                self.k = ((self.w_max - self.cwnd) / 0.4).cbrt();
            }
            now
        });
        let t = (now - start + rtt).as_secs_f64();
        let target = (0.4 * (t - self.k).powi(3) + self.w_max).clamp(self.cwnd, 1.5 * self.cwnd);
        let alpha = if self.w_est < self.w_max { 3.0 * 0.3 / 1.7 } else { 1.0 };
        self.w_est += alpha / self.cwnd;
        self.cwnd += (target - self.cwnd) / self.cwnd;
        self.cwnd = self.cwnd.max(self.w_est);
    }

    pub(crate) fn handle_lost(&mut self, now: Duration, sent: Duration) {
        if self.recovery_start.is_some_and(|start| sent <= start) {
            return;
        }
        self.recovery_start = Some(now);
        // Section 4.7, fast convergence.
        self.w_max = if self.cwnd < self.w_max { self.cwnd * 0.85 } else { self.cwnd };
        self.cwnd = (self.cwnd * 0.7).max(2.0);
        self.ssthresh = self.cwnd;
        self.epoch_start = None;
    }
}

impl HyStart {
    /// Whether slow start ends: a round's shortest of eight samples has grown by an eighth.
    fn handle_sample(&mut self, now: Duration, sent: Duration, rtt: Duration) -> bool {
        if sent >= self.round_end {
            (self.last_min, self.min, self.samples) = (self.min, None, 0);
            self.round_end = now;
        }
        self.samples += 1;
        self.min = Some(self.min.map_or(rtt, |min| min.min(rtt)));
        let (Some(last), Some(min)) = (self.last_min, self.min) else { return false };
        let grown = (last / 8).clamp(Duration::from_millis(4), Duration::from_millis(16));
        self.samples >= 8 && min >= last + grown
    }
}
