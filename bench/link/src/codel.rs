//! CoDel, controlled delay: drops from the front while packets have waited too long for too long.
//!
//! RFC 8289, section 5 (its pseudo-code, with the control law of section 3.3).

use std::time::Duration;

/// What becomes of the packet at the front.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Send,
    Drop,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct CoDel {
    /// When the wait will have been above target for an interval, if it is above now.
    first_above: Option<Duration>,
    drop_next: Duration,
    is_dropping: bool,
    /// Drops since dropping began, and what it was when it began the last time.
    count: u32,
    last_count: u32,
    /// Whether the packet before, in the same call, was the one that began dropping.
    has_just_begun: bool,
}

impl CoDel {
    /// A packet is about to be taken.
    pub(crate) fn begin(&mut self) {
        self.has_just_begun = false;
    }

    /// Judges a packet that has `waited` (`None`: the queue was empty) with `bytes` behind it.
    pub(crate) fn judge(
        &mut self,
        now: Duration,
        waited: Option<Duration>,
        bytes: usize,
        target: Duration,
        interval: Duration,
    ) -> Verdict {
        let may_drop = self.may_drop(now, waited, bytes, target, interval);
        if self.has_just_begun {
            return Verdict::Send;
        }
        if self.is_dropping {
            return self.go_on(now, may_drop, interval);
        }
        if !may_drop {
            return Verdict::Send;
        }
        self.is_dropping = true;
        self.has_just_begun = true;
        // If dropping ended not long ago, the rate of drops that worked then is a good start.
        let delta = self.count.saturating_sub(self.last_count);
        let is_recent = now.saturating_sub(self.drop_next) < 16 * interval;
        self.count = if delta > 1 && is_recent { delta } else { 1 };
        self.last_count = self.count;
        self.drop_next = self.control_law(now, interval);
        Verdict::Drop
    }

    fn go_on(&mut self, now: Duration, may_drop: bool, interval: Duration) -> Verdict {
        if !may_drop {
            self.is_dropping = false;
            return Verdict::Send;
        }
        if now < self.drop_next {
            return Verdict::Send;
        }
        self.count = self.count.saturating_add(1);
        self.drop_next = self.control_law(self.drop_next, interval);
        Verdict::Drop
    }

    fn may_drop(
        &mut self,
        now: Duration,
        waited: Option<Duration>,
        bytes: usize,
        target: Duration,
        interval: Duration,
    ) -> bool {
        let is_above = waited.is_some_and(|waited| waited >= target) && bytes > ONE_PACKET_BYTES;
        if !is_above {
            self.first_above = None;
            return false;
        }
        match self.first_above {
            None => {
                self.first_above = Some(now + interval);
                false
            }
            Some(first_above) => now >= first_above,
        }
    }

    fn control_law(&self, from: Duration, interval: Duration) -> Duration {
        from + interval.div_f64(f64::from(self.count.max(1)).sqrt())
    }
}

/// With less than a full packet behind it, a wait is not a standing queue.
const ONE_PACKET_BYTES: usize = 1500;

#[cfg(test)]
mod tests {
    use super::*;

    const TARGET: Duration = Duration::from_millis(5);
    const INTERVAL: Duration = Duration::from_millis(100);

    /// Milliseconds at which a packet is dropped when each, one a ms, has waited `waited` ms.
    fn drops(waited: impl Fn(u64) -> u64) -> Vec<u64> {
        let mut codel = CoDel::default();
        let mut dropped = Vec::new();
        for at in 0..600 {
            let now = Duration::from_millis(at);
            codel.begin();
            let waited = Some(Duration::from_millis(waited(at)));
            while codel.judge(now, waited, 100_000, TARGET, INTERVAL) == Verdict::Drop {
                dropped.push(at);
            }
        }
        dropped
    }

    #[test]
    fn a_standing_queue_is_dropped_from_faster_and_faster() {
        // 100 ms above target; then 100/sqrt(n) after each.
        assert_eq!(drops(|_| 20), [100, 200, 271, 329, 379, 424, 464, 502, 538, 571]);
    }

    #[test]
    fn a_wait_below_target_or_a_short_burst_is_left_alone() {
        assert_eq!(drops(|_| 4), []);
        assert_eq!(drops(|at| if at % 100 == 99 { 1 } else { 50 }), []);
    }
}
