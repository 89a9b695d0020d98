//! What is known of one class's bytes. The bytes themselves are the driver's.

use std::time::Duration;

use super::bucket::Bucket;
use super::deadline::Deadlines;
use super::nanos;
use super::reason::Reason;

/// One class. Offsets count its bytes since the start.
#[derive(Debug, Clone)]
pub(super) struct ClassQueue {
    /// Offset after the last byte that waits.
    end: u64,
    /// Offset after the last byte that left.
    sent: u64,
    pub(super) blocked: bool,
    pub(super) bucket: Option<Bucket>,
    pub(super) deadlines: Deadlines,
    pub(super) last_reason: Option<Reason>,
}

impl ClassQueue {
    pub(super) const fn new() -> Self {
        Self {
            end: 0,
            sent: 0,
            blocked: false,
            bucket: None,
            deadlines: Deadlines::new(),
            last_reason: None,
        }
    }

    pub(super) fn handle_queued(&mut self, bytes: u64) {
        self.end = self.end.saturating_add(bytes);
    }

    pub(super) fn handle_dropped(&mut self, bytes: u64) {
        self.end = self.end.saturating_sub(bytes).max(self.sent);
        self.deadlines.handle_dropped(self.sent, self.end);
    }

    pub(super) fn handle_sent(&mut self, now: Duration, bytes: u64) {
        self.sent = self.sent.saturating_add(bytes);
        // A driver that sends more than it has announced has announced too little.
        self.end = self.end.max(self.sent);
        self.deadlines.handle_sent(nanos(now), self.sent);
    }

    pub(super) const fn end(&self) -> u64 {
        self.end
    }

    pub(super) const fn sent(&self) -> u64 {
        self.sent
    }

    pub(super) const fn backlog(&self) -> u64 {
        self.end - self.sent
    }

    pub(super) const fn is_waiting(&self) -> bool {
        self.backlog() > 0 && !self.blocked
    }
}
