//! The handle through which the rest of a member reads and changes the replicated state.

use std::time::Duration;

use novacron_controlplane_core::outcome::Applied;
use novacron_controlplane_core::{Envelope, State};
use novacron_protocol::{LogIndex, MemberId, Term};
use tokio::sync::watch;

/// A cheap handle to this member's part of the cluster. Everything works on every member: what
/// only the leader can do is forwarded to it.
#[derive(Debug, Clone)]
pub struct Cluster;

/// How fresh a read must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Consistency {
    /// Sees every write acknowledged before the read began (ReadIndex).
    Linearizable,
    /// What the leader has applied, without asking a quorum; refused elsewhere.
    Leader,
    /// What this member has applied.
    Stale,
}

/// A state to read from.
#[derive(Debug, Clone)]
pub struct View {
    pub state: State,
    /// Time since this member last heard from a leader (zero on the leader).
    pub staleness: Duration,
}

/// An applied command.
#[derive(Debug, Clone)]
pub struct Written {
    pub index: LogIndex,
    pub applied: Applied,
}

/// This member's place in the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Status {
    pub member: MemberId,
    pub term: Term,
    pub leader: Option<MemberId>,
    pub applied: LogIndex,
    pub committed: LogIndex,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClusterError {
    /// No leader, no quorum, or too much to do. The command may or may not be done: send it again
    /// with the same request key.
    #[error("the cluster cannot answer now: {reason}")]
    Unavailable { reason: String, retry_after: Duration },
    #[error("the request is too large: {0}")]
    TooLarge(String),
    #[error("not the leader")]
    NotLeader { leader: Option<MemberId> },
}

#[expect(unused_variables, clippy::unimplemented, reason = "signatures first")]
impl Cluster {
    /// Proposes and waits until the command is applied. Goes on through leader changes; an
    /// envelope without a request key is given a fresh one first, so that it is done at most once.
    pub async fn propose(&self, envelope: Envelope) -> Result<Written, ClusterError> {
        unimplemented!()
    }

    pub async fn read(&self, consistency: Consistency) -> Result<View, ClusterError> {
        unimplemented!()
    }

    /// What this member has applied; a clone is O(1).
    pub fn state(&self) -> State {
        unimplemented!()
    }

    /// The applied state after every change.
    pub fn watch(&self) -> watch::Receiver<State> {
        unimplemented!()
    }

    pub fn status(&self) -> Status {
        unimplemented!()
    }
}
