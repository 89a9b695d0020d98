//! When the hypervisor is looked at, and which look was the newest.

use std::time::Duration;

/// Paces looks: one in flight, at once when something happened, and now and then anyway.
#[derive(Debug)]
pub(super) struct Looks {
    /// Number of the newest look; 0 before the first.
    newest: u64,
    in_flight: bool,
    succeeded: bool,
    failures: u32,
    begun_at: Duration,
    due_at: Duration,
    /// The last `now` that the host was told.
    now: Duration,
}

/// How often the hypervisor is looked at when nothing happens: what a lost event costs.
const INTERVAL: Duration = Duration::from_secs(10);
/// Looks are at least this far apart, so that a burst of events costs one. No user notices it.
const SPACING: Duration = Duration::from_millis(10);
/// First and longest wait for a hypervisor that does not answer.
const RETRY: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(4));

impl Looks {
    /// The first look is due at once.
    pub(super) fn new(now: Duration) -> Self {
        Self {
            newest: 0,
            in_flight: false,
            succeeded: false,
            failures: 0,
            begun_at: now,
            due_at: now,
            now,
        }
    }

    pub(super) fn handle_now(&mut self, now: Duration) {
        self.now = self.now.max(now);
    }

    pub(super) fn handle_success(&mut self) {
        self.in_flight = false;
        self.succeeded = true;
        self.failures = 0;
    }

    pub(super) fn handle_failure(&mut self) {
        self.in_flight = false;
        let (first, longest) = RETRY;
        self.due_at = self.now + (first * (1 << self.failures.min(8))).min(longest);
        self.failures += 1;
    }

    /// Asks for a look that begins after now.
    pub(super) fn want(&mut self) {
        self.due_at = self.due_at.min(self.now.max(self.begun_at + SPACING));
    }

    /// Asks that looks are no further apart than `interval`.
    pub(super) fn want_within(&mut self, interval: Duration) {
        self.due_at = self.due_at.min(self.begun_at + interval);
    }

    /// Whether a look is to be begun now; counts it as begun.
    pub(super) fn poll(&mut self) -> bool {
        let due = !self.in_flight && self.due_at <= self.now;
        if due {
            self.in_flight = true;
            self.newest += 1;
            self.begun_at = self.now;
            self.due_at = self.now + INTERVAL;
        }
        due
    }

    pub(super) fn poll_timeout(&self) -> Option<Duration> {
        (!self.in_flight).then_some(self.due_at)
    }

    pub(super) fn newest(&self) -> u64 {
        self.newest
    }

    pub(super) fn has_succeeded(&self) -> bool {
        self.succeeded
    }
}
