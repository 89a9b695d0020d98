//! A token bucket that keeps a cap in every second, not only on average.
//!
//! A bucket of depth `burst` filled at `fill` lets through at most `fill * 1 s + burst` in any
//! second. For the promise of at most 2 % over the cap both are chosen together:
//!
//! ```text
//! burst = max(cap * 10 ms, min(1500 B, cap * 250 ms))
//! fill  = min(cap, 1.02 * cap - burst / 1 s)
//! ```
//!
//! Ten milliseconds outlast a late timer. Below 1.2 Mbit/s a packet is more than that, and a cap
//! is kept by filling slower: 8 % slower at 120 kbit/s, not at all from 600 kbit/s.

use std::time::Duration;

use novacron_protocol::Bitrate;

use super::nanos;

/// A full packet: smaller bursts would cut messages into crumbs.
const PACKET_BYTES: u64 = 1_500;
/// Bytes per second below which a cap lets nothing pass: the burst would be less than two bytes.
const FILL_MIN: u64 = 8;
/// Times are kept in 2^-24 ns: a byte at 100 Gbit/s takes 0.08 ns, here with six digits.
const FRACTION_BITS: u32 = 24;

/// Bytes that may pass now, and when more may.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bucket {
    cap: Bitrate,
    /// Time that a byte takes at the fill rate; `None` for a cap of nothing at all.
    byte_time: Option<u64>,
    /// Time in which the bucket fills.
    fill_time: u64,
    burst_bytes: u64,
    /// When the bucket was, or will be, empty. Later than now for a debt.
    empty_at: i128,
}

impl Bucket {
    /// A full bucket.
    pub(super) fn new(now: Duration, cap: Bitrate) -> Self {
        let mut bucket = Self { cap, byte_time: None, fill_time: 0, burst_bytes: 0, empty_at: 0 };
        bucket.fill_at(cap);
        bucket.empty_at = fixed(now) - i128::from(bucket.fill_time);
        bucket
    }

    /// Another cap. What was saved up, or owed, stays as it is in bytes, up to the new burst.
    pub(super) fn set_cap(&mut self, now: Duration, cap: Bitrate) {
        if cap == self.cap {
            return;
        }
        let before = self.byte_time.map_or(i128::MAX, i128::from);
        let saved = i128::from(self.available(now));
        let owed = (self.empty_at - fixed(now)).max(0) / before;
        self.fill_at(cap);
        let byte_time = i128::from(self.byte_time.unwrap_or(0));
        self.empty_at = fixed(now) + (owed - saved).saturating_mul(byte_time);
    }

    fn fill_at(&mut self, cap: Bitrate) {
        let per_second = cap.0 / 8;
        self.cap = cap;
        self.burst_bytes = (per_second / 100).max(PACKET_BYTES.min(per_second / 4));
        let promised = per_second + per_second / 50 - self.burst_bytes;
        let fill = promised.min(per_second);
        self.byte_time =
            (per_second >= FILL_MIN).then(|| (1_000_000_000_u64 << FRACTION_BITS).div_ceil(fill));
        self.fill_time = self.byte_time.unwrap_or(0).saturating_mul(self.burst_bytes);
    }

    /// Bytes that are worth to wait for when not all of a grant may pass yet.
    pub(super) const fn grain_bytes(&self) -> u64 {
        let half = self.burst_bytes.div_ceil(2);
        if half == 0 { 1 } else { half }
    }

    /// Bytes that may pass.
    pub(super) fn available(&self, now: Duration) -> u64 {
        let Some(byte_time) = self.byte_time else { return 0 };
        let saved = (fixed(now) - self.empty_at).clamp(0, i128::from(self.fill_time));
        saved as u64 / byte_time
    }

    /// When so many bytes may pass, or a grain if they are more; `None` for never.
    pub(super) fn ready_at(&self, bytes: u64) -> Option<Duration> {
        let bytes = bytes.min(self.grain_bytes());
        let at = self.empty_at + i128::from(bytes) * i128::from(self.byte_time?);
        let nanos = (at.max(0) as u128).div_ceil(1 << FRACTION_BITS);
        Some(Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX)))
    }

    /// Bytes have passed; more than were available make a debt.
    pub(super) fn spend(&mut self, now: Duration, bytes: u64) {
        let full_since = fixed(now) - i128::from(self.fill_time);
        let took = i128::from(bytes).saturating_mul(i128::from(self.byte_time.unwrap_or(0)));
        self.empty_at = self.empty_at.max(full_since).saturating_add(took);
    }
}

fn fixed(now: Duration) -> i128 {
    i128::from(nanos(now)) << FRACTION_BITS
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn bursts_and_fill_rates_are_as_printed() {
        use std::fmt::Write as _;
        let mut table = String::from("cap            burst B  fill of cap\n");
        let rates = [8_000, 64_000, 120_000, 600_000, 1_200_000, 20_000_000, 10_000_000_000];
        for rate in rates.map(Bitrate) {
            let bucket = Bucket::new(Duration::ZERO, rate);
            let fill = (1_u64 << FRACTION_BITS) as f64 * 1e9 / bucket.byte_time.unwrap() as f64;
            let part = fill * 8.0 / rate.0 as f64 * 100.0;
            writeln!(table, "{rate:<14} {:>7} {part:>10.1}%", bucket.burst_bytes).unwrap();
        }
        insta::assert_snapshot!(table);
    }

    #[test]
    fn a_cap_of_nothing_lets_nothing_pass() {
        let bucket = Bucket::new(Duration::ZERO, Bitrate(63));
        assert_eq!(bucket.available(Duration::from_secs(1_000)), 0);
        assert_eq!(bucket.ready_at(1), None);
    }

    #[test]
    fn a_new_cap_keeps_what_is_owed_in_bytes() {
        let mut bucket = Bucket::new(Duration::ZERO, Bitrate::kbit(80));
        bucket.spend(Duration::ZERO, bucket.available(Duration::ZERO) + 10_000);
        bucket.set_cap(Duration::ZERO, Bitrate::mbit(80));
        let at = bucket.ready_at(1).unwrap();
        assert!(at > Duration::from_micros(990) && at < Duration::from_micros(1_010), "{at:?}");
    }

    proptest! {
        #[test]
        fn no_second_carries_over_two_percent_more_than_the_cap(
            cap in 64_u64..20_000_000_000,
            steps in proptest::collection::vec((0_u64..100_000_000, 0.0..=1.0_f64), 1..400),
        ) {
            let mut bucket = Bucket::new(Duration::ZERO, Bitrate(cap));
            let mut now = Duration::ZERO;
            let mut sent: Vec<(Duration, u64)> = Vec::new();
            for (wait_ns, part) in steps {
                now += Duration::from_nanos(wait_ns);
                let bytes = (bucket.available(now) as f64 * part.sqrt()) as u64;
                bucket.spend(now, bytes);
                sent.push((now, bytes));
                let second: u64 = sent.iter().rev()
                    .take_while(|(at, _)| now - *at <= Duration::from_secs(1))
                    .map(|(_, bytes)| bytes).sum();
                prop_assert!(second as f64 * 8.0 <= cap as f64 * 1.02, "{second} bytes");
            }
        }

        #[test]
        fn what_was_waited_for_is_there_at_the_promised_time_and_not_before(
            cap in 64_u64..20_000_000_000, spent in 0_u64..1_000_000, wanted in 1_u64..100_000,
        ) {
            let mut bucket = Bucket::new(Duration::ZERO, Bitrate(cap));
            bucket.spend(Duration::ZERO, bucket.available(Duration::ZERO) + spent);
            let at = bucket.ready_at(wanted).unwrap();
            let grain = wanted.min(bucket.grain_bytes());
            prop_assert!(bucket.available(at) >= grain);
            if let Some(before) = at.checked_sub(Duration::from_nanos(1)) {
                prop_assert!(bucket.available(before) < grain);
            }
        }
    }
}
