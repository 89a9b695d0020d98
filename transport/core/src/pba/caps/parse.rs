//! Reads [`Caps`] as operators write them.

use std::str::FromStr;

use novacron_protocol::limits::{CAP_MIN, CAP_RULES_MAX, TEXT_LEN_MAX};
use novacron_protocol::{Bitrate, ByteCount};

use super::{Caps, DAY_NAMES, Days, MonthlyVolume, Rule};
use crate::pba::calendar::{MINUTES_PER_DAY, UtcOffset};

/// Text that does not say what a link may carry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CapsError {
    #[error("text of {len} bytes exceeds the limit of {TEXT_LEN_MAX}")]
    TooLong { len: usize },
    #[error("more than {CAP_RULES_MAX} rules")]
    TooManyRules,
    #[error("`{part}`: {why}")]
    Part { part: String, why: PartError },
}

/// What is wrong with one part.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PartError {
    #[error("empty; write for example `mon-fri 08:00-18:00 20Mbit/s; else 100Mbit/s`")]
    Empty,
    #[error("`{0}` is neither days (`mon-fri`, `sat,sun`) nor hours (`08:00-18:00`)")]
    Word(String),
    #[error("`{0}` does not begin and end at different times from 00:00 to 24:00")]
    Hours(String),
    #[error("`{0}` is no rate such as `20Mbit/s`, and not `unlimited`")]
    Rate(String),
    #[error("below {CAP_MIN} no lease would get through")]
    TooLow,
    #[error("`{0}` is no volume such as `500GB/month`, `500GB/month from 15` or `20GB/day`")]
    Volume(String),
    #[error("a month can begin on day 1 to 28")]
    MonthStart,
    #[error("says a second time what was said before")]
    Twice,
    #[error("`{0}` is no offset such as `utc+01:00`, and has to come first")]
    Offset(String),
    #[error("never holds, because a rule before it always does")]
    Unreachable,
}

impl FromStr for Caps {
    type Err = CapsError;

    fn from_str(text: &str) -> Result<Self, CapsError> {
        if text.len() > TEXT_LEN_MAX {
            return Err(CapsError::TooLong { len: text.len() });
        }
        let mut caps = Self::default();
        for (index, part) in text.split(';').map(str::trim).enumerate() {
            caps.add(index, &part.to_ascii_lowercase())
                .map_err(|why| CapsError::Part { part: part.to_owned(), why })?;
            if caps.rules.len() > CAP_RULES_MAX {
                return Err(CapsError::TooManyRules);
            }
        }
        Ok(caps)
    }
}

impl Caps {
    fn add(&mut self, index: usize, part: &str) -> Result<(), PartError> {
        if part.is_empty() {
            return Err(PartError::Empty);
        }
        if part.starts_with("utc") {
            self.offset = offset(part)
                .filter(|_| index == 0)
                .ok_or_else(|| PartError::Offset(part.to_owned()))?;
            return Ok(());
        }
        match part.split_once('/') {
            Some((bytes, "day")) => once(&mut self.per_day, volume(bytes, part)?),
            Some((bytes, period)) if period.starts_with("month") => {
                let first_day = first_day(period, part)?;
                once(&mut self.per_month, MonthlyVolume { bytes: volume(bytes, part)?, first_day })
            }
            // `20Mbit/s` is the rate of a rule.
            None | Some((_, "s")) => self.add_rule(part),
            Some(_) => Err(PartError::Volume(part.to_owned())),
        }
    }

    fn add_rule(&mut self, part: &str) -> Result<(), PartError> {
        if self.rules.iter().any(Rule::is_always) {
            return Err(PartError::Unreachable);
        }
        let mut rule = Rule { days: Days::ALL, from: 0, until: MINUTES_PER_DAY, rate: None };
        let mut words: Vec<&str> = part.split_whitespace().collect();
        let mut last = words.pop().unwrap_or_default().to_owned();
        // `20 Mbit/s` is one value.
        if last.starts_with(|c: char| c.is_ascii_alphabetic())
            && words.last().is_some_and(|word| word.bytes().all(|byte| byte.is_ascii_digit()))
        {
            last.insert_str(0, words.pop().unwrap_or_default());
        }
        if let Some(words) = words.strip_prefix(&["else"]) {
            if let Some(word) = words.first() {
                return Err(PartError::Word((*word).to_owned()));
            }
        } else {
            let mut rest = words.as_slice();
            if let [first, others @ ..] = rest
                && let Some(days) = days(first)
            {
                (rule.days, rest) = (days, others);
            }
            if let [first, others @ ..] = rest
                && first.contains(':')
            {
                (rule.from, rule.until) =
                    hours(first).ok_or_else(|| PartError::Hours((*first).to_owned()))?;
                rest = others;
            }
            if let [word, ..] = rest {
                return Err(PartError::Word((*word).to_owned()));
            }
        }
        rule.rate = rate(&last)?;
        self.rules.push(rule);
        Ok(())
    }
}

fn once<T>(place: &mut Option<T>, value: T) -> Result<(), PartError> {
    match place.replace(value) {
        Some(_) => Err(PartError::Twice),
        None => Ok(()),
    }
}

fn rate(word: &str) -> Result<Option<Bitrate>, PartError> {
    if word == "unlimited" {
        return Ok(None);
    }
    let rate: Bitrate = word.parse().map_err(|_| PartError::Rate(word.to_owned()))?;
    if rate < CAP_MIN {
        return Err(PartError::TooLow);
    }
    Ok(Some(rate))
}

fn volume(bytes: &str, part: &str) -> Result<ByteCount, PartError> {
    let refuse = || PartError::Volume(part.to_owned());
    let bytes: ByteCount = bytes.parse().map_err(|_| refuse())?;
    if bytes == ByteCount::ZERO { Err(refuse()) } else { Ok(bytes) }
}

/// `month`, `month from 15`.
fn first_day(period: &str, part: &str) -> Result<u8, PartError> {
    let words: Vec<&str> = period.split_whitespace().collect();
    match words[..] {
        ["month"] => Ok(1),
        ["month", "from", day] => match day.parse() {
            Ok(day @ 1..=28) => Ok(day),
            _ => Err(PartError::MonthStart),
        },
        _ => Err(PartError::Volume(part.to_owned())),
    }
}

/// `mon`, `mon-fri`, `sat,sun`, `fri-mon`.
fn days(word: &str) -> Option<Days> {
    let index = |name: &str| DAY_NAMES.iter().position(|known| *known == name);
    let mut days = 0;
    for range in word.split(',') {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (mut day, last) = (index(first)?, index(last)?);
        while day != last {
            days |= 1 << day;
            day = (day + 1) % 7;
        }
        days |= 1 << last;
    }
    Some(Days(days))
}

fn hours(word: &str) -> Option<(u16, u16)> {
    let (from, until) = word.split_once('-')?;
    let (from, until) = (minute_of_day(from)?, minute_of_day(until)?);
    (from < MINUTES_PER_DAY && from != until).then_some((from, until))
}

/// `08:00` to `24:00`.
fn minute_of_day(text: &str) -> Option<u16> {
    let (hour, minute) = text.split_once(':')?;
    let digits = |text: &str| text.len() <= 2 && text.bytes().all(|byte| byte.is_ascii_digit());
    if !digits(hour) || !digits(minute) {
        return None;
    }
    let (hour, minute): (u16, u16) = (hour.parse().ok()?, minute.parse().ok()?);
    let minutes = hour * 60 + minute;
    (minute < 60 && minutes <= MINUTES_PER_DAY).then_some(minutes)
}

/// `utc`, `utc+1`, `utc-03:30`.
fn offset(part: &str) -> Option<UtcOffset> {
    let offset = part.strip_prefix("utc")?;
    if offset.is_empty() {
        return Some(UtcOffset::UTC);
    }
    let (sign, clock) = match offset.split_at_checked(1)? {
        ("+", clock) => (1, clock),
        ("-", clock) => (-1, clock),
        _ => return None,
    };
    let minutes = match clock.contains(':') {
        true => minute_of_day(clock)?,
        false => minute_of_day(&format!("{clock}:00"))?,
    };
    UtcOffset::from_minutes(sign * i16::try_from(minutes).ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_cannot_be_meant_is_refused_with_its_reason() {
        let mut shown = String::new();
        for text in [
            "",
            "mon-fri 08:00-18:00 20Mbit/s;",
            "mo-fr 20Mbit/s",
            "08-18 20Mbit/s",
            "08:00-25:00 20Mbit/s",
            "08:00-08:00 20Mbit/s",
            "24:00-06:00 20Mbit/s",
            "8:00-8:61 20Mbit/s",
            "mon-fri",
            "20MB/s",
            "1.5Gbit/s",
            "0bit/s",
            "else mon 20Mbit/s",
            "else 20Mbit/s; mon 10Mbit/s",
            "500GB/year",
            "500GB/month from 31",
            "500GB/month; 1TB/month",
            "0GB/day",
            "utc+15; 1Mbit/s",
            "1Mbit/s; utc+1",
            "mon,mon- 1Mbit/s",
        ] {
            let error = text.parse::<Caps>().unwrap_err();
            shown.push_str(&format!("{text:<32} {error}\n"));
        }
        insta::assert_snapshot!(shown);
    }

    #[test]
    fn caps_print_what_reads_back_as_the_same() {
        let mut shown = String::new();
        for text in [
            "100Mbit/s",
            "mon-fri 08:00-18:00 20Mbit/s; else 100Mbit/s",
            "UTC+1; Fri-Mon 22:00-6:00 5 Mbit/s; sat,sun unlimited; ELSE 2Gbit/s; 20GiB/day; 500GB/month from 15",
            "1TB/month",
        ] {
            let caps: Caps = text.parse().unwrap();
            let printed = caps.to_string();
            assert_eq!(printed.parse(), Ok(caps), "{text}");
            shown.push_str(&format!("{text}\n  {printed}\n"));
        }
        insta::assert_snapshot!(shown);
    }

    #[test]
    fn one_rule_above_the_limit_is_refused() {
        // The shortest rules there are; they have to fit a text of the longest length.
        let rules = |count| vec!["fri 9kbit"; count].join(";");
        assert!(rules(CAP_RULES_MAX).parse::<Caps>().is_ok());
        assert_eq!(rules(CAP_RULES_MAX + 1).parse::<Caps>(), Err(CapsError::TooManyRules));
        let long = "x".repeat(TEXT_LEN_MAX + 1);
        assert!(matches!(long.parse::<Caps>(), Err(CapsError::TooLong { .. })));
    }

    proptest! {
        #[test]
        fn hostile_text_never_panics(text in "\\PC{0,60}") {
            let _ = text.parse::<Caps>();
        }

        #[test]
        fn nearly_right_text_never_panics_and_reads_back(
            text in "(utc[+-][0-9]{1,2}(:[0-9]{2})?; )?((mon|tue|sat)[-,](wed|sun) )?([0-9]{1,2}:[0-9]{2}-[0-9]{1,2}:[0-9]{2} )?[0-9]{1,4} ?[kM]bit/s(; [0-9]{1,5}GB/(day|month from [0-9]{1,2}))?",
        ) {
            if let Ok(caps) = text.parse::<Caps>() {
                prop_assert_eq!(caps.to_string().parse(), Ok(caps));
            }
        }
    }
}
