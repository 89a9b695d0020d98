//! The handle through which the rest of a member reads and changes the replicated state.

use std::time::Duration;

use novacron_controlplane_core::command::RequestKey;
use novacron_controlplane_core::outcome::{self, Applied};
use novacron_controlplane_core::{Envelope, State};
use novacron_daemon::Clock;
use novacron_protocol::wire::Class;
use novacron_protocol::wire::call::{CallRefusal, Request, Response};
use novacron_protocol::wire::hello::Peer;
use novacron_protocol::{Digest, LogIndex, MemberId, RequestId, Term};
use tokio::sync::watch;
use tokio::time::{Instant, timeout, timeout_at};
use uuid::Uuid;

use crate::peers::Peers;
use crate::raft::{Handle, ProposeRefusal, RaftMetrics, ReadRefusal};

/// How long a proposal or read is tried through leader changes before the caller is told to come
/// back: several elections.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long one try of a read may take before its answer counts as lost.
const READ_TRY: Duration = Duration::from_millis(500);
/// Pause before the next try when nothing said that things have changed.
const RETRY_PAUSE: Duration = Duration::from_millis(50);
/// What clients are told to wait after `Unavailable`.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// A cheap handle to this member's part of the cluster. Everything works on every member: what
/// only the leader can do is forwarded to it.
#[derive(Debug, Clone)]
pub struct Cluster {
    raft: Handle,
    peers: Peers,
    clock: Clock,
}

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
    /// Whether this member leads and has applied all that leaders before it committed.
    pub ready: bool,
    /// When a leader was last heard, on the member's own clock.
    pub leader_heard: Duration,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ClusterError {
    /// No leader, no quorum, or too much to do. The command may or may not be done: send it again
    /// with the same request key.
    #[error("the cluster cannot answer now: {reason}")]
    Unavailable { reason: String, retry_after: Duration },
    /// More waits already than can be served soon. The command is not done.
    #[error("the cluster has too much to do; try again after a while")]
    Busy { retry_after: Duration },
    #[error("the request cannot be replicated: {0}")]
    TooLarge(String),
    #[error("not the leader")]
    NotLeader { leader: Option<MemberId> },
}

/// What came of one try at the leader.
enum Try {
    Done(Written),
    Again(String),
    GiveUp(ClusterError),
}

impl Cluster {
    pub fn new(raft: Handle, peers: Peers, clock: Clock) -> Self {
        Self { raft, peers, clock }
    }

    /// Proposes and waits until the command is applied. Goes on through leader changes; an
    /// envelope without a request key is given a fresh one first, so that it is done at most once.
    pub async fn propose(&self, mut envelope: Envelope) -> Result<Written, ClusterError> {
        envelope.request.get_or_insert_with(fresh_key);
        let command =
            envelope.encode().map_err(|error| ClusterError::TooLarge(error.to_string()))?;
        let deadline = Instant::now() + PATIENCE;
        let mut status = self.raft.status();
        loop {
            let seen = *status.borrow_and_update();
            let reason = match self.try_until_change(&mut status, seen, &command).await {
                Try::Done(written) => return Ok(written),
                Try::GiveUp(error) => return Err(error),
                Try::Again(reason) => reason,
            };
            if Instant::now() >= deadline {
                return Err(unavailable(reason));
            }
            wait_for_change(&mut status, seen).await;
        }
    }

    pub async fn read(&self, consistency: Consistency) -> Result<View, ClusterError> {
        let status = *self.raft.status().borrow();
        let leads = status.leads();
        match consistency {
            Consistency::Stale => {}
            Consistency::Leader if status.ready => {}
            Consistency::Leader => {
                return Err(ClusterError::NotLeader { leader: status.leader });
            }
            Consistency::Linearizable => self.wait_for_read().await?,
        }
        let staleness = match leads {
            true => Duration::ZERO,
            false => self.clock.now().saturating_sub(status.leader_heard),
        };
        Ok(View { state: self.state(), staleness })
    }

    /// What this member has applied; a clone is O(1).
    pub fn state(&self) -> State {
        self.raft.state().borrow().clone()
    }

    /// The applied state after every change.
    pub fn watch(&self) -> watch::Receiver<State> {
        self.raft.state()
    }

    pub fn status(&self) -> Status {
        *self.raft.status().borrow()
    }

    /// Since when this process runs.
    pub fn uptime(&self) -> Duration {
        self.clock.now()
    }

    /// Figures of this member's Raft and its log.
    pub fn raft_metrics(&self) -> &RaftMetrics {
        self.raft.metrics()
    }

    /// The status after every change.
    pub fn watch_status(&self) -> watch::Receiver<Status> {
        self.raft.status()
    }

    /// The leader's answer to a proposal that another member passes on.
    pub async fn answer_proposal(&self, command: Vec<u8>) -> Response {
        let stamped = Envelope::decode(&command).map_err(|error| error.to_string()).and_then(
            |mut envelope| {
                // One clock stamps all commands of a term: the leader's.
                envelope.at = self.clock.timestamp();
                envelope.encode().map_err(|error| error.to_string())
            },
        );
        let command = match stamped {
            Ok(command) => command,
            Err(detail) => return Response::Refused(CallRefusal::Rejected(detail)),
        };
        match self.raft.propose(command).await {
            Ok(written) => match outcome::encode_applied(&written.applied) {
                Ok(outcome) => Response::Applied { index: written.index, outcome },
                Err(error) => Response::Refused(CallRefusal::Rejected(error.to_string())),
            },
            Err(ProposeRefusal::NotLeader { leader }) => {
                Response::Refused(CallRefusal::NotLeader { leader })
            }
            Err(ProposeRefusal::Busy) => Response::Refused(CallRefusal::Busy),
            Err(error) => Response::Refused(CallRefusal::Unavailable(error.to_string())),
        }
    }

    /// One try, given up when another leads: the one that was asked may never answer, and the next
    /// does not do it twice.
    async fn try_until_change(
        &self,
        status: &mut watch::Receiver<Status>,
        seen: Status,
        command: &[u8],
    ) -> Try {
        let another = |now: &Status| now.leader.is_some() && !now.is_led_as(&seen);
        tokio::select! {
            biased;
            tried = self.try_propose(&seen, command) => tried,
            _ = status.wait_for(another) => Try::Again("the leader has changed".to_owned()),
        }
    }

    async fn try_propose(&self, seen: &Status, command: &[u8]) -> Try {
        let written = match seen.leader {
            None => return Try::Again("no leader is known".to_owned()),
            Some(leader) if leader == seen.member => self.raft.propose(command.to_vec()).await,
            Some(leader) => return self.forward(leader, command).await,
        };
        match written {
            Ok(written) => Try::Done(written),
            Err(
                error @ (ProposeRefusal::NotLeader { .. }
                | ProposeRefusal::Lost
                | ProposeRefusal::HandingOver),
            ) => Try::Again(error.to_string()),
            // Whoever waited here would add to what there is too much of.
            Err(ProposeRefusal::Busy) => Try::GiveUp(busy()),
            Err(error @ ProposeRefusal::Stopping) => Try::GiveUp(unavailable(error.to_string())),
        }
    }

    async fn forward(&self, leader: MemberId, command: &[u8]) -> Try {
        let request = Request::Propose { command: command.to_vec() };
        match self.peers.call(Peer::Member(leader), Class::Command, &request).await {
            Ok((Response::Applied { index, outcome }, _)) => {
                match outcome::decode_applied(&outcome) {
                    Ok(applied) => Try::Done(Written { index, applied }),
                    Err(error) => Try::GiveUp(unavailable(error.to_string())),
                }
            }
            Ok((Response::Refused(CallRefusal::Rejected(detail)), _)) => {
                Try::GiveUp(ClusterError::TooLarge(detail))
            }
            Ok((Response::Refused(CallRefusal::Busy), _)) => Try::GiveUp(busy()),
            Ok((Response::Refused(refusal), _)) => Try::Again(refusal.to_string()),
            Ok(_) => Try::GiveUp(unavailable("the leader's answer makes no sense".to_owned())),
            Err(error) => Try::Again(format!("leader {leader}: {error}")),
        }
    }

    /// Waits until this member has applied all that was acknowledged before now.
    async fn wait_for_read(&self) -> Result<(), ClusterError> {
        let deadline = Instant::now() + PATIENCE;
        let mut status = self.raft.status();
        loop {
            let seen = *status.borrow_and_update();
            let reason = match timeout(READ_TRY, self.raft.read_index()).await {
                Ok(Ok(index)) => return self.wait_until_applied(index, deadline).await,
                Ok(Err(ReadRefusal::Busy)) => return Err(busy()),
                Ok(Err(refusal @ ReadRefusal::NoLeader)) => refusal.to_string(),
                Err(_) => {
                    "the leader did not answer in time, or is not sure yet that it leads".to_owned()
                }
            };
            if Instant::now() >= deadline {
                return Err(unavailable(reason));
            }
            wait_for_change(&mut status, seen).await;
        }
    }

    async fn wait_until_applied(
        &self,
        index: LogIndex,
        deadline: Instant,
    ) -> Result<(), ClusterError> {
        let mut state = self.raft.state();
        let reached = state.wait_for(|state| state.applied() >= index);
        match timeout_at(deadline, reached).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(_)) => Err(unavailable("this member is stopping".to_owned())),
            Err(_) => Err(unavailable("this member is behind".to_owned())),
        }
    }
}

impl Status {
    pub(crate) fn idle(member: MemberId) -> Self {
        Self {
            member,
            term: Term(0),
            leader: None,
            applied: LogIndex(0),
            committed: LogIndex(0),
            ready: false,
            leader_heard: Duration::ZERO,
        }
    }

    pub fn leads(&self) -> bool {
        self.leader == Some(self.member)
    }

    /// Whether the same member leads, in the same term.
    fn is_led_as(&self, other: &Self) -> bool {
        (self.leader, self.term) == (other.leader, other.term)
    }
}

/// Waits until who leads has changed, but not for long: some failures change nothing.
async fn wait_for_change(status: &mut watch::Receiver<Status>, seen: Status) {
    let changed = status.wait_for(|now| !now.is_led_as(&seen));
    let _ = timeout(RETRY_PAUSE, changed).await;
}

fn busy() -> ClusterError {
    ClusterError::Busy { retry_after: RETRY_AFTER }
}

fn unavailable(reason: String) -> ClusterError {
    ClusterError::Unavailable { reason, retry_after: RETRY_AFTER }
}

fn fresh_key() -> RequestKey {
    let id = Uuid::new_v4();
    RequestKey { id: RequestId::from_uuid(id), fingerprint: Digest::of(id.as_bytes()) }
}
