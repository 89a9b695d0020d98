//! The thread that owns raft-rs, the log store and the state.
//!
//! One turn: take what came in, let raft-rs think, then in this order: send what needs no disk
//! (a leader's entries go out in parallel with its own write), make entries and votes durable with
//! one flush, send what promised them, apply what is committed, answer who waits. A disk that fails
//! ends the thread: a retried flush may lie.

use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, Instant};

use bytes::Bytes;
use novacron_controlplane_core::apply::Configuration;
use novacron_controlplane_core::command::DecodeCommandError;
use novacron_controlplane_core::{Envelope, State};
use novacron_protocol::wire::raft::{Message, SnapshotMeta};
use novacron_protocol::{LogIndex, MemberId, Term};
use raft::eraftpb;
use raft::{Config, RawNode, ReadOnlyOption, SnapshotStatus, StateRole};
use tokio::sync::{oneshot, watch};

use super::configuration::{self, MembershipChange};
use super::memory::MemoryLog;
use super::proposals::{ProposeRefusal, Waiters};
use super::store::{LogStore, StoreError, StoredSnapshot};
use super::{convert, logger};
use crate::cluster::{Status, Written};

/// Inputs that may wait for the driver. Beyond it messages are dropped, as a network would, and
/// proposals are refused as busy.
const INBOX_MAX: usize = 8_192;
/// Inputs taken in one turn before the disk is asked: the upper bound of a batch.
const BATCH_MAX: usize = 1_024;
/// Proposals that may wait for their commit.
const PROPOSALS_MAX: usize = 4_096;
/// Bytes of entries in one append message; four frames' worth never build up behind a vote.
const APPEND_BYTES_MAX: u64 = 1 << 20;
/// Append messages under way to one member.
const APPENDS_IN_FLIGHT_MAX: usize = 64;
/// Bytes of entries that may wait for their commit.
const UNCOMMITTED_BYTES_MAX: u64 = 64 << 20;
/// A graceful stop waits so long for another member to take the lead.
const HAND_OVER_MAX: Duration = Duration::from_secs(1);

/// How a driver behaves.
#[derive(Debug, Clone)]
pub struct DriverOptions {
    pub member: MemberId,
    pub tick: Duration,
    /// Ticks without a leader after which a member stands for election; the real number is drawn
    /// between this and twice this.
    pub election_ticks: usize,
    pub heartbeat_ticks: usize,
    /// Entries after which a snapshot is made and the log cut.
    pub snapshot_every: u64,
    /// Entries kept behind a snapshot, for members that are a little late.
    pub keep_entries: u64,
    /// Random per start of the process; makes marks of reads unique.
    pub nonce: u64,
}

/// Where a driver's messages go. Called on the driver's thread: must not block.
pub trait Outbound: Send + 'static {
    /// Sends or drops; `false` when it is known not to arrive.
    fn send(&mut self, message: Message) -> bool;

    /// Sends a snapshot in the background, and settles it when it arrived.
    fn send_snapshot(&mut self, snapshot: SnapshotDelivery);
}

/// A snapshot on its way to a member. Dropped without [`Self::settle`], it counts as lost.
#[derive(Debug)]
pub struct SnapshotDelivery {
    pub message: Message,
    pub state: Bytes,
    inbox: SyncSender<Input>,
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
        let _ = self.inbox.try_send(Input::SnapshotDelivered { to: self.message.to, status });
    }
}

/// Why a read's index is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReadRefusal {
    #[error("no leader is known")]
    NoLeader,
    #[error("too much to do")]
    Busy,
}

#[derive(Debug)]
enum Input {
    Message(Message),
    Snapshot { message: Message, state: Vec<u8>, done: oneshot::Sender<bool> },
    Propose { command: Vec<u8>, reply: oneshot::Sender<Result<Written, ProposeRefusal>> },
    ReadIndex { reply: oneshot::Sender<Result<LogIndex, ReadRefusal>> },
    ChangeMembership(MembershipChange),
    TransferLead(MemberId),
    SnapshotDelivered { to: MemberId, status: SnapshotStatus },
    SnapshotMade(StoredSnapshot),
    Stop,
}

/// Talks to a driver. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Handle {
    inbox: SyncSender<Input>,
    state: watch::Receiver<State>,
    status: watch::Receiver<Status>,
    progress: watch::Receiver<Vec<(MemberId, LogIndex)>>,
}

impl Handle {
    /// A message from another member. Dropped when the driver is behind, as a network would.
    pub fn handle_message(&self, message: Message) {
        let _ = self.inbox.try_send(Input::Message(message));
    }

    /// A snapshot from the leader; `true` once it is durable.
    pub async fn handle_snapshot(&self, message: Message, state: Vec<u8>) -> bool {
        let (done, installed) = oneshot::channel();
        let input = Input::Snapshot { message, state, done };
        self.inbox.try_send(input).is_ok() && installed.await.unwrap_or(false)
    }

    /// Proposes an encoded [`Envelope`] and waits until it is applied here.
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

    /// Asks the driver to hand over the lead and end.
    pub fn stop(&self) {
        let _ = self.inbox.send(Input::Stop);
    }

    /// The applied state, after every batch.
    pub fn state(&self) -> watch::Receiver<State> {
        self.state.clone()
    }

    pub fn status(&self) -> watch::Receiver<Status> {
        self.status.clone()
    }

    /// On the leader: how far each other member's log is known to agree. Empty elsewhere.
    pub fn progress(&self) -> watch::Receiver<Vec<(MemberId, LogIndex)>> {
        self.progress.clone()
    }
}

/// Raft on one member. Made with [`Driver::open`], driven by [`Driver::run`] on a thread of its own.
#[expect(missing_debug_implementations, reason = "raft-rs's node has none")]
pub struct Driver<O> {
    options: DriverOptions,
    node: RawNode<MemoryLog>,
    store: Box<dyn LogStore>,
    outbound: O,
    state: State,
    /// Body of the newest snapshot.
    snapshot: Bytes,
    snapshot_under_way: bool,
    waiters: Waiters,
    inbox: Receiver<Input>,
    inbox_tx: SyncSender<Input>,
    state_tx: watch::Sender<State>,
    status_tx: watch::Sender<Status>,
    progress_tx: watch::Sender<Vec<(MemberId, LogIndex)>>,
    started: Instant,
    leader_heard: Instant,
    stopping_since: Option<Instant>,
}

/// Why a driver cannot start or go on.
#[derive(Debug, thiserror::Error)]
pub enum DriverError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the snapshot in the log is damaged: {0}")]
    Snapshot(novacron_protocol::record::RecordError),
    #[error("entry {index} cannot be read: {source}")]
    Entry { index: LogIndex, source: DecodeCommandError },
    #[error("raft refused to start: {0}")]
    Raft(String),
}

impl<O: Outbound> Driver<O> {
    /// Opens the log, restores the state and joins the group as whoever the log says it is.
    pub fn open(
        options: DriverOptions,
        mut store: Box<dyn LogStore>,
        outbound: O,
    ) -> Result<(Self, Handle), DriverError> {
        let loaded = store.load()?;
        let state = restore_state(&loaded.snapshot.state)?;
        let snapshot = loaded.snapshot.state.clone();
        let config = Config {
            id: options.member.0,
            election_tick: options.election_ticks,
            heartbeat_tick: options.heartbeat_ticks,
            applied: loaded.snapshot.meta.index.0,
            max_size_per_msg: APPEND_BYTES_MAX,
            max_inflight_msgs: APPENDS_IN_FLIGHT_MAX,
            max_uncommitted_size: UNCOMMITTED_BYTES_MAX,
            check_quorum: true,
            pre_vote: true,
            read_only_option: ReadOnlyOption::Safe,
            ..Config::default()
        };
        let node = RawNode::new(&config, MemoryLog::new(&loaded), &logger::logger())
            .map_err(|error| DriverError::Raft(error.to_string()))?;
        let (inbox_tx, inbox) = sync_channel(INBOX_MAX);
        let (state_tx, state_rx) = watch::channel(state.clone());
        let (status_tx, status) = watch::channel(Status::idle(options.member));
        let (progress_tx, progress) = watch::channel(Vec::new());
        let handle = Handle { inbox: inbox_tx.clone(), state: state_rx, status, progress };
        let now = Instant::now();
        let driver = Self {
            waiters: Waiters::new(options.nonce),
            options,
            node,
            store,
            outbound,
            state,
            snapshot,
            snapshot_under_way: false,
            inbox,
            inbox_tx,
            state_tx,
            status_tx,
            progress_tx,
            started: now,
            leader_heard: now,
            stopping_since: None,
        };
        Ok((driver, handle))
    }

    /// Runs until told to stop, or until the disk fails.
    pub fn run(mut self) -> Result<(), DriverError> {
        // What was committed before the start is applied first: it may hold who votes.
        self.handle_ready()?;
        self.stand_if_alone();
        let mut next_tick = Instant::now() + self.options.tick;
        loop {
            self.handle_ready()?;
            if self.is_done() {
                self.waiters.abandon(&ProposeRefusal::Stopping);
                return Ok(());
            }
            self.take_inputs(next_tick);
            let now = Instant::now();
            if now >= next_tick {
                self.node.tick();
                // A stall must not turn into a burst of ticks: they would end in an election.
                next_tick = now.max(next_tick + self.options.tick);
            }
        }
    }

    /// The only voter needs not wait for anybody.
    fn stand_if_alone(&mut self) {
        let voters = &self.node.store().configuration().voters;
        if voters.as_slice() == [self.options.member.0] {
            let _ = self.node.campaign();
        }
    }

    fn take_inputs(&mut self, until: Instant) {
        let wait = until.saturating_duration_since(Instant::now());
        let mut input = self.inbox.recv_timeout(wait).ok();
        let mut taken = 0;
        while let Some(next) = input {
            self.handle_input(next);
            taken += 1;
            input = if taken < BATCH_MAX { self.inbox.try_recv().ok() } else { None };
        }
    }

    fn handle_input(&mut self, input: Input) {
        match input {
            Input::Message(message) => self.step(message, Vec::new()),
            Input::Snapshot { message, state, done } => self.step_snapshot(message, state, done),
            Input::Propose { command, reply } => self.propose(command, reply),
            Input::ReadIndex { reply } => self.read_index(reply),
            Input::ChangeMembership(change) => self.change_membership(change),
            Input::TransferLead(to) => self.node.transfer_leader(to.0),
            Input::SnapshotDelivered { to, status } => self.node.report_snapshot(to.0, status),
            Input::SnapshotMade(snapshot) => self.keep_snapshot(snapshot),
            Input::Stop => self.begin_stop(),
        }
    }

    fn step(&mut self, message: Message, state: Vec<u8>) {
        let from = message.from;
        match convert::message_from_wire(message, state) {
            Ok(message) => {
                if self.node.raft.leader_id == from.0 {
                    self.leader_heard = Instant::now();
                }
                if let Err(error) = self.node.step(message) {
                    tracing::debug!(%from, %error, "raft message passed over");
                }
            }
            Err(error) => tracing::warn!(%from, %error, "raft message refused"),
        }
    }

    /// Only a snapshot that reads is shown to Raft: once accepted there is no way back.
    fn step_snapshot(&mut self, message: Message, state: Vec<u8>, done: oneshot::Sender<bool>) {
        let from = message.from;
        let index = message.snapshot.as_ref().map(|meta| meta.index);
        match State::from_snapshot(&state) {
            Ok(read) if Some(read.applied()) == index => {
                self.step(message, state);
                let _ = done.send(true);
            }
            Ok(_) => {
                tracing::warn!(%from, "snapshot refused: it is of another index than it says");
                let _ = done.send(false);
            }
            Err(error) => {
                tracing::warn!(%from, %error, "snapshot refused");
                let _ = done.send(false);
            }
        }
    }

    fn propose(
        &mut self,
        command: Vec<u8>,
        reply: oneshot::Sender<Result<Written, ProposeRefusal>>,
    ) {
        let refusal = if self.node.raft.state != StateRole::Leader {
            Some(ProposeRefusal::NotLeader { leader: self.leader() })
        } else if self.waiters.proposals() >= PROPOSALS_MAX {
            Some(ProposeRefusal::Busy)
        } else if self.stopping_since.is_some() {
            Some(ProposeRefusal::NotLeader { leader: None })
        } else {
            None
        };
        if let Some(refusal) = refusal {
            let _ = reply.send(Err(refusal));
            return;
        }
        let mark = self.waiters.mark();
        match self.node.propose(mark.to_context(), command) {
            Ok(()) => self.waiters.expect_proposal(mark, reply),
            Err(_) => {
                // Raft drops proposals while the lead is handed over or too much is uncommitted.
                let _ = reply.send(Err(ProposeRefusal::Busy));
            }
        }
    }

    fn read_index(&mut self, reply: oneshot::Sender<Result<LogIndex, ReadRefusal>>) {
        if self.leader().is_none() {
            let _ = reply.send(Err(ReadRefusal::NoLeader));
            return;
        }
        let mark = self.waiters.mark();
        self.waiters.expect_read(mark, reply);
        self.node.read_index(mark.to_context());
    }

    /// Not before an entry of this term is committed: only then is the last configuration known.
    fn change_membership(&mut self, change: MembershipChange) {
        if self.node.raft.state != StateRole::Leader || !self.node.raft.commit_to_current_term() {
            return;
        }
        if let Err(error) = self.node.propose_conf_change(change.encode(), change.to_raft()) {
            tracing::debug!(?change, %error, "membership change not proposed");
        }
    }

    fn begin_stop(&mut self) {
        self.stopping_since.get_or_insert_with(Instant::now);
        let own = self.options.member.0;
        let voters = self.node.raft.prs().conf().to_conf_state().voters;
        let progress = self.node.raft.prs();
        let matched = |id: &u64| progress.get(*id).map_or(0, |progress| progress.matched);
        let heir = voters.into_iter().filter(|id| *id != own).max_by_key(matched);
        if let Some(heir) = heir.filter(|_| self.node.raft.state == StateRole::Leader) {
            self.node.transfer_leader(heir);
        }
    }

    fn is_done(&self) -> bool {
        let Some(since) = self.stopping_since else { return false };
        let alone = self.node.raft.prs().conf().to_conf_state().voters.len() <= 1;
        self.node.raft.state != StateRole::Leader || alone || since.elapsed() > HAND_OVER_MAX
    }

    fn handle_ready(&mut self) -> Result<(), DriverError> {
        while self.node.has_ready() {
            let mut ready = self.node.ready();
            self.send(ready.take_messages());
            for read in ready.take_read_states() {
                self.waiters.read_ready(&read.request_ctx, LogIndex(read.index));
            }
            self.persist(&ready)?;
            self.send(ready.take_persisted_messages());
            self.apply(ready.take_committed_entries())?;
            let mut light = self.node.advance(ready);
            if let Some(commit) = light.commit_index() {
                self.node.mut_store().set_commit(commit);
            }
            self.send(light.take_messages());
            self.apply(light.take_committed_entries())?;
            self.node.advance_apply();
            self.make_snapshot_when_due();
            self.publish();
        }
        Ok(())
    }

    /// Makes everything of `ready` durable, with one flush.
    fn persist(&mut self, ready: &raft::Ready) -> Result<(), DriverError> {
        if !ready.snapshot().is_empty() {
            self.install(ready)?;
        }
        let hard_state = ready.hs().map(convert::hard_state_to_wire);
        let entries = ready.entries();
        // A commit index alone needs no flush: it is learned again from the leader.
        if ready.must_sync() || !entries.is_empty() {
            let kept: Vec<_> = entries.iter().cloned().map(convert::entry_to_wire).collect();
            self.store.append(&kept, hard_state)?;
        }
        let memory = self.node.mut_store();
        memory.append(entries);
        if let Some(state) = ready.hs() {
            memory.set_hard_state(state.clone());
        }
        Ok(())
    }

    /// Puts a snapshot from the leader in the place of everything this member knew.
    fn install(&mut self, ready: &raft::Ready) -> Result<(), DriverError> {
        let snapshot = StoredSnapshot {
            meta: convert::snapshot_to_wire(ready.snapshot().get_metadata()),
            state: ready.snapshot().data.clone(),
        };
        let hard_state = ready.hs().unwrap_or(self.node.store().hard_state());
        let mut hard_state = convert::hard_state_to_wire(hard_state);
        hard_state.commit = hard_state.commit.max(snapshot.meta.index);
        self.store.install_snapshot(&snapshot, hard_state)?;
        self.node.mut_store().install(&snapshot.meta);
        self.state = restore_state(&snapshot.state)?;
        self.snapshot = snapshot.state;
        tracing::info!(index = %snapshot.meta.index, "installed a snapshot from the leader");
        Ok(())
    }

    fn apply(&mut self, entries: Vec<eraftpb::Entry>) -> Result<(), DriverError> {
        for entry in entries {
            let index = LogIndex(entry.index);
            if index <= self.state.applied() {
                continue;
            }
            match entry.get_entry_type() {
                eraftpb::EntryType::EntryNormal if entry.data.is_empty() => {
                    self.state.advance(index);
                }
                eraftpb::EntryType::EntryNormal => {
                    let envelope = Envelope::decode(&entry.data)
                        .map_err(|source| DriverError::Entry { index, source })?;
                    let applied = self.state.apply(index, &envelope);
                    self.waiters.applied(&entry.context, index, applied);
                }
                eraftpb::EntryType::EntryConfChange | eraftpb::EntryType::EntryConfChangeV2 => {
                    self.apply_configuration(index, &entry.context)?;
                }
            }
        }
        Ok(())
    }

    fn apply_configuration(&mut self, index: LogIndex, context: &[u8]) -> Result<(), DriverError> {
        let change = configuration::change_from_context(context)
            .map_err(|source| DriverError::Entry { index, source: source.into() })?;
        self.persist_commit(index)?;
        let configuration = self
            .node
            .apply_conf_change(&change)
            .map_err(|error| DriverError::Raft(error.to_string()))?;
        let wire = convert::configuration_to_wire(&configuration);
        self.node.mut_store().set_configuration(configuration);
        let mut voters = wire.voters.clone();
        voters.extend(wire.voters_outgoing);
        let mut learners = wire.learners.clone();
        learners.extend(wire.learners_next);
        tracing::info!(%index, voters = ?wire.voters, learners = ?wire.learners, "members changed");
        self.state.apply_configuration(index, &Configuration { voters, learners });
        Ok(())
    }

    /// Makes it durable that the log is committed up to `index`. A configuration takes effect only
    /// then: a member that forgot one could, after a restart, elect itself by an older one.
    fn persist_commit(&mut self, index: LogIndex) -> Result<(), DriverError> {
        let mut hard_state = convert::hard_state_to_wire(self.node.store().hard_state());
        hard_state.commit = hard_state.commit.max(index);
        Ok(self.store.append(&[], Some(hard_state))?)
    }

    fn send(&mut self, messages: Vec<eraftpb::Message>) {
        for message in messages {
            let to = message.to;
            let message = convert::message_to_wire(message);
            if message.snapshot.is_some() {
                let state = self.snapshot.clone();
                let inbox = self.inbox_tx.clone();
                let delivery = SnapshotDelivery { message, state, inbox, arrived: false };
                self.outbound.send_snapshot(delivery);
            } else if !self.outbound.send(message) {
                self.node.report_unreachable(to);
            }
        }
    }

    /// Serialises a clone of the state on another thread; applying goes on meanwhile.
    fn make_snapshot_when_due(&mut self) {
        let applied = self.state.applied();
        let memory = self.node.store();
        let since = applied.0.saturating_sub(memory.snapshot_index().0);
        if self.snapshot_under_way || since == 0 {
            return;
        }
        if since < self.options.snapshot_every && !memory.take_snapshot_wanted() {
            return;
        }
        let Ok(term) = raft::Storage::term(self.node.store(), applied.0) else { return };
        let configuration = convert::configuration_to_wire(self.node.store().configuration());
        let meta = SnapshotMeta { index: applied, term: Term(term), configuration };
        let (state, inbox) = (self.state.clone(), self.inbox_tx.clone());
        self.snapshot_under_way = true;
        std::thread::spawn(move || {
            let _ = inbox.send(Input::SnapshotMade(StoredSnapshot {
                meta,
                state: state.to_snapshot().into(),
            }));
        });
    }

    /// Failing to keep a snapshot is not fatal: the log is still whole.
    fn keep_snapshot(&mut self, snapshot: StoredSnapshot) {
        self.snapshot_under_way = false;
        if snapshot.meta.index <= self.node.store().snapshot_index() {
            return;
        }
        let cut = LogIndex(snapshot.meta.index.0.saturating_sub(self.options.keep_entries));
        let kept = self.store.save_snapshot(&snapshot).and_then(|()| self.store.compact(cut));
        match kept {
            Ok(()) => {
                tracing::debug!(index = %snapshot.meta.index, "made a snapshot");
                self.node.mut_store().compact(snapshot.meta, cut);
                self.snapshot = snapshot.state;
            }
            Err(error) => tracing::error!(%error, "cannot keep a snapshot; the log grows"),
        }
    }

    fn leader(&self) -> Option<MemberId> {
        (self.node.raft.leader_id != 0).then_some(MemberId(self.node.raft.leader_id))
    }

    /// Shows the outside what has changed, and lets go of who waits when the lead is lost.
    fn publish(&mut self) {
        let raft = &self.node.raft;
        let leads = raft.state == StateRole::Leader;
        let status = Status {
            member: self.options.member,
            term: Term(raft.term),
            leader: self.leader(),
            applied: self.state.applied(),
            committed: LogIndex(raft.raft_log.committed),
            // A leader is one to the outside once it has applied all that its forerunners committed.
            ready: leads && raft.apply_to_current_term(),
            leader_heard: self.leader_heard.duration_since(self.started),
        };
        let before = *self.status_tx.borrow();
        if before.leader == Some(self.options.member) && !leads {
            self.waiters.abandon(&ProposeRefusal::Lost);
        }
        if before.leader != status.leader {
            let (term, leader) = (status.term, status.leader.map(|id| id.0));
            tracing::info!(%term, ?leader, "leader changed");
        }
        let applied = self.state.applied();
        let progress = match leads {
            true => raft.prs().iter().map(|(id, p)| (MemberId(*id), LogIndex(p.matched))).collect(),
            false => Vec::new(),
        };
        self.progress_tx.send_if_modified(|current| {
            let changed = *current != progress;
            *current = progress;
            changed
        });
        if self.state_tx.borrow().applied() != applied {
            self.state_tx.send_replace(self.state.clone());
        }
        self.status_tx.send_if_modified(|current| {
            let changed = *current != status;
            *current = status;
            changed
        });
    }
}

fn restore_state(snapshot: &[u8]) -> Result<State, DriverError> {
    match snapshot {
        [] => Ok(State::default()),
        bytes => State::from_snapshot(bytes).map_err(DriverError::Snapshot),
    }
}
