//! What Raft can be asked about itself, without asking its thread.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Upper bounds of the buckets, in microseconds: from a fast disk to an operator's patience.
const BOUNDS_US: [u64; 14] = [
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000,
    1_000_000, 5_000_000,
];

/// Figures of one member's Raft. Counters count from the start of the process.
#[derive(Debug, Default)]
pub struct RaftMetrics {
    /// From a proposal's arrival to its being applied, on the leader.
    pub commits: Durations,
    /// One write and sync of the log.
    pub syncs: Durations,
    /// Making and keeping a snapshot, off the Raft thread.
    pub snapshots: Durations,
    /// Elections this member stood for.
    pub elections: Counter,
    /// Changes of who leads, as this member saw them.
    pub leader_changes: Counter,
    /// Proposals and reads that were refused because too many waited.
    pub refused: Counter,
    /// When the newest snapshot of this life was kept: seconds since the driver began, and one.
    snapshot_at: AtomicU64,
}

impl RaftMetrics {
    /// When the newest snapshot was kept, in seconds since the process began, if it has made one.
    pub fn snapshot_at_s(&self) -> Option<u64> {
        self.snapshot_at.load(Ordering::Relaxed).checked_sub(1)
    }

    pub(super) fn note_snapshot(&self, since_start: Duration) {
        self.snapshot_at.store(since_start.as_secs() + 1, Ordering::Relaxed);
    }
}

/// A count that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

/// A histogram of durations.
#[derive(Debug, Default)]
pub struct Durations {
    /// Per bound, and one for what is above all of them.
    buckets: [AtomicU64; BOUNDS_US.len() + 1],
    sum_us: AtomicU64,
}

/// A histogram at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Distribution {
    /// Upper bound in microseconds, and how many were at or below it.
    pub at_most_us: Vec<(u64, u64)>,
    pub count: u64,
    pub sum_us: u64,
}

impl Counter {
    pub(super) fn increment(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    pub fn value(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Durations {
    pub(super) fn observe(&self, duration: Duration) {
        let us = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        let bucket = BOUNDS_US.partition_point(|bound| *bound < us);
        self.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        self.sum_us.fetch_add(us, Ordering::Relaxed);
    }

    pub fn distribution(&self) -> Distribution {
        let mut count = 0;
        let mut cumulated = |bucket: &AtomicU64| {
            count += bucket.load(Ordering::Relaxed);
            count
        };
        let counts: Vec<u64> = self.buckets.iter().map(&mut cumulated).collect();
        let at_most_us = BOUNDS_US.into_iter().zip(counts).collect();
        Distribution { at_most_us, count, sum_us: self.sum_us.load(Ordering::Relaxed) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_counts_in_its_bucket_and_in_all_above() {
        let durations = Durations::default();
        for us in [100, 101, 6_000_000] {
            durations.observe(Duration::from_micros(us));
        }
        let seen = durations.distribution();
        assert_eq!(seen.at_most_us[..2], [(100, 1), (250, 2)]);
        assert_eq!(seen.at_most_us.last(), Some(&(5_000_000, 2)));
        assert_eq!((seen.count, seen.sum_us), (3, 6_000_201));
    }
}
