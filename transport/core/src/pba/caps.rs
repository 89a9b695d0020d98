//! Hard caps of a site's link by day and hour, and by volume, as an operator writes them.
//!
//! ```text
//! utc+01:00; mon-fri 08:00-18:00 20Mbit/s; else 100Mbit/s; 500GB/month from 15
//! ```
//! Parts are divided by `;`. Rules of rates are read in order and the first that fits holds; where
//! none fits there is no cap. Hours are those of the site's clock. A span such as `22:00-06:00`
//! belongs to the day on which it begins.

use std::fmt;

use novacron_protocol::{Bitrate, ByteCount, Timestamp};

use super::calendar::{LocalTime, MINUTES_PER_DAY, UtcOffset};

mod parse;

pub use parse::{CapsError, PartError};

/// The caps of one site's link.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Caps {
    offset: UtcOffset,
    rules: Vec<Rule>,
    per_day: Option<ByteCount>,
    per_month: Option<MonthlyVolume>,
}

/// A rate that holds on some days at some hours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Rule {
    days: Days,
    /// Minutes of the day. Ends before it begins where the span crosses midnight, and at 1440
    /// where it lasts until midnight.
    from: u16,
    until: u16,
    /// `None` where the rule lifts the cap.
    rate: Option<Bitrate>,
}

/// Days of the week, Monday in the lowest bit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Days(u8);

/// What may be sent from one `first_day` (1 to 28) of a month to the next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct MonthlyVolume {
    pub(super) bytes: ByteCount,
    pub(super) first_day: u8,
}

const DAY_NAMES: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

impl Caps {
    /// The highest rate allowed at `at`; no limit when `None`.
    pub fn cap_at(&self, at: Timestamp) -> Option<Bitrate> {
        let local = LocalTime::new(at, self.offset);
        self.rules.iter().find(|rule| rule.holds_at(local)).and_then(|rule| rule.rate)
    }

    /// When [`Self::cap_at`] may next give another answer; `None` when it never does. At most a
    /// day ahead, so that a rule for other days is seen at midnight.
    pub fn next_change(&self, at: Timestamp) -> Option<Timestamp> {
        if self.rules.iter().all(Rule::is_always) {
            return None;
        }
        let local = LocalTime::new(at, self.offset);
        let next = self
            .rules
            .iter()
            .flat_map(|rule| [rule.from, rule.until])
            .filter(|minute| *minute > local.minute_of_day())
            .min()
            .map_or_else(|| local.day_end(), |minute| local.at_minute(minute));
        // After the end of the calendar nothing changes.
        (next > at).then_some(next)
    }

    /// Most that may be sent in one day of the site's clock.
    pub fn per_day(&self) -> Option<ByteCount> {
        self.per_day
    }

    pub(super) fn per_month(&self) -> Option<MonthlyVolume> {
        self.per_month
    }

    pub(super) fn local(&self, at: Timestamp) -> LocalTime {
        LocalTime::new(at, self.offset)
    }
}

impl Rule {
    fn holds_at(&self, local: LocalTime) -> bool {
        let minute = local.minute_of_day();
        let today = local.weekday();
        let yesterday = (today + 6) % 7;
        if self.from < self.until {
            return self.days.has(today) && (self.from..self.until).contains(&minute);
        }
        self.days.has(today) && minute >= self.from
            || self.days.has(yesterday) && minute < self.until
    }

    fn is_always(&self) -> bool {
        self.days == Days::ALL && (self.from, self.until) == (0, MINUTES_PER_DAY)
    }
}

impl Days {
    const ALL: Self = Self(0b111_1111);

    fn has(self, weekday: u8) -> bool {
        self.0 & (1 << weekday) != 0
    }
}

impl fmt::Display for Caps {
    /// In the form that is read back: one part each, days and hours in full.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut parts = Vec::new();
        if self.offset != UtcOffset::UTC {
            let minutes = self.offset.minutes();
            let sign = if minutes < 0 { '-' } else { '+' };
            let minutes = minutes.unsigned_abs();
            parts.push(format!("utc{sign}{:02}:{:02}", minutes / 60, minutes % 60));
        }
        parts.extend(self.rules.iter().map(ToString::to_string));
        parts.extend(self.per_day.map(|bytes| format!("{}B/day", bytes.0)));
        parts.extend(
            self.per_month
                .map(|month| format!("{}B/month from {}", month.bytes.0, month.first_day)),
        );
        f.write_str(&parts.join("; "))
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_always() {
            f.write_str("else ")?;
        } else {
            let clock = |minute: u16| format!("{:02}:{:02}", minute / 60, minute % 60);
            write!(f, "{} {}-{} ", self.days, clock(self.from), clock(self.until))?;
        }
        match self.rate {
            Some(rate) => f.write_str(&exact(rate)),
            None => f.write_str("unlimited"),
        }
    }
}

impl fmt::Display for Days {
    /// Days in a row as a range: `mon-wed,sat`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut ranges = Vec::new();
        let mut day = 0;
        while day < 7 {
            let length = (day..7).take_while(|day| self.has(*day)).count() as u8;
            let name = |day: u8| DAY_NAMES[usize::from(day)];
            match length {
                0 => {}
                1 => ranges.push(name(day).to_owned()),
                _ => ranges.push(format!("{}-{}", name(day), name(day + length - 1))),
            }
            day += length.max(1);
        }
        f.write_str(&ranges.join(","))
    }
}

/// The rate in its largest unit, unless that would round it.
fn exact(rate: Bitrate) -> String {
    let text = rate.to_string().replace(' ', "");
    if text.parse() == Ok(rate) { text } else { format!("{}bit/s", rate.0) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use novacron_protocol::api::time::UtcTime;

    fn at(text: &str) -> Timestamp {
        text.parse::<UtcTime>().unwrap().0
    }

    #[test]
    fn the_first_rule_that_fits_holds() {
        let caps: Caps = "mon-fri 08:00-18:00 20Mbit/s; else 100Mbit/s".parse().unwrap();
        // 2026-11-30 is a Monday.
        for (moment, rate) in [
            ("2026-11-30T07:59:59Z", 100),
            ("2026-11-30T08:00:00Z", 20),
            ("2026-11-30T17:59:59Z", 20),
            ("2026-11-30T18:00:00Z", 100),
            ("2026-12-05T12:00:00Z", 100),
        ] {
            assert_eq!(caps.cap_at(at(moment)), Some(Bitrate::mbit(rate)), "{moment}");
        }
    }

    #[test]
    fn a_span_across_midnight_belongs_to_the_day_on_which_it_begins() {
        let caps: Caps = "fri 22:00-06:00 5Mbit/s".parse().unwrap();
        for (moment, capped) in [
            ("2026-12-04T21:59:00Z", false),
            ("2026-12-04T22:00:00Z", true),
            ("2026-12-05T05:59:00Z", true),
            ("2026-12-05T06:00:00Z", false),
            ("2026-12-04T05:00:00Z", false),
        ] {
            assert_eq!(caps.cap_at(at(moment)).is_some(), capped, "{moment}");
        }
    }

    #[test]
    fn hours_are_those_of_the_sites_clock() {
        let caps: Caps = "utc-05:00; 08:00-18:00 20Mbit/s".parse().unwrap();
        assert_eq!(caps.cap_at(at("2026-11-30T12:59:00Z")), None);
        assert_eq!(caps.cap_at(at("2026-11-30T13:00:00Z")), Some(Bitrate::mbit(20)));
    }

    #[test]
    fn between_two_changes_the_cap_stays_what_it_is() {
        let caps: Caps =
            "utc+05:30; sat,sun unlimited; 22:00-06:00 50Mbit/s; mon-thu 09:00-24:00 2Mbit/s"
                .parse()
                .unwrap();
        let mut now = at("2026-11-30T00:00:00Z");
        for _ in 0..40 {
            let next = caps.next_change(now).unwrap();
            assert!(next > now);
            let (mut probe, cap) = (now, caps.cap_at(now));
            while probe < next {
                assert_eq!(caps.cap_at(probe), cap, "{}", UtcTime(probe));
                probe.0 += 60_000;
            }
            now = next;
        }
        let always: Caps = "100Mbit/s".parse().unwrap();
        assert_eq!(always.next_change(now), None);
        assert_eq!(Caps::default().next_change(now), None);
    }
}
