//! Snapshots on their way to members that fell behind.
//!
//! Raft waits for the end of each before it sends that member anything else, so an end must never
//! get lost: it is noted where the driver looks every turn, never sent through its bounded inbox.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use novacron_protocol::MemberId;
use novacron_protocol::wire::raft::Message;
use raft::SnapshotStatus;

/// Pause before a member is sent a snapshot again: one that refuses would be sent the whole state
/// with every heartbeat.
const PAUSE: Duration = Duration::from_secs(1);

/// How the deliveries that ended since the last look did. One is under way per member at most, so
/// there are no more than members.
type Ends = Arc<Mutex<Vec<(MemberId, SnapshotStatus)>>>;

/// A snapshot on its way to a member. Dropped without [`Self::settle`], it counts as lost.
#[derive(Debug)]
pub struct SnapshotDelivery {
    pub message: Message,
    /// The state that the message speaks of.
    pub state: Bytes,
    ends: Ends,
    arrived: bool,
}

impl SnapshotDelivery {
    /// The member has it, durably.
    pub fn settle(mut self) {
        self.arrived = true;
    }
}

impl Drop for SnapshotDelivery {
    fn drop(&mut self) {
        let status = if self.arrived { SnapshotStatus::Finish } else { SnapshotStatus::Failure };
        lock(&self.ends).push((self.message.to, status));
    }
}

/// Who is being sent a snapshot, and who was lately.
#[derive(Debug, Default)]
pub(super) struct Deliveries {
    latest: BTreeMap<MemberId, Attempt>,
    ends: Ends,
}

#[derive(Debug, Clone, Copy)]
enum Attempt {
    UnderWay,
    Ended(Instant),
}

impl Deliveries {
    /// `None` when one is under way to that member, or was a moment ago.
    pub(super) fn begin(
        &mut self,
        now: Instant,
        message: Message,
        state: Bytes,
    ) -> Option<SnapshotDelivery> {
        let is_recent = |attempt: &Attempt| match attempt {
            Attempt::UnderWay => true,
            Attempt::Ended(at) => now.duration_since(*at) < PAUSE,
        };
        self.latest.retain(|_, attempt| is_recent(attempt));
        if self.latest.contains_key(&message.to) {
            return None;
        }
        self.latest.insert(message.to, Attempt::UnderWay);
        Some(SnapshotDelivery { message, state, ends: Arc::clone(&self.ends), arrived: false })
    }

    /// The deliveries that ended since the last call.
    pub(super) fn take_ended(&mut self, now: Instant) -> Vec<(MemberId, SnapshotStatus)> {
        let ended = std::mem::take(&mut *lock(&self.ends));
        self.latest.extend(ended.iter().map(|(to, _)| (*to, Attempt::Ended(now))));
        ended
    }
}

fn lock(ends: &Ends) -> std::sync::MutexGuard<'_, Vec<(MemberId, SnapshotStatus)>> {
    ends.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use novacron_protocol::wire::raft::Kind;
    use novacron_protocol::{LogIndex, Term};

    fn to(id: u64) -> Message {
        Message {
            kind: Kind::Snapshot,
            to: MemberId(id),
            from: MemberId(1),
            term: Term(1),
            log_term: Term(0),
            index: LogIndex(0),
            entries: vec![],
            commit: LogIndex(0),
            commit_term: Term(0),
            snapshot: None,
            request_snapshot: LogIndex(0),
            reject: false,
            reject_hint: LogIndex(0),
            context: vec![],
            priority: 0,
        }
    }

    #[test]
    fn one_is_under_way_to_a_member_and_a_pause_follows_its_end() {
        let mut deliveries = Deliveries::default();
        let start = Instant::now();
        let begin = |deliveries: &mut Deliveries, id, at: Duration| {
            deliveries.begin(start + at, to(id), Bytes::new())
        };
        let first = begin(&mut deliveries, 2, Duration::ZERO).unwrap();
        assert!(begin(&mut deliveries, 2, PAUSE * 10).is_none(), "one is under way");
        assert!(begin(&mut deliveries, 3, PAUSE * 10).is_some(), "lost at once");
        first.settle();
        let ended = deliveries.take_ended(start + PAUSE * 10);
        let expected =
            [(MemberId(3), SnapshotStatus::Failure), (MemberId(2), SnapshotStatus::Finish)];
        assert_eq!(ended, expected);
        assert_eq!(deliveries.take_ended(start), []);
        assert!(begin(&mut deliveries, 2, PAUSE * 10 + PAUSE / 2).is_none(), "too soon");
        assert!(begin(&mut deliveries, 2, PAUSE * 11).is_some());
    }
}
