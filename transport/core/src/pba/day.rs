//! What a site's link carries at which hour of the week, learned from long history.
//!
//! An hour that was not seen yet is guessed from the same hour of other days, and before that from
//! all hours. One site takes [`SITE_BYTES_MAX`] bytes at most, for ever.

use std::array;

use bincode::{Decode, Encode};
use novacron_protocol::record::{self, RecordError};
use novacron_protocol::{Bitrate, Millis, Timestamp};

use super::calendar::{LocalTime, UtcOffset};
use super::prediction::Usual;
use super::spread::Spread;

/// Memory of one site, encoded or not.
pub const SITE_BYTES_MAX: usize = 4 << 10;

/// Format of [`SiteDay::encode`]. A new one reads the old.
const VERSION: u16 = 1;
const HOURS: usize = 24;
const DAYS: usize = 7;
/// Samples closer together than this are one: neighbouring seconds say the same, and an hour of
/// ten hosts should not weigh more than that of one.
const SAMPLE_EVERY: Millis = Millis(10_000);
/// From so many samples on an hour of the week speaks for itself: ten minutes.
const SAMPLES_TRUSTED: u32 = 60;

/// The week of one site.
#[derive(Debug, Clone, PartialEq)]
pub struct SiteDay {
    offset: UtcOffset,
    sample_at: Option<Timestamp>,
    week: [[Spread; HOURS]; DAYS],
}

/// [`SiteDay`] as it is kept: plain numbers.
#[derive(Debug, Encode, Decode)]
struct Kept {
    offset_minutes: i16,
    week: Vec<Spread>,
}

/// Bytes that are no week of a site.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SiteDayError {
    #[error(transparent)]
    Record(#[from] RecordError),
    #[error("not the hours of a week")]
    Malformed,
}

impl SiteDay {
    /// Knows nothing yet. Hours are those of a clock that is `offset` ahead of UTC.
    pub fn new(offset: UtcOffset) -> Self {
        Self { offset, sample_at: None, week: [[Spread::EMPTY; HOURS]; DAYS] }
    }

    /// The site's link carried `rate`, and the network was the limit.
    pub fn handle_sample(&mut self, at: Timestamp, rate: Bitrate) {
        // A clock that was set back has to pass the old time before anything more is learned.
        if self.sample_at.is_some_and(|last| at < last + SAMPLE_EVERY) {
            return;
        }
        self.sample_at = Some(at);
        let (day, hour) = self.hour_of_week(at);
        self.week[day][hour].handle_sample(rate);
    }

    /// What is usual at `at`; `None` when nothing was ever seen.
    pub fn usual_at(&self, at: Timestamp) -> Option<Usual> {
        let (day, hour) = self.hour_of_week(at);
        let this = &self.week[day][hour];
        if this.samples() >= SAMPLES_TRUSTED {
            return this.usual();
        }
        let same_hour = Spread::pooled(self.week.iter().map(|hours| &hours[hour]), SAMPLES_TRUSTED);
        let all = || Spread::pooled(self.week.iter().flatten(), SAMPLES_TRUSTED);
        same_hour
            .filter(|spread| spread.samples() >= SAMPLES_TRUSTED)
            .or_else(all)
            .and_then(|spread| spread.usual())
    }

    /// A sealed record to keep on disk, of at most [`SITE_BYTES_MAX`] bytes.
    pub fn encode(&self) -> Vec<u8> {
        let week = self.week.iter().flatten().copied().collect();
        let kept = Kept { offset_minutes: self.offset.minutes(), week };
        record::seal(VERSION, &kept).expect("plain numbers have an encoding")
    }

    pub fn decode(bytes: &[u8]) -> Result<Self, SiteDayError> {
        let kept: Kept = record::open(VERSION, bytes)?;
        let offset = UtcOffset::from_minutes(kept.offset_minutes).ok_or(SiteDayError::Malformed)?;
        if kept.week.len() != HOURS * DAYS || !kept.week.iter().all(Spread::is_sound) {
            return Err(SiteDayError::Malformed);
        }
        let week = array::from_fn(|day| array::from_fn(|hour| kept.week[day * HOURS + hour]));
        Ok(Self { offset, sample_at: None, week })
    }

    fn hour_of_week(&self, at: Timestamp) -> (usize, usize) {
        let local = LocalTime::new(at, self.offset);
        (usize::from(local.weekday()), usize::from(local.minute_of_day() / 60))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const HOUR_MS: u64 = 3_600_000;
    /// 2026-11-30T00:00:00Z, a Monday.
    const MONDAY: u64 = 1_796_000_400_000 - 1_796_000_400_000 % 86_400_000;

    /// Busy from 8 to 18, Mondays to Fridays.
    fn office(at: Timestamp) -> Bitrate {
        let hour = at.0 / HOUR_MS % 24;
        let weekday = (at.0 / HOUR_MS / 24 + 3) % 7;
        Bitrate::mbit(if weekday < 5 && (8..18).contains(&hour) { 20 } else { 100 })
    }

    fn learned(hours: u64) -> SiteDay {
        let mut site = SiteDay::new(UtcOffset::UTC);
        for ten_seconds in 0..hours * 360 {
            let at = Timestamp(MONDAY + ten_seconds * 10_000);
            site.handle_sample(at, office(at));
        }
        site
    }

    fn median_at(site: &SiteDay, day: u64, hour: u64) -> u64 {
        let usual = site.usual_at(Timestamp(MONDAY + (day * 24 + hour) * HOUR_MS)).unwrap();
        (usual.median.0 + 500_000) / 1_000_000
    }

    #[test]
    fn a_week_is_learned_by_its_hours() {
        let site = learned(7 * 24);
        assert_eq!(median_at(&site, 8, 9), 20);
        assert_eq!(median_at(&site, 8, 3), 100);
        assert_eq!(median_at(&site, 12, 9), 100);
    }

    #[test]
    fn an_hour_not_seen_yet_is_guessed_from_that_of_other_days() {
        let site = learned(24);
        assert_eq!(median_at(&site, 1, 9), 20);
        assert_eq!(median_at(&site, 1, 3), 100);
        // Only the morning was seen so far.
        let site = learned(2);
        assert_eq!(median_at(&site, 0, 9), 100);
        assert_eq!(SiteDay::new(UtcOffset::UTC).usual_at(Timestamp(MONDAY)), None);
    }

    #[test]
    fn a_storm_of_samples_teaches_no_more_than_one_in_ten_seconds() {
        let mut storm = SiteDay::new(UtcOffset::UTC);
        let mut calm = storm.clone();
        for tenth in 0..36_000_u64 {
            let at = Timestamp(MONDAY + tenth * 100);
            storm.handle_sample(at, Bitrate::mbit(7));
            if tenth % 100 == 0 {
                calm.handle_sample(at, Bitrate::mbit(7));
            }
        }
        assert_eq!(storm, calm);
    }

    #[test]
    fn a_week_reads_back_and_stays_within_its_bytes() {
        let site = learned(7 * 24 * 3);
        let bytes = site.encode();
        assert!(bytes.len() <= SITE_BYTES_MAX, "{}", bytes.len());
        assert!(size_of::<SiteDay>() <= SITE_BYTES_MAX);
        let read = SiteDay::decode(&bytes).unwrap();
        assert_eq!(read.week, site.week);
        // The bytes of an empty one stay what they are: records of the last release are read.
        let empty = SiteDay::new(UtcOffset::from_minutes(90).unwrap()).encode();
        let hex: String = empty.iter().take(24).map(|byte| format!("{byte:02x}")).collect();
        insta::assert_snapshot!(format!("{} bytes: {hex}..", empty.len()));
    }

    #[test]
    fn numbers_that_no_week_has_are_refused() {
        let sound = Spread::EMPTY;
        let mut nan = sound;
        nan.handle_sample(Bitrate(9));
        let broken = Kept { offset_minutes: 0, week: vec![sound; 167] };
        let zone = Kept { offset_minutes: 999, week: vec![sound; 168] };
        for kept in [broken, zone] {
            let bytes = record::seal(VERSION, &kept).unwrap();
            assert_eq!(SiteDay::decode(&bytes), Err(SiteDayError::Malformed));
        }
        let mut bytes = learned(1).encode();
        bytes[40] ^= 1;
        assert!(matches!(SiteDay::decode(&bytes), Err(SiteDayError::Record(_))));
    }

    proptest! {
        #[test]
        fn hostile_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
            let _ = SiteDay::decode(&bytes);
            let sealed = record::seal(VERSION, &bytes).unwrap();
            let _ = SiteDay::decode(&sealed);
        }

        #[test]
        fn what_is_usual_is_in_order_whatever_came(
            samples in prop::collection::vec((any::<u64>(), any::<u64>()), 0..100), at in any::<u64>(),
        ) {
            let mut site = SiteDay::new(UtcOffset::UTC);
            for (at, rate) in samples {
                site.handle_sample(Timestamp(at), Bitrate(rate));
            }
            if let Some(usual) = site.usual_at(Timestamp(at)) {
                prop_assert!(usual.low <= usual.median && usual.median <= usual.high);
            }
        }
    }
}
