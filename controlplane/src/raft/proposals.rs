//! Proposals and reads that somebody waits for.

use std::collections::HashMap;

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
    /// Not done. Ask again later.
    #[error("too many proposals are under way")]
    Busy,
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
    proposals: HashMap<Mark, oneshot::Sender<Result<Written, ProposeRefusal>>>,
    /// Reads that wait for their index to be known.
    reads: HashMap<Mark, oneshot::Sender<Result<LogIndex, ReadRefusal>>>,
}

impl Waiters {
    pub(super) fn new(nonce: u64) -> Self {
        Self { nonce, next: 0, proposals: HashMap::new(), reads: HashMap::new() }
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

    pub(super) fn expect_proposal(
        &mut self,
        mark: Mark,
        reply: oneshot::Sender<Result<Written, ProposeRefusal>>,
    ) {
        self.proposals.insert(mark, reply);
    }

    pub(super) fn expect_read(
        &mut self,
        mark: Mark,
        reply: oneshot::Sender<Result<LogIndex, ReadRefusal>>,
    ) {
        self.reads.insert(mark, reply);
    }

    pub(super) fn reads(&self) -> usize {
        self.reads.len()
    }

    /// Forgets reads that nobody waits for any more: their answers may be lost.
    pub(super) fn forget_given_up(&mut self) {
        self.reads.retain(|_, reply| !reply.is_closed());
    }

    /// Answers whoever proposed the entry with `context`, if it was proposed here.
    pub(super) fn applied(&mut self, context: &[u8], index: LogIndex, applied: Applied) {
        let waiter = Mark::from_context(context).and_then(|mark| self.proposals.remove(&mark));
        if let Some(reply) = waiter {
            let _ = reply.send(Ok(Written { index, applied }));
        }
    }

    pub(super) fn read_ready(&mut self, context: &[u8], index: LogIndex) {
        let waiter = Mark::from_context(context).and_then(|mark| self.reads.remove(&mark));
        if let Some(reply) = waiter {
            let _ = reply.send(Ok(index));
        }
    }

    /// Lets everybody know that the term in which they asked is over.
    pub(super) fn abandon(&mut self, refusal: &ProposeRefusal) {
        for (_, reply) in self.proposals.drain() {
            let _ = reply.send(Err(refusal.clone()));
        }
        for (_, reply) in self.reads.drain() {
            let _ = reply.send(Err(ReadRefusal::NoLeader));
        }
    }
}
