//! How the rest of a member talks to its driver.
//!
//! Everything goes through one bounded inbox. At its bound messages are dropped, as a network would,
//! and requests are refused as busy; what must not get lost does not go this way.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError};

use bytes::Bytes;
use novacron_controlplane_core::State;
use novacron_controlplane_core::membership::Progress;
use novacron_protocol::codec::CodecError;
use novacron_protocol::wire::raft::Message;
use novacron_protocol::{LogIndex, MemberId};
use tokio::sync::{oneshot, watch};

use super::configuration::MembershipChange;
use super::metrics::RaftMetrics;
use super::proposals::{ProposeRefusal, ReadRefusal};
use super::store::{StoreError, StoredSnapshot};
use crate::cluster::{Status, Written};

/// Why a snapshot from another member was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SnapshotRefusal {
    /// Send it again later.
    #[error("this member has too much to do")]
    Busy,
    /// Send it again when it runs again.
    #[error("this member is stopping")]
    Stopping,
    /// The same again would be refused again.
    #[error("{0}")]
    Unusable(String),
}

#[derive(Debug)]
pub(super) enum Input {
    Message(Message),
    Snapshot {
        message: Message,
        state: Bytes,
        done: oneshot::Sender<Result<(), SnapshotRefusal>>,
    },
    Propose {
        command: Vec<u8>,
        reply: oneshot::Sender<Result<Written, ProposeRefusal>>,
    },
    ReadIndex {
        reply: oneshot::Sender<Result<LogIndex, ReadRefusal>>,
    },
    ChangeMembership(MembershipChange),
    TransferLead(MemberId),
    SnapshotMade(Result<StoredSnapshot, SnapshotFault>),
    /// Look at the log: there is progress.
    Wake,
}

/// Why a snapshot of this member's own could not be made.
#[derive(Debug)]
pub(super) enum SnapshotFault {
    State(CodecError),
    Disk(StoreError),
}

/// Talks to a driver. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Handle {
    pub(super) inbox: SyncSender<Input>,
    pub(super) stop: Arc<AtomicBool>,
    pub(super) state: watch::Receiver<State>,
    pub(super) status: watch::Receiver<Status>,
    pub(super) progress: watch::Receiver<Vec<Progress>>,
    pub(super) metrics: Arc<RaftMetrics>,
}

impl Handle {
    /// A message from another member. Dropped when the driver is behind, as a network would.
    pub fn handle_message(&self, message: Message) {
        let _ = self.inbox.try_send(Input::Message(message));
    }

    /// A snapshot from the leader; done once it is durable.
    pub async fn handle_snapshot(
        &self,
        message: Message,
        state: Bytes,
    ) -> Result<(), SnapshotRefusal> {
        let (done, taken) = oneshot::channel();
        match self.inbox.try_send(Input::Snapshot { message, state, done }) {
            Ok(()) => taken.await.unwrap_or(Err(SnapshotRefusal::Stopping)),
            Err(TrySendError::Full(_)) => Err(SnapshotRefusal::Busy),
            Err(TrySendError::Disconnected(_)) => Err(SnapshotRefusal::Stopping),
        }
    }

    /// Proposes an encoded [`novacron_controlplane_core::Envelope`] and waits until it is applied
    /// here.
    pub async fn propose(&self, command: Vec<u8>) -> Result<Written, ProposeRefusal> {
        let (reply, answer) = oneshot::channel();
        match self.inbox.try_send(Input::Propose { command, reply }) {
            Ok(()) => answer.await.unwrap_or(Err(ProposeRefusal::Stopping)),
            Err(TrySendError::Full(_)) => Err(ProposeRefusal::Busy),
            Err(TrySendError::Disconnected(_)) => Err(ProposeRefusal::Stopping),
        }
    }

    /// The index that a linearizable read must wait for. May never be answered when messages get
    /// lost: ask again after a while.
    pub async fn read_index(&self) -> Result<LogIndex, ReadRefusal> {
        let (reply, answer) = oneshot::channel();
        match self.inbox.try_send(Input::ReadIndex { reply }) {
            Ok(()) => answer.await.unwrap_or(Err(ReadRefusal::NoLeader)),
            Err(_) => Err(ReadRefusal::Busy),
        }
    }

    /// Proposes a change of the Raft group; its effect shows in the state.
    pub fn change_membership(&self, change: MembershipChange) {
        let _ = self.inbox.try_send(Input::ChangeMembership(change));
    }

    pub fn transfer_lead(&self, to: MemberId) {
        let _ = self.inbox.try_send(Input::TransferLead(to));
    }

    /// Asks the driver to hand over the lead and end. Returns at once, and is heard however full
    /// the inbox is.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    /// The applied state, after every batch.
    pub fn state(&self) -> watch::Receiver<State> {
        self.state.clone()
    }

    pub fn status(&self) -> watch::Receiver<Status> {
        self.status.clone()
    }

    /// On the leader: every member of the Raft group, itself included. Empty elsewhere.
    pub fn progress(&self) -> watch::Receiver<Vec<Progress>> {
        self.progress.clone()
    }

    /// Figures of the driver and its log.
    pub fn metrics(&self) -> &RaftMetrics {
        &self.metrics
    }
}
