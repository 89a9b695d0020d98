//! Until when a telemetry sample is news.

use std::time::Duration;

/// When a sample has to have left this host to arrive before the next one is taken: an interval
/// after it was taken, less half a round trip. On paths so long that this would be in the first half
/// of the interval, half of the interval.
///
/// `None` for a sample that the next one has replaced already, as in a back-fill after an outage:
/// history has no deadline, and takes its fair share of the link.
pub fn sample_due(
    now: Duration,
    sampled_at: Duration,
    interval: Duration,
    srtt: Duration,
) -> Option<Duration> {
    if now >= sampled_at + interval {
        return None;
    }
    Some(sampled_at + interval.saturating_sub(srtt / 2).max(interval / 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Duration = Duration::from_secs(1);
    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_sample_is_due_half_a_round_trip_before_the_next() {
        assert_eq!(sample_due(5 * S, 5 * S, 10 * S, 300 * MS), Some(14_850 * MS));
        assert_eq!(sample_due(5 * S, 5 * S, S, 5 * S), Some(5_500 * MS));
    }

    #[test]
    fn history_has_no_deadline() {
        assert_eq!(sample_due(15 * S, 5 * S, 10 * S, MS), None);
        assert!(sample_due(15 * S - MS, 5 * S, 10 * S, MS).is_some());
    }
}
