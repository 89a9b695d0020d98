//! How much of a day's and a month's volume is used, and what that leaves for the rest.

use std::time::Duration;

use bincode::{Decode, Encode};
use novacron_protocol::record::{self, RecordError};
use novacron_protocol::{Bitrate, ByteCount, Timestamp};

use super::caps::Caps;

/// Format of [`Meter::encode`]. A new one reads the old.
const VERSION: u16 = 1;

/// Counts what a metered link carried, by the site's own days and accounting months. It outlives a
/// restart through [`Meter::encode`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Encode, Decode)]
pub struct Meter {
    day: Period,
    month: Period,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Encode, Decode)]
struct Period {
    start: Timestamp,
    used: ByteCount,
}

/// What a volume leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Allowance {
    /// Bytes until `renewed_at`.
    pub left: ByteCount,
    pub renewed_at: Timestamp,
}

impl Meter {
    /// `bytes` went over the link, in either direction.
    pub fn handle_carried(&mut self, caps: &Caps, at: Timestamp, bytes: ByteCount) {
        let local = caps.local(at);
        self.day.add(local.day_start(), bytes);
        let (month, _) = local.month(caps.per_month().map_or(1, |month| month.first_day));
        self.month.add(month, bytes);
    }

    /// The tighter of the day's and the month's allowance; `None` without either volume.
    pub fn allowance(&self, caps: &Caps, at: Timestamp) -> Option<Allowance> {
        let local = caps.local(at);
        let day = caps.per_day().map(|bytes| Allowance {
            left: bytes.saturating_sub(self.day.used_since(local.day_start())),
            renewed_at: local.day_end(),
        });
        let month = caps.per_month().map(|month| {
            let (start, end) = local.month(month.first_day);
            let left = month.bytes.saturating_sub(self.month.used_since(start));
            Allowance { left, renewed_at: end }
        });
        match (day, month) {
            (Some(day), Some(month)) => Some(if day.left <= month.left { day } else { month }),
            (day, month) => day.or(month),
        }
    }

    /// The rate at which what is left lasts until it is renewed; `None` without a volume.
    /// Pacing by it is a choice: a volume is a cap on bytes, not on their rate.
    pub fn even_rate(&self, caps: &Caps, at: Timestamp) -> Option<Bitrate> {
        let allowance = self.allowance(caps, at)?;
        Some(allowance.left / Duration::from(allowance.renewed_at - at))
    }

    /// A sealed record to keep on disk.
    pub fn encode(&self) -> Vec<u8> {
        record::seal(VERSION, self).expect("plain numbers have an encoding")
    }

    pub fn decode(bytes: &[u8]) -> Result<Self, RecordError> {
        record::open(VERSION, bytes)
    }
}

impl Period {
    fn add(&mut self, start: Timestamp, bytes: ByteCount) {
        // A clock that was set back goes on in the later period: counting twice is cheaper for
        // the operator than a bill.
        if start > self.start {
            *self = Self { start, used: ByteCount::ZERO };
        }
        self.used += bytes;
    }

    fn used_since(&self, start: Timestamp) -> ByteCount {
        if start > self.start { ByteCount::ZERO } else { self.used }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use novacron_protocol::api::time::UtcTime;
    use proptest::prelude::*;

    fn at(text: &str) -> Timestamp {
        text.parse::<UtcTime>().unwrap().0
    }

    fn caps(text: &str) -> Caps {
        text.parse().unwrap()
    }

    #[test]
    fn a_volume_is_renewed_when_the_sites_day_begins() {
        let caps = caps("utc+02:00; 10GB/day");
        let mut meter = Meter::default();
        let evening = at("2026-11-30T21:00:00Z");
        meter.handle_carried(&caps, evening, ByteCount(7_000_000_000));
        let left = |meter: &Meter, at| meter.allowance(&caps, at).unwrap().left;
        assert_eq!(left(&meter, evening), ByteCount(3_000_000_000));
        assert_eq!(left(&meter, at("2026-11-30T21:59:59Z")), ByteCount(3_000_000_000));
        assert_eq!(left(&meter, at("2026-11-30T22:00:00Z")), ByteCount(10_000_000_000));
        meter.handle_carried(&caps, evening, ByteCount(u64::MAX));
        assert_eq!(left(&meter, evening), ByteCount::ZERO);
    }

    #[test]
    fn the_tighter_of_two_volumes_counts() {
        let caps = caps("10GB/day; 15GB/month from 20");
        let mut meter = Meter::default();
        meter.handle_carried(&caps, at("2026-11-25T12:00:00Z"), ByteCount(9_000_000_000));
        let next_day = at("2026-11-26T00:00:00Z");
        let allowance = meter.allowance(&caps, next_day).unwrap();
        assert_eq!(allowance.left, ByteCount(6_000_000_000));
        assert_eq!(allowance.renewed_at, at("2026-12-20T00:00:00Z"));
        // 6 GB over 24 days.
        assert_eq!(meter.even_rate(&caps, next_day), Some(Bitrate(23_148)));
        assert_eq!(meter.allowance(&self::caps("1Mbit/s"), next_day), None);
    }

    #[test]
    fn a_clock_set_back_gives_no_volume_back() {
        let caps = caps("10GB/day");
        let mut meter = Meter::default();
        meter.handle_carried(&caps, at("2026-11-30T01:00:00Z"), ByteCount(4_000_000_000));
        let yesterday = at("2026-11-29T23:00:00Z");
        meter.handle_carried(&caps, yesterday, ByteCount(1_000_000_000));
        assert_eq!(meter.allowance(&caps, yesterday).unwrap().left, ByteCount(5_000_000_000));
    }

    #[test]
    fn a_meter_reads_back_and_its_bytes_stay_what_they_are() {
        let mut meter = Meter::default();
        meter.handle_carried(&caps("1TB/month"), at("2026-11-30T01:00:00Z"), ByteCount(4_000));
        let bytes = meter.encode();
        assert_eq!(Meter::decode(&bytes), Ok(meter));
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        insta::assert_snapshot!(hex);
    }

    proptest! {
        #[test]
        fn hostile_bytes_and_moments_never_panic(
            bytes in prop::collection::vec(any::<u8>(), 0..64), ms in any::<u64>(), used in any::<u64>(),
        ) {
            let caps = caps("utc-11; 10GB/day; 15GB/month from 28");
            let mut meter = Meter::decode(&bytes).unwrap_or_default();
            meter.handle_carried(&caps, Timestamp(ms), ByteCount(used));
            meter.even_rate(&caps, Timestamp(ms));
        }
    }
}
