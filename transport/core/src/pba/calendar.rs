//! A site's wall clock: minute of the day, day of the week, and where days and months begin.

use novacron_protocol::Timestamp;

pub(super) const MINUTES_PER_DAY: u16 = 24 * 60;
const MS_PER_MINUTE: i64 = 60_000;
const MS_PER_DAY: i64 = MINUTES_PER_DAY as i64 * MS_PER_MINUTE;

/// How far a site's clock is ahead of UTC. Fixed: summer time is a change of configuration.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct UtcOffset {
    minutes: i16,
}

impl UtcOffset {
    pub const UTC: Self = Self { minutes: 0 };
    /// Widest offset in use: +14:00 (Line Islands).
    const MINUTES_MAX: i16 = 14 * 60;

    /// `None` beyond fourteen hours.
    pub const fn from_minutes(minutes: i16) -> Option<Self> {
        if minutes > Self::MINUTES_MAX || minutes < -Self::MINUTES_MAX {
            return None;
        }
        Some(Self { minutes })
    }

    pub const fn minutes(self) -> i16 {
        self.minutes
    }
}

/// A moment as a clock on the site's wall shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LocalTime {
    /// Days since 1970-01-01 of the site.
    day: i64,
    ms_of_day: i64,
    offset: UtcOffset,
}

impl LocalTime {
    pub(super) fn new(at: Timestamp, offset: UtcOffset) -> Self {
        // A clock beyond the year 10,000 is broken; it must only not panic.
        const MS_MAX: u64 = 253_402_300_799_999;
        let ms = at.0.min(MS_MAX) as i64 + i64::from(offset.minutes) * MS_PER_MINUTE;
        Self { day: ms.div_euclid(MS_PER_DAY), ms_of_day: ms.rem_euclid(MS_PER_DAY), offset }
    }

    /// 0 on Mondays: 1970-01-01 was a Thursday.
    pub(super) fn weekday(self) -> u8 {
        (self.day + 3).rem_euclid(7) as u8
    }

    pub(super) fn minute_of_day(self) -> u16 {
        (self.ms_of_day / MS_PER_MINUTE) as u16
    }

    /// The moment at which the site's clock shows `minute` of this day; of the next one when
    /// `minute` is 1440.
    pub(super) fn at_minute(self, minute: u16) -> Timestamp {
        self.timestamp(self.day, i64::from(minute) * MS_PER_MINUTE)
    }

    pub(super) fn day_start(self) -> Timestamp {
        self.at_minute(0)
    }

    pub(super) fn day_end(self) -> Timestamp {
        self.at_minute(MINUTES_PER_DAY)
    }

    /// Begin and end of the accounting month, which begins on `first_day` (1 to 28).
    pub(super) fn month(self, first_day: u8) -> (Timestamp, Timestamp) {
        let mut start = self.day;
        while day_of_month(start) != first_day {
            start -= 1;
        }
        let mut end = self.day + 1;
        while day_of_month(end) != first_day {
            end += 1;
        }
        (self.timestamp(start, 0), self.timestamp(end, 0))
    }

    fn timestamp(self, day: i64, ms_of_day: i64) -> Timestamp {
        let ms = day * MS_PER_DAY + ms_of_day - i64::from(self.offset.minutes) * MS_PER_MINUTE;
        Timestamp(u64::try_from(ms).unwrap_or(0))
    }
}

/// Day of the month, from 1, of the day that is `days` after 1970-01-01: counted in years that
/// begin in March, so that a leap day comes last, in eras of 400 years (H. Hinnant,
/// "chrono-Compatible Low-Level Date Algorithms").
fn day_of_month(days: i64) -> u8 {
    let day_of_era = (days + 719_468).rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    (day_of_year - (153 * shifted_month + 2) / 5 + 1) as u8
}

#[cfg(test)]
mod tests {
    use super::*;
    use novacron_protocol::api::time::UtcTime;
    use proptest::prelude::*;

    fn at(text: &str) -> Timestamp {
        text.parse::<UtcTime>().unwrap().0
    }

    #[test]
    fn a_wall_clock_knows_weekday_and_minute_in_its_zone() {
        // A Sunday evening in UTC is Monday morning in Kiritimati.
        let sunday = at("2026-11-29T22:30:00Z");
        let utc = LocalTime::new(sunday, UtcOffset::UTC);
        assert_eq!((utc.weekday(), utc.minute_of_day()), (6, 22 * 60 + 30));
        let kiritimati = LocalTime::new(sunday, UtcOffset::from_minutes(14 * 60).unwrap());
        assert_eq!((kiritimati.weekday(), kiritimati.minute_of_day()), (0, 12 * 60 + 30));
        assert_eq!(UtcOffset::from_minutes(14 * 60 + 1), None);
    }

    #[test]
    fn an_accounting_month_begins_on_its_day_in_leap_years_too() {
        let month = |text, first_day| LocalTime::new(at(text), UtcOffset::UTC).month(first_day);
        let day = |text: &str| at(&format!("{text}T00:00:00Z"));
        assert_eq!(month("2028-02-29T12:00:00Z", 1), (day("2028-02-01"), day("2028-03-01")));
        assert_eq!(month("2026-12-31T23:59:59Z", 15), (day("2026-12-15"), day("2027-01-15")));
        assert_eq!(month("2026-12-15T00:00:00Z", 15), (day("2026-12-15"), day("2027-01-15")));
    }

    proptest! {
        #[test]
        fn every_moment_lies_in_its_day_and_month(
            ms in 86_400_000 * 40..253_402_300_799_999_u64 - 86_400_000 * 40,
            offset in -840_i16..=840,
            first_day in 1_u8..=28,
        ) {
            let at = Timestamp(ms);
            let local = LocalTime::new(at, UtcOffset::from_minutes(offset).unwrap());
            prop_assert!(local.day_start() <= at && at < local.day_end());
            let (start, end) = local.month(first_day);
            prop_assert!(start <= at && at < end);
            prop_assert!((28..=31).contains(&((end.0 - start.0) / 86_400_000)));
        }

        #[test]
        fn a_broken_clock_does_not_panic(ms in any::<u64>(), offset in -840_i16..=840) {
            let local = LocalTime::new(Timestamp(ms), UtcOffset::from_minutes(offset).unwrap());
            prop_assert!(local.minute_of_day() < MINUTES_PER_DAY && local.weekday() < 7);
            local.month(1);
        }
    }
}
