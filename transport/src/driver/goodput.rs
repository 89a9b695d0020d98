//! Goodput of the last second.

use std::time::{Duration, Instant};

use novacron_protocol::{Bitrate, ByteCount};

/// Counts what leaves, second by second.
#[derive(Debug)]
pub(super) struct Goodput {
    began: Instant,
    bytes: u64,
    last: Bitrate,
}

const SPAN: Duration = Duration::from_secs(1);

impl Goodput {
    pub(super) fn new(now: Instant) -> Self {
        Self { began: now, bytes: 0, last: Bitrate::ZERO }
    }

    pub(super) fn count(&mut self, now: Instant, bytes: u64) {
        self.roll(now);
        self.bytes += bytes;
    }

    /// Of the last full second, or of the time since then if that is longer.
    pub(super) fn rate(&mut self, now: Instant) -> Bitrate {
        self.roll(now);
        self.last
    }

    fn roll(&mut self, now: Instant) {
        let elapsed = now.saturating_duration_since(self.began);
        if elapsed >= SPAN {
            self.last = ByteCount(self.bytes) / elapsed;
            (self.began, self.bytes) = (now, 0);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_what_left_in_the_last_second_and_fades_when_nothing_does() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut goodput = Goodput::new(start);
        for ms in 0..1_000 {
            goodput.count(at(ms), 125);
        }
        assert_eq!(goodput.rate(at(1_000)), Bitrate::mbit(1));
        assert_eq!(goodput.rate(at(1_500)), Bitrate::mbit(1));
        assert_eq!(goodput.rate(at(2_000)), Bitrate::ZERO);
    }
}
