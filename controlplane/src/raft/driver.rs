//! The thread that owns raft-rs, the log store and the state.
//!
//! One turn: take what came in, let raft-rs think, then in this order: send what needs no disk
//! (a leader's entries go out in parallel with its own write), make entries and votes durable with
//! one flush, send what promised them, apply what is committed, answer who waits. A disk that fails
//! ends the thread: a retried flush may lie.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use bytes::Bytes;
use novacron_controlplane_core::apply::Configuration;
use novacron_controlplane_core::command::DecodeCommandError;
use novacron_controlplane_core::membership::Progress;
use novacron_controlplane_core::{Envelope, State};
use novacron_protocol::codec::CodecError;
use novacron_protocol::record::RecordError;
use novacron_protocol::wire::raft::{Kind, Message, SnapshotMeta};
use novacron_protocol::{LogIndex, MemberId, Term};
use raft::eraftpb;
use raft::{Config, RawNode, ReadOnlyOption, SnapshotStatus, StateRole};
use tokio::sync::{oneshot, watch};

use super::configuration::{self, MembershipChange};
use super::deliveries::{Deliveries, SnapshotDelivery};
use super::handle::{Handle, Input, SnapshotRefusal};
use super::incoming::{MessageRefusal, Receiver as Incoming};
use super::memory::MemoryLog;
use super::proposals::{ProposeRefusal, ReadRefusal, Waiters};
use super::store::{LogStore, StoreError, StoredSnapshot};
use super::{convert, logger};
use crate::cluster::{Status, Written};

/// Inputs that may wait for the driver. Beyond it messages are dropped, as a network would, and
/// proposals are refused as busy.
const INBOX_MAX: usize = 8_192;
/// Inputs taken in one turn before the disk is asked: the upper bound of a batch.
const BATCH_MAX: usize = 1_024;
/// Proposals, and reads, that may wait for their end.
const WAITERS_MAX: usize = 4_096;
/// Bytes of entries in one append message; a larger entry travels alone.
const APPEND_BYTES_MAX: u64 = 64 << 10;
/// Append messages under way to one member: with small ones, enough to keep a distant member busy.
/// A vote waits behind 4 MiB of them at most, a third of a second at 100 Mbit/s.
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

/// Raft on one member. Made with [`Driver::open`], driven by [`Driver::run`] on a thread of its own.
#[expect(missing_debug_implementations, reason = "raft-rs's node has none")]
pub struct Driver<O> {
    options: DriverOptions,
    node: RawNode<MemoryLog>,
    store: Box<dyn LogStore>,
    outbound: O,
    state: State,
    snapshot_under_way: bool,
    /// The newest index of which a snapshot was tried.
    snapshot_tried: LogIndex,
    deliveries: Deliveries,
    /// Snapshots shown to Raft in this turn, and who wants to know what came of them.
    arrived: Vec<(LogIndex, oneshot::Sender<Result<(), SnapshotRefusal>>)>,
    waiters: Waiters,
    inbox: Receiver<Input>,
    inbox_tx: SyncSender<Input>,
    state_tx: watch::Sender<State>,
    status_tx: watch::Sender<Status>,
    progress_tx: watch::Sender<Vec<Progress>>,
    started: Instant,
    leader_heard: Instant,
    /// When each member of the group was heard last.
    heard: BTreeMap<MemberId, Instant>,
    /// The last message that was refused, and whose; told once.
    refused: Option<(MemberId, MessageRefusal)>,
    stop: Arc<AtomicBool>,
    /// When a driver that stops ends, if the lead is not taken over before.
    ends_at: Option<Instant>,
}

/// Why a driver cannot start or go on.
#[derive(Debug, thiserror::Error)]
pub enum DriverError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("cannot read the snapshot in the log")]
    Snapshot(#[source] RecordError),
    /// Its bytes are as they were proposed.
    #[error("entry {index} is of a newer release; install it on this member")]
    Entry { index: LogIndex, source: DecodeCommandError },
    #[error("raft cannot go on: {0}")]
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
        let stop = Arc::new(AtomicBool::new(false));
        let handle = Handle {
            inbox: inbox_tx.clone(),
            stop: Arc::clone(&stop),
            state: state_rx,
            status,
            progress,
        };
        let now = Instant::now();
        let driver = Self {
            waiters: Waiters::new(options.nonce),
            options,
            node,
            store,
            outbound,
            state,
            snapshot_under_way: false,
            snapshot_tried: LogIndex(0),
            deliveries: Deliveries::default(),
            arrived: Vec::new(),
            inbox,
            inbox_tx,
            state_tx,
            status_tx,
            progress_tx,
            started: now,
            leader_heard: now,
            heard: BTreeMap::new(),
            refused: None,
            stop,
            ends_at: None,
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
            self.answer_arrived();
            if self.is_done() {
                self.waiters.abandon(&ProposeRefusal::Stopping);
                return Ok(());
            }
            self.take_inputs(next_tick)?;
            self.settle_deliveries();
            if self.ends_at.is_none() && self.stop.load(Ordering::Relaxed) {
                self.begin_stop();
            }
            let now = Instant::now();
            if now >= next_tick {
                self.node.tick();
                self.waiters.forget_given_up();
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

    fn take_inputs(&mut self, until: Instant) -> Result<(), DriverError> {
        let wait = until.saturating_duration_since(Instant::now());
        let mut input = self.inbox.recv_timeout(wait).ok();
        let mut taken = 0;
        while let Some(next) = input {
            self.handle_input(next)?;
            taken += 1;
            input = if taken < BATCH_MAX { self.inbox.try_recv().ok() } else { None };
        }
        Ok(())
    }

    fn handle_input(&mut self, input: Input) -> Result<(), DriverError> {
        match input {
            Input::Message(message) => self.handle_message(message),
            Input::Snapshot { message, state, done } => self.handle_snapshot(message, state, done),
            Input::Propose { command, reply } => self.propose(command, reply),
            Input::ReadIndex { reply } => self.read_index(reply),
            Input::ChangeMembership(change) => self.change_membership(change),
            Input::TransferLead(to) => self.transfer_lead(to),
            Input::SnapshotMade(made) => self.keep_snapshot(made)?,
        }
        Ok(())
    }

    fn handle_message(&mut self, message: Message) {
        // A follower's raft-rs would pass it on in the sender's name.
        if message.kind == Kind::ReadIndex && !self.leads() {
            return;
        }
        let from = message.from;
        match self.incoming().message(message) {
            Ok(message) => self.step(message),
            Err(refusal) => self.refuse(from, refusal),
        }
    }

    /// Only a snapshot that reads is shown to Raft: once accepted there is no way back.
    fn handle_snapshot(
        &mut self,
        message: Message,
        state: Bytes,
        done: oneshot::Sender<Result<(), SnapshotRefusal>>,
    ) {
        let from = message.from;
        let body = State::from_snapshot(&state);
        let message = match self.incoming().snapshot(message, state) {
            Ok(message) => message,
            Err(refusal) => {
                self.refuse(from, refusal);
                let _ = done.send(Err(SnapshotRefusal::Unusable(refusal.to_string())));
                return;
            }
        };
        let index = LogIndex(message.get_snapshot().get_metadata().index);
        let unusable = match body {
            Ok(body) if body.applied() == index => {
                self.step(message);
                self.arrived.push((index, done));
                return;
            }
            Ok(body) => format!("a snapshot of {} that says it is of {index}", body.applied()),
            Err(error) => format!("a snapshot that cannot be read: {error}"),
        };
        tracing::warn!(%from, "refused {unusable}");
        let _ = done.send(Err(SnapshotRefusal::Unusable(unusable)));
    }

    fn incoming(&self) -> Incoming {
        Incoming {
            member: self.options.member,
            term: Term(self.node.raft.term),
            last: LogIndex(self.node.raft.raft_log.last_index()),
        }
    }

    fn step(&mut self, message: eraftpb::Message) {
        let from = message.from;
        let now = Instant::now();
        self.heard.insert(MemberId(from), now);
        if self.node.raft.leader_id == from {
            self.leader_heard = now;
        }
        if let Err(error) = self.node.step(message) {
            tracing::debug!(%from, %error, "raft message passed over");
        }
    }

    fn refuse(&mut self, from: MemberId, refusal: MessageRefusal) {
        if self.refused.replace((from, refusal)) != Some((from, refusal)) {
            tracing::warn!(%from, "refused {refusal}");
        }
    }

    /// Tells the senders of snapshots what came of them. What was taken is durable by now.
    fn answer_arrived(&mut self) {
        let committed = LogIndex(self.node.raft.raft_log.committed);
        for (index, done) in self.arrived.drain(..) {
            let passed_over = || SnapshotRefusal::Unusable("a snapshot of no use here".to_owned());
            let _ = done.send(if committed >= index { Ok(()) } else { Err(passed_over()) });
        }
    }

    fn settle_deliveries(&mut self) {
        for (to, status) in self.deliveries.take_ended(Instant::now()) {
            self.node.report_snapshot(to.0, status);
        }
    }

    fn propose(
        &mut self,
        command: Vec<u8>,
        reply: oneshot::Sender<Result<Written, ProposeRefusal>>,
    ) {
        let refusal = if !self.leads() {
            Some(ProposeRefusal::NotLeader { leader: self.leader() })
        } else if self.waiters.proposals() >= WAITERS_MAX {
            Some(ProposeRefusal::Busy)
        } else if self.ends_at.is_some() {
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
        let refusal = match self.leader() {
            None => Some(ReadRefusal::NoLeader),
            Some(_) if self.waiters.reads() >= WAITERS_MAX => Some(ReadRefusal::Busy),
            Some(_) => None,
        };
        if let Some(refusal) = refusal {
            let _ = reply.send(Err(refusal));
            return;
        }
        let mark = self.waiters.mark();
        self.waiters.expect_read(mark, reply);
        self.node.read_index(mark.to_context());
    }

    /// Not before an entry of this term is committed: only then is the last configuration known.
    fn change_membership(&mut self, change: MembershipChange) {
        if !self.leads() || !self.node.raft.commit_to_current_term() {
            return;
        }
        if let Err(error) = self.node.propose_conf_change(change.encode(), change.to_raft()) {
            tracing::debug!(?change, %error, "membership change not proposed");
        }
    }

    /// Only a leader can: a follower's raft-rs would pass it on in another's name.
    fn transfer_lead(&mut self, to: MemberId) {
        if self.leads() {
            self.node.transfer_leader(to.0);
        }
    }

    /// A leader that somebody can follow goes on until that one leads, but not for long.
    fn begin_stop(&mut self) {
        let heirs = self.progress().into_iter().filter(|progress| {
            progress.votes && progress.is_active && progress.member != self.options.member
        });
        let now = Instant::now();
        self.ends_at = Some(match heirs.max_by_key(|progress| progress.matched) {
            Some(heir) => {
                self.node.transfer_leader(heir.member.0);
                now + HAND_OVER_MAX
            }
            None => now,
        });
    }

    fn is_done(&self) -> bool {
        self.ends_at.is_some_and(|at| !self.leads() || Instant::now() >= at)
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
        // Entries beyond it come with the next flush: nothing durable may speak of them before.
        hard_state.commit = snapshot.meta.index;
        self.store.install_snapshot(&snapshot, hard_state)?;
        self.state = restore_state(&snapshot.state)?;
        tracing::info!(index = %snapshot.meta.index, "installed a snapshot from the leader");
        self.node.mut_store().install(snapshot);
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
            let state = message.get_snapshot().data.clone();
            let message = convert::message_to_wire(message);
            if message.snapshot.is_some() {
                self.send_snapshot(message, state);
            } else if !self.outbound.send(message) {
                self.node.report_unreachable(to);
            }
        }
    }

    fn send_snapshot(&mut self, message: Message, state: Bytes) {
        let to = message.to.0;
        match self.deliveries.begin(Instant::now(), message, state) {
            Some(delivery) => self.outbound.send_snapshot(delivery),
            // Raft comes back to it when it hears from that member.
            None => self.node.report_snapshot(to, SnapshotStatus::Failure),
        }
    }

    /// Serialises a clone of the state on another thread; applying goes on meanwhile.
    fn make_snapshot_when_due(&mut self) {
        let applied = self.state.applied();
        let memory = self.node.store();
        let since = applied.0.saturating_sub(memory.snapshot_index().max(self.snapshot_tried).0);
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
        self.snapshot_tried = applied;
        std::thread::spawn(move || {
            let made = state.to_snapshot();
            let made = made.map(|state| StoredSnapshot { meta, state: state.into() });
            let _ = inbox.send(Input::SnapshotMade(made));
        });
    }

    /// A state too large for a snapshot is not fatal: the log is still whole. A disk that fails is.
    fn keep_snapshot(
        &mut self,
        made: Result<StoredSnapshot, CodecError>,
    ) -> Result<(), DriverError> {
        self.snapshot_under_way = false;
        let snapshot = match made {
            Ok(snapshot) => snapshot,
            Err(error) => {
                tracing::error!(%error, "cannot make a snapshot; the log grows");
                return Ok(());
            }
        };
        if snapshot.meta.index <= self.node.store().snapshot_index() {
            return Ok(());
        }
        let cut = LogIndex(snapshot.meta.index.0.saturating_sub(self.options.keep_entries));
        self.store.save_snapshot(&snapshot)?;
        self.store.compact(cut)?;
        tracing::debug!(index = %snapshot.meta.index, "made a snapshot");
        self.node.mut_store().compact(snapshot, cut);
        Ok(())
    }

    fn leads(&self) -> bool {
        self.node.raft.state == StateRole::Leader
    }

    /// The members of the group as this one sees them, if it leads.
    fn progress(&self) -> Vec<Progress> {
        if !self.leads() {
            return Vec::new();
        }
        let group = self.node.raft.prs();
        let silence_max = self.options.tick * self.options.election_ticks as u32;
        let is_active = |id| {
            let heard = self.heard.get(&id);
            id == self.options.member || heard.is_some_and(|at| at.elapsed() < silence_max)
        };
        let mut progress: Vec<Progress> = group
            .iter()
            .map(|(id, progress)| Progress {
                member: MemberId(*id),
                matched: LogIndex(progress.matched),
                votes: group.conf().voters().contains(*id),
                is_active: is_active(MemberId(*id)),
            })
            .collect();
        progress.sort_unstable_by_key(|progress| progress.member);
        progress
    }

    fn leader(&self) -> Option<MemberId> {
        (self.node.raft.leader_id != 0).then_some(MemberId(self.node.raft.leader_id))
    }

    /// Shows the outside what has changed, and lets go of who waits when the lead is lost.
    fn publish(&mut self) {
        let (raft, leads) = (&self.node.raft, self.leads());
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
        self.heard.retain(|id, _| self.node.raft.prs().get(id.0).is_some());
        let progress = self.progress();
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
