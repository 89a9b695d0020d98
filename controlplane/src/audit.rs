//! Puts refusals on record: who was turned away, from what, and why.
//!
//! Records are replicated and kept, so whoever is refused must not be able to make many: at most
//! one a second and member, with the number of those left out.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use novacron_controlplane_core::{Actor, Command, Envelope};
use novacron_daemon::Clock;

use crate::cluster::Cluster;

/// At most one record in this time.
const RECORD_INTERVAL: Duration = Duration::from_secs(1);
/// A record that cannot be replicated in this time is given up; the log line stays.
const RECORD_TIMEOUT: Duration = Duration::from_secs(10);
/// Longest text of what was asked: a path may be longer than is worth keeping.
const WHAT_CHARS_MAX: usize = 200;

/// Records refusals without making the refused wait.
#[derive(Debug, Clone)]
pub struct Auditor {
    cluster: Cluster,
    clock: Clock,
    pace: Arc<Mutex<Pace>>,
}

#[derive(Debug, Default)]
struct Pace {
    recorded_at: Option<Duration>,
    unrecorded: u64,
    total: u64,
}

impl Auditor {
    pub fn new(cluster: Cluster, clock: Clock) -> Self {
        Self { cluster, clock, pace: Arc::default() }
    }

    /// Notes that `actor` was refused `what`.
    pub fn record(&self, actor: Actor, what: &str, why: String) {
        tracing::info!("{actor}: {what} refused: {why}");
        let Some(unrecorded) = self.locked().take_turn(self.clock.now()) else { return };
        let why = match unrecorded {
            0 => why,
            more => format!("{why}; {more} more refusals before it were not recorded"),
        };
        let what = what.chars().take(WHAT_CHARS_MAX).collect();
        let command = Command::RecordRefusal { what, why };
        let envelope = Envelope::from_actor(self.clock.timestamp(), actor, command);
        let cluster = self.cluster.clone();
        tokio::spawn(async move {
            let recorded = tokio::time::timeout(RECORD_TIMEOUT, cluster.propose(envelope));
            if !matches!(recorded.await, Ok(Ok(_))) {
                tracing::warn!("a refusal could not be put on record");
            }
        });
    }

    /// Refusals since the start, recorded or not.
    pub fn refusals(&self) -> u64 {
        self.locked().total
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, Pace> {
        self.pace.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pace {
    /// How many went unrecorded before this one, if this one may be recorded.
    fn take_turn(&mut self, now: Duration) -> Option<u64> {
        self.total += 1;
        if self.recorded_at.is_some_and(|at| now < at + RECORD_INTERVAL) {
            self.unrecorded += 1;
            return None;
        }
        self.recorded_at = Some(now);
        Some(std::mem::take(&mut self.unrecorded))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_of_refusals_makes_one_record_a_second_that_counts_the_rest() {
        const SECOND: Duration = Duration::from_secs(1);
        let mut pace = Pace::default();
        assert_eq!(pace.take_turn(SECOND), Some(0));
        assert_eq!(pace.take_turn(SECOND), None);
        assert_eq!(pace.take_turn(SECOND + SECOND / 2), None);
        assert_eq!(pace.take_turn(2 * SECOND), Some(2));
        assert_eq!(pace.total, 4);
    }
}
