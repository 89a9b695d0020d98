//! What happened between two decisions: one round trip's deliveries, losses and queue.

use std::time::Duration;

/// Counts from one decision to the next. It ends with the first acknowledgement of a packet that was
/// sent after it began, not before [`EPOCH_MIN`], and with
/// [`SAMPLES_ENOUGH`] if they come in time.
#[derive(Debug, Clone)]
pub(super) struct Epoch {
    started: Duration,
    delivered: u64,
    lost: u64,
    /// Shortest round trips of the first and of the second half.
    rtt_min: [Duration; 2],
    samples: [u32; 2],
    app_limited: bool,
    half_at: Duration,
}

/// A finished epoch.
#[derive(Debug, Clone, Copy)]
pub(super) struct Measure {
    pub(super) elapsed: Duration,
    /// Bytes per second that arrived.
    pub(super) delivery: f64,
    /// Bytes per second that arrived or were lost: what was sent, a round trip ago.
    pub(super) passed: f64,
    pub(super) delivered: u64,
    pub(super) lost: u64,
    /// The shortest round trip of the later half: what queue stands there now. The minimum takes
    /// out delayed acknowledgements and the schedulers of both ends.
    pub(super) rtt: Duration,
    /// Some of it was sent with nothing more to send, so it says nothing about the path's limit.
    pub(super) app_limited: bool,
}

impl Epoch {
    pub(super) fn new(now: Duration, rtt: Duration) -> Self {
        Self {
            started: now,
            delivered: 0,
            lost: 0,
            rtt_min: [Duration::MAX; 2],
            samples: [0; 2],
            app_limited: false,
            half_at: now + rtt.max(EPOCH_MIN) / 2,
        }
    }

    pub(super) fn handle_acked(&mut self, now: Duration, rtt: Duration, bytes: u64) {
        let half = usize::from(now >= self.half_at);
        self.rtt_min[half] = self.rtt_min[half].min(rtt);
        self.samples[half] += 1;
        self.delivered += bytes;
    }

    pub(super) fn handle_lost(&mut self, bytes: u64) {
        self.lost += bytes;
    }

    pub(super) fn handle_app_limited(&mut self) {
        self.app_limited = true;
    }

    /// What was measured, if the acknowledgement of a packet sent at `sent` ends the epoch.
    pub(super) fn finish(&self, now: Duration, sent: Duration) -> Option<Measure> {
        let elapsed = now.saturating_sub(self.started);
        let samples = self.samples[0] + self.samples[1];
        let is_enough = samples >= SAMPLES_ENOUGH || elapsed >= EPOCH_ENOUGH;
        if sent < self.started || elapsed < EPOCH_MIN || !is_enough {
            return None;
        }
        let late =
            if self.samples[1] >= LATE_SAMPLES_MIN { self.rtt_min[1] } else { Duration::MAX };
        let rtt = if late == Duration::MAX { self.rtt_min[0].min(self.rtt_min[1]) } else { late };
        let seconds = elapsed.as_secs_f64();
        Some(Measure {
            elapsed,
            delivery: self.delivered as f64 / seconds,
            passed: (self.delivered + self.lost) as f64 / seconds,
            delivered: self.delivered,
            lost: self.lost,
            rtt,
            app_limited: self.app_limited,
        })
    }
}

/// Below it a scheduler's hiccup is most of an epoch.
pub(super) const EPOCH_MIN: Duration = Duration::from_millis(10);
/// One or two samples may all have been delayed by the peer.
const LATE_SAMPLES_MIN: u32 = 6;
/// The shortest of so many round trips has met neither scheduler at its worst.
const SAMPLES_ENOUGH: u32 = 16;
/// Where acknowledgements are rare, this long has to do.
const EPOCH_ENOUGH: Duration = Duration::from_millis(40);
