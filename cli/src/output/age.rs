//! Times for people: ages in tables, and the spans and dates that come from outside.

use novacron_protocol::api::UtcTime;
use novacron_protocol::{Millis, Timestamp};

/// A span in its largest whole unit: `850ms` is `0s`, then `42s`, `3m`, `5h`, `12d`.
pub(crate) fn span(span: Millis) -> String {
    let seconds = span.0 / 1000;
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3_600 => format!("{}m", seconds / 60),
        3_600..86_400 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// How long ago `at` was. A member's clock may be ahead of ours: that reads as now.
pub(crate) fn since(at: UtcTime, now: Timestamp) -> String {
    span(now - at.0)
}

/// How long until `at`, or `expired`.
pub(crate) fn until(at: UtcTime, now: Timestamp) -> String {
    if at.0 <= now { "expired".to_owned() } else { span(at.0 - now) }
}

/// Time of day in UTC, for lines that scroll by: `08:40:01`.
pub(crate) fn time_of_day(at: UtcTime) -> String {
    at.to_string().chars().skip("2026-11-21T".len()).take("08:40:01".len()).collect()
}

/// A span as people write it: a whole number and `s`, `m`, `h` or `d`.
pub(crate) fn parse_span(text: &str) -> Result<Millis, String> {
    let refuse = || format!("`{text}` is not a span: write it like 90s, 30m, 12h or 7d");
    let unit = text.chars().next_back().ok_or_else(refuse)?;
    let unit_ms: u64 = match unit {
        's' => 1_000,
        'm' => 60_000,
        'h' => 3_600_000,
        'd' => 86_400_000,
        _ => return Err(refuse()),
    };
    let number: u64 = text[..text.len() - 1].parse().map_err(|_| refuse())?;
    number.checked_mul(unit_ms).map(Millis).ok_or_else(refuse)
}

/// An HTTP date (RFC 9110 section 5.6.7, the fixed form that servers send).
pub(crate) fn parse_http_date(text: &str) -> Option<Timestamp> {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let (_, rest) = text.split_once(", ")?;
    let parts: Vec<&str> = rest.split(' ').collect();
    let [day, month, year, time, "GMT"] = parts[..] else { return None };
    let month = MONTHS.iter().position(|name| *name == month)? + 1;
    let at: UtcTime = format!("{year}-{month:02}-{day}T{time}Z").parse().ok()?;
    Some(at.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_use_the_largest_whole_unit() {
        let seconds = [0, 59, 60, 3_599, 3_600, 86_399, 86_400, 8_640_000];
        let texts = seconds.map(|seconds| span(Millis(seconds * 1000 + 999)));
        assert_eq!(texts, ["0s", "59s", "1m", "59m", "1h", "23h", "1d", "100d"]);
    }

    #[test]
    fn a_clock_that_is_ahead_reads_as_now() {
        assert_eq!(since(UtcTime(Timestamp(5_000)), Timestamp(1_000)), "0s");
        assert_eq!(until(UtcTime(Timestamp(1_000)), Timestamp(5_000)), "expired");
    }

    #[test]
    fn http_dates_are_read() {
        for (text, utc) in [
            ("Thu, 01 Jan 1970 00:00:00 GMT", "1970-01-01T00:00:00.000Z"),
            ("Tue, 29 Feb 2000 23:59:59 GMT", "2000-02-29T23:59:59.000Z"),
            ("Sun, 06 Nov 1994 08:49:37 GMT", "1994-11-06T08:49:37.000Z"),
        ] {
            assert_eq!(parse_http_date(text).map(|at| UtcTime(at).to_string()), Some(utc.into()));
        }
        for text in ["", "now", "Sun, 06 Foo 1994 08:49:37 GMT", "Sun, 06 Nov 1994 08:49 GMT"] {
            assert_eq!(parse_http_date(text), None, "{text}");
        }
    }

    #[test]
    fn spans_read_back_what_people_write() {
        assert_eq!(parse_span("90s"), Ok(Millis(90_000)));
        assert_eq!(parse_span("7d"), Ok(Millis(604_800_000)));
        for text in ["", "h", "1", "-1h", "1.5h", "1w", "1ü", "99999999999999999d"] {
            assert!(parse_span(text).is_err(), "{text}");
        }
    }

    #[test]
    fn the_time_of_day_is_cut_out_of_the_moment() {
        assert_eq!(time_of_day(UtcTime(Timestamp(1_740_832_205_250))), "12:30:05");
    }
}
