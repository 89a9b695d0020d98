//! When the messages of one class have to be out, and when that needs help.
//!
//! A stream is sent in order, so a message with a deadline needs all bytes before it to be out as
//! well. Deadlines that a later message makes moot are folded into it, which leaves a short queue
//! in which both offsets and deadlines grow. Each entry has a latest start,
//!
//! ```text
//! latest start = due - 2 * (bytes up to its end) / bandwidth - 5 ms
//! ```
//!
//! and once that has come, the class goes ahead of the shares up to the entry's end. Latest starts
//! only move back while bytes leave, so one is looked at again when it comes, and not before.

/// Entries kept; more fold into the last, which only makes bytes earlier than they need to be.
const ENTRIES_MAX: usize = 32;
/// Urgent traffic and the others' minimum may take half of the link while a message waits.
const SPANS: u64 = 2;
/// For grants that are under way, and timers that are late.
const MARGIN_NS: u64 = 5_000_000;

/// The deadlines of one class. Offsets count the bytes of the class since the start.
#[derive(Debug, Clone)]
pub(super) struct Deadlines {
    entries: [Entry; ENTRIES_MAX],
    head: usize,
    len: usize,
    /// Bytes up to here go ahead of the shares.
    ahead_to: u64,
    /// The earliest latest start, in ns.
    check_at: u64,
    kept: u64,
    missed: u64,
}

#[derive(Debug, Clone, Copy, Default)]
struct Entry {
    end: u64,
    due_ns: u64,
}

/// How fast bytes leave when their class goes first.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    pub(super) nanos_per_kib: u64,
}

impl Deadlines {
    pub(super) const fn new() -> Self {
        Self {
            entries: [Entry { end: 0, due_ns: 0 }; ENTRIES_MAX],
            head: 0,
            len: 0,
            ahead_to: 0,
            check_at: u64::MAX,
            kept: 0,
            missed: 0,
        }
    }

    /// A message that ends at offset `end` has to be out at `due_ns`.
    pub(super) fn push(&mut self, now_ns: u64, sent: u64, end: u64, due_ns: u64, pace: Pace) {
        while self.last().is_some_and(|last| last.due_ns >= due_ns) {
            self.len -= 1;
        }
        if self.len == ENTRIES_MAX {
            let at = self.at(self.len - 1);
            self.entries[at].end = end;
        } else {
            let at = self.at(self.len);
            self.entries[at] = Entry { end, due_ns };
            self.len += 1;
        }
        let start = latest_start(self.entries[self.at(self.len - 1)], sent, pace);
        if start <= now_ns {
            self.ahead_to = end;
        } else {
            self.check_at = self.check_at.min(start);
        }
    }

    /// Finds out what has to go ahead now.
    pub(super) fn check(&mut self, now_ns: u64, sent: u64, pace: Pace) {
        self.check_at = u64::MAX;
        for index in 0..self.len {
            let entry = self.entries[self.at(index)];
            let start = latest_start(entry, sent, pace);
            if start <= now_ns {
                self.ahead_to = entry.end;
            } else {
                self.check_at = self.check_at.min(start);
            }
        }
    }

    /// Bytes up to offset `sent` are out.
    pub(super) fn handle_sent(&mut self, now_ns: u64, sent: u64) {
        while self.len > 0 && self.entries[self.head].end <= sent {
            if now_ns <= self.entries[self.head].due_ns {
                self.kept += 1;
            } else {
                self.missed += 1;
            }
            self.head = self.at(1);
            self.len -= 1;
        }
    }

    /// The class now ends at offset `end`. Which bytes have gone is not known; taking them from
    /// the end leaves every byte a deadline that is no later than its own.
    pub(super) fn handle_dropped(&mut self, sent: u64, end: u64) {
        while self.len > 0 {
            let before = match self.len {
                1 => sent,
                len => self.entries[self.at(len - 2)].end,
            };
            let at = self.at(self.len - 1);
            self.entries[at].end = self.entries[at].end.min(end);
            if before < end {
                break;
            }
            self.len -= 1;
        }
        self.ahead_to = self.ahead_to.min(end);
    }

    /// Whether the class goes ahead of the shares.
    pub(super) const fn is_ahead(&self, sent: u64) -> bool {
        sent < self.ahead_to
    }

    /// When [`Self::check`] has something to do.
    pub(super) const fn check_at(&self) -> u64 {
        self.check_at
    }

    /// The next deadline.
    pub(super) fn due_ns(&self) -> Option<u64> {
        (self.len > 0).then(|| self.entries[self.head].due_ns)
    }

    pub(super) const fn kept(&self) -> u64 {
        self.kept
    }

    pub(super) const fn missed(&self) -> u64 {
        self.missed
    }

    fn last(&self) -> Option<Entry> {
        self.len.checked_sub(1).map(|index| self.entries[self.at(index)])
    }

    const fn at(&self, index: usize) -> usize {
        (self.head + index) % ENTRIES_MAX
    }
}

fn latest_start(entry: Entry, sent: u64, pace: Pace) -> u64 {
    let ahead = entry.end.saturating_sub(sent);
    let span = ahead.saturating_mul(pace.nanos_per_kib) >> 10;
    entry.due_ns.saturating_sub(span.saturating_mul(SPANS)).saturating_sub(MARGIN_NS)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MS: u64 = 1_000_000;
    /// 8 Mbit/s: one millisecond per kilobyte.
    const PACE: Pace = Pace { nanos_per_kib: 1_024_000 };

    #[test]
    fn a_class_goes_ahead_from_the_latest_start_to_the_end_of_the_message() {
        let mut deadlines = Deadlines::new();
        deadlines.push(0, 0, 10_000, 100 * MS, PACE);
        assert_eq!(deadlines.check_at(), (100 - 20 - 5) * MS);
        assert!(!deadlines.is_ahead(0));
        deadlines.check(75 * MS, 0, PACE);
        assert!(deadlines.is_ahead(0) && deadlines.is_ahead(9_999) && !deadlines.is_ahead(10_000));
    }

    #[test]
    fn a_later_message_with_an_earlier_deadline_hurries_those_before_it() {
        let mut deadlines = Deadlines::new();
        deadlines.push(0, 0, 10_000, 900 * MS, PACE);
        deadlines.push(0, 0, 20_000, 50 * MS, PACE);
        assert_eq!(deadlines.due_ns(), Some(50 * MS));
        deadlines.check(10 * MS, 0, PACE);
        assert!(deadlines.is_ahead(0) && deadlines.is_ahead(19_999));
    }

    #[test]
    fn deadlines_beyond_the_bound_fold_into_the_last_and_become_no_later() {
        let mut deadlines = Deadlines::new();
        for index in 1..=2 * ENTRIES_MAX as u64 {
            deadlines.push(0, 0, index * 100, index * 100 * MS, PACE);
        }
        assert_eq!(deadlines.len, ENTRIES_MAX);
        let last = deadlines.last().unwrap();
        assert_eq!((last.end, last.due_ns), (6_400, 3_200 * MS));
    }

    #[test]
    fn kept_and_missed_deadlines_are_counted() {
        let mut deadlines = Deadlines::new();
        deadlines.push(0, 0, 100, 50 * MS, PACE);
        deadlines.push(0, 0, 200, 60 * MS, PACE);
        deadlines.handle_sent(50 * MS, 199);
        deadlines.handle_sent(70 * MS, 200);
        assert_eq!((deadlines.kept(), deadlines.missed(), deadlines.due_ns()), (1, 1, None));
    }

    #[test]
    fn what_was_dropped_neither_hurries_nor_counts() {
        let mut deadlines = Deadlines::new();
        deadlines.push(0, 0, 10_000, 20 * MS, PACE);
        deadlines.push(0, 0, 20_000, 25 * MS, PACE);
        assert!(deadlines.is_ahead(10_000));
        deadlines.handle_dropped(4_000, 10_000);
        assert_eq!((deadlines.len, deadlines.is_ahead(10_000)), (1, false));
        deadlines.handle_dropped(4_000, 4_000);
        deadlines.handle_sent(90 * MS, 5_000);
        assert_eq!((deadlines.due_ns(), deadlines.kept(), deadlines.missed()), (None, 0, 0));
    }

    proptest! {
        /// Beside it: every message with its own deadline, in a list.
        #[test]
        fn no_byte_starts_later_than_its_own_deadline_allows(
            messages in proptest::collection::vec((1_u64..5_000, 1_u64..2_000), 1..60),
            sends in proptest::collection::vec((0_u64..3_000, 0_u64..40), 1..60),
            dropped in 0_u64..8_000,
        ) {
            let mut deadlines = Deadlines::new();
            let mut model: Vec<Entry> = Vec::new();
            let mut end = 0;
            for (bytes, due_ms) in messages {
                end += bytes;
                deadlines.push(0, 0, end, due_ms * MS, PACE);
                model.push(Entry { end, due_ns: due_ms * MS });
            }
            let dropped = dropped.min(end);
            end -= dropped;
            deadlines.handle_dropped(0, end);
            model.retain(|entry| entry.end <= end);
            let (mut now, mut sent) = (0, 0);
            for (bytes, wait_ms) in sends {
                now += wait_ms * MS;
                sent = (sent + bytes).min(end);
                deadlines.handle_sent(now, sent);
                if now >= deadlines.check_at() {
                    deadlines.check(now, sent, PACE);
                }
                for entry in model.iter().filter(|entry| entry.end > sent) {
                    let late = latest_start(*entry, sent, PACE) <= now;
                    prop_assert!(!late || deadlines.ahead_to >= entry.end);
                }
            }
        }
    }
}
