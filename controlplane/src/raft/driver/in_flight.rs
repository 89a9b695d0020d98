//! What was given to the log and is not durable yet, with the messages that wait for it.

use std::collections::VecDeque;

use raft::eraftpb;

/// Readies on their way to the disk, oldest first.
#[derive(Debug, Default)]
pub(super) struct InFlight {
    queue: VecDeque<Flight>,
}

/// One ready of raft-rs.
#[derive(Debug)]
pub(super) struct Flight {
    pub(super) number: u64,
    /// Promise what the ready had to keep, or what those before it had.
    pub(super) messages: Vec<eraftpb::Message>,
    needs_disk: bool,
    changes_vote: bool,
}

impl InFlight {
    pub(super) fn push(
        &mut self,
        number: u64,
        messages: Vec<eraftpb::Message>,
        needs_disk: bool,
        changes_vote: bool,
    ) {
        self.queue.push_back(Flight { number, messages, needs_disk, changes_vote });
    }

    /// The oldest, when all that it waits for is durable: its own, and what came before it.
    pub(super) fn pop_done(&mut self, persisted: u64) -> Option<Flight> {
        let is_done = |flight: &Flight| !flight.needs_disk || flight.number <= persisted;
        if self.queue.front().is_some_and(is_done) { self.queue.pop_front() } else { None }
    }

    /// Whether a vote or a term is not durable yet.
    pub(super) fn has_vote(&self) -> bool {
        self.queue.iter().any(|flight| flight.changes_vote)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_overtakes_what_is_on_its_way_to_the_disk() {
        let mut in_flight = InFlight::default();
        in_flight.push(1, vec![], true, false);
        in_flight.push(2, vec![], false, false);
        in_flight.push(3, vec![], true, true);
        assert!(in_flight.pop_done(0).is_none());
        assert!(in_flight.has_vote());
        let done: Vec<u64> =
            std::iter::from_fn(|| in_flight.pop_done(1)).map(|flight| flight.number).collect();
        assert_eq!(done, [1, 2]);
        assert_eq!(in_flight.pop_done(3).map(|flight| flight.number), Some(3));
        assert!(!in_flight.has_vote());
    }
}
