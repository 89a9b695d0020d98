//! Proposals and reads that somebody waits for.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use novacron_controlplane_core::outcome::Applied;
use novacron_protocol::{LogIndex, MemberId};
use tokio::sync::oneshot;

use crate::cluster::Written;

/// Why a proposal was not, or perhaps not, done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProposeRefusal {
    /// Not done. Ask the leader.
    #[error("not the leader")]
    NotLeader { leader: Option<MemberId> },
    /// Not done: more wait than can be served soon. Ask again later.
    #[error("too many proposals are under way")]
    Busy,
    /// Not done: the lead is being handed over. Ask again in a moment.
    #[error("the lead is being handed over")]
    HandingOver,
    /// Perhaps done, under another leader: ask again with the same request key.
    #[error("lost the lead before it was known to be done")]
    Lost,
    /// This member is stopping.
    #[error("this member is stopping")]
    Stopping,
}

/// Why a read's index is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReadRefusal {
    #[error("no leader is known")]
    NoLeader,
    #[error("too much to do")]
    Busy,
}

/// Marks one proposal or read of one life of one member. Never the same twice: raft-rs keeps the
/// old index when a read's mark comes again, and would answer with stale data.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Mark([u8; 16]);

impl Mark {
    pub(super) fn from_context(context: &[u8]) -> Option<Self> {
        context.try_into().ok().map(Self)
    }

    pub(super) fn to_context(self) -> Vec<u8> {
        self.0.to_vec()
    }
}

/// Everything that waits for the log.
#[derive(Debug)]
pub(super) struct Waiters {
    /// Random per start of the process.
    nonce: u64,
    next: u64,
    proposals: HashMap<Mark, Waiter>,
    /// Reads that wait for their index to be known: those that came together share a mark.
    reads: HashMap<Mark, Vec<ReadReply>>,
    /// What is applied, to be told once the state that shows it is out.
    applied: Vec<(ProposeReply, Written)>,
}

pub(super) type ProposeReply = oneshot::Sender<Result<Written, ProposeRefusal>>;
pub(super) type ReadReply = oneshot::Sender<Result<LogIndex, ReadRefusal>>;

#[derive(Debug)]
struct Waiter {
    reply: ProposeReply,
    since: Instant,
}

impl Waiters {
    pub(super) fn new(nonce: u64) -> Self {
        let (proposals, reads, applied) = (HashMap::new(), HashMap::new(), Vec::new());
        Self { nonce, next: 0, proposals, reads, applied }
    }

    pub(super) fn mark(&mut self) -> Mark {
        self.next += 1;
        let mut mark = [0; 16];
        mark[..8].copy_from_slice(&self.nonce.to_le_bytes());
        mark[8..].copy_from_slice(&self.next.to_le_bytes());
        Mark(mark)
    }

    pub(super) fn proposals(&self) -> usize {
        self.proposals.len()
    }

    pub(super) fn expect_proposal(&mut self, mark: Mark, reply: ProposeReply, since: Instant) {
        self.proposals.insert(mark, Waiter { reply, since });
    }

    /// Takes back a proposal that Raft did not take.
    pub(super) fn refuse(&mut self, mark: Mark, refusal: ProposeRefusal) {
        if let Some(waiter) = self.proposals.remove(&mark) {
            let _ = waiter.reply.send(Err(refusal));
        }
    }

    pub(super) fn expect_reads(&mut self, mark: Mark, replies: Vec<ReadReply>) {
        self.reads.insert(mark, replies);
    }

    pub(super) fn reads(&self) -> usize {
        self.reads.values().map(Vec::len).sum()
    }

    /// Forgets reads that nobody waits for any more: their answers may be lost.
    pub(super) fn forget_given_up(&mut self) {
        for replies in self.reads.values_mut() {
            replies.retain(|reply| !reply.is_closed());
        }
        self.reads.retain(|_, replies| !replies.is_empty());
    }

    /// Notes what came of the entry with `context`, if it was proposed here; how long that took.
    pub(super) fn applied(
        &mut self,
        context: &[u8],
        index: LogIndex,
        applied: Applied,
    ) -> Option<Duration> {
        let mark = Mark::from_context(context)?;
        let Waiter { reply, since } = self.proposals.remove(&mark)?;
        self.applied.push((reply, Written { index, applied }));
        Some(since.elapsed())
    }

    /// Answers whoever proposed what was applied.
    pub(super) fn answer_applied(&mut self) {
        for (reply, written) in self.applied.drain(..) {
            let _ = reply.send(Ok(written));
        }
    }

    pub(super) fn read_ready(&mut self, context: &[u8], index: LogIndex) {
        let replies = Mark::from_context(context).and_then(|mark| self.reads.remove(&mark));
        for reply in replies.into_iter().flatten() {
            let _ = reply.send(Ok(index));
        }
    }

    /// Lets everybody know that the term in which they asked is over.
    pub(super) fn abandon(&mut self, refusal: &ProposeRefusal) {
        for (_, waiter) in self.proposals.drain() {
            let _ = waiter.reply.send(Err(refusal.clone()));
        }
        for (_, replies) in self.reads.drain() {
            for reply in replies {
                let _ = reply.send(Err(ReadRefusal::NoLeader));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_mark_is_used_twice_in_a_life_or_in_the_next() {
        let (mut life, mut next) = (Waiters::new(1), Waiters::new(2));
        let marks: std::collections::HashSet<Mark> =
            (0..1_000).flat_map(|_| [life.mark(), next.mark()]).collect();
        assert_eq!(marks.len(), 2_000);
    }

    #[test]
    fn reads_of_a_turn_share_an_answer_and_those_given_up_are_forgotten() {
        let mut waiters = Waiters::new(1);
        let (first, mut first_answer) = oneshot::channel();
        let (second, second_answer) = oneshot::channel();
        let mark = waiters.mark();
        waiters.expect_reads(mark, vec![first, second]);
        drop(second_answer);
        waiters.forget_given_up();
        assert_eq!(waiters.reads(), 1);
        waiters.read_ready(&mark.to_context(), LogIndex(7));
        assert_eq!(first_answer.try_recv().unwrap(), Ok(LogIndex(7)));
        assert_eq!(waiters.reads(), 0);
    }
}
