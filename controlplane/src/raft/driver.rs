//! The thread that owns raft-rs and the state.
//!
//! One turn: learn what has become durable, let raft-rs think ([`ready`]), apply what is committed and
//! answer who waits, show the outside what has changed ([`publish`]), take what came in. It never
//! waits for the disk: entries and votes go to the log's own thread, and messages that promise them
//! wait until that has synced ([`in_flight`]); a leader's entries are on their way to the others
//! meanwhile. Everything that came in during one turn is proposed together, shares a sync, and, if it
//! is reads, one question to the others. A disk that fails ends the thread: a retried sync may lie.

mod in_flight;
mod publish;
mod ready;
mod snapshots;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use bytes::Bytes;
use novacron_controlplane_core::State;
use novacron_controlplane_core::command::DecodeCommandError;
use novacron_controlplane_core::membership::Progress;
use novacron_protocol::record::RecordError;
use novacron_protocol::wire::raft::{Kind, Message};
use novacron_protocol::{LogIndex, MemberId, Term};
use raft::eraftpb;
use raft::{Config, RawNode, ReadOnlyOption, StateRole};
use tokio::sync::{oneshot, watch};

use self::in_flight::InFlight;
use self::publish::Story;
use self::snapshots::SnapshotMaker;
use super::configuration::MembershipChange;
use super::deliveries::{Deliveries, SnapshotDelivery};
use super::handle::{Handle, Input, SnapshotRefusal};
use super::incoming::{MessageRefusal, Receiver as Incoming};
use super::log_writer::LogWriter;
use super::logger;
use super::memory::MemoryLog;
use super::metrics::RaftMetrics;
use super::pace::{self, Patience};
use super::proposals::{Mark, ProposeRefusal, ProposeReply, ReadRefusal, ReadReply, Waiters};
use super::store::{LogStore, StoreError};
use crate::cluster::Status;

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
/// Ticks between two looks at how far away the others are: networks do not move that fast.
const TICKS_PER_LOOK: u64 = 50;
/// A graceful stop waits so long for another member to take the lead.
const HAND_OVER_MAX: Duration = Duration::from_secs(1);

/// How a driver behaves.
#[derive(Debug, Clone)]
pub struct DriverOptions {
    pub member: MemberId,
    /// The tick on a LAN; it is longer where members are far away.
    pub tick: Duration,
    /// Ticks without a leader after which the least patient member stands for election; every other
    /// waits some ticks longer.
    pub election_ticks: usize,
    pub heartbeat_ticks: usize,
    /// Entries after which a snapshot may be made and the log cut; it is, once they outweigh it.
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

    /// The slowest round trip to another member, as far as it is known.
    fn slowest_round_trip(&self) -> Duration {
        Duration::ZERO
    }
}

/// Raft on one member. Made with [`Driver::open`], driven by [`Driver::run`] on a thread of its own.
#[expect(missing_debug_implementations, reason = "raft-rs's node has none")]
pub struct Driver<O> {
    options: DriverOptions,
    node: RawNode<MemoryLog>,
    log: LogWriter,
    in_flight: InFlight,
    snapshots: SnapshotMaker,
    outbound: O,
    state: State,
    deliveries: Deliveries,
    /// Snapshots shown to Raft in this turn, and who wants to know what came of them.
    arrived: Vec<(LogIndex, oneshot::Sender<Result<(), SnapshotRefusal>>)>,
    /// Commands, and reads, that came in this turn.
    proposed: Vec<(Mark, eraftpb::Entry)>,
    reading: Vec<ReadReply>,
    waiters: Waiters,
    inbox: Receiver<Input>,
    inbox_tx: SyncSender<Input>,
    state_tx: watch::Sender<State>,
    status_tx: watch::Sender<Status>,
    progress_tx: watch::Sender<Vec<Progress>>,
    metrics: Arc<RaftMetrics>,
    story: Story,
    started: Instant,
    leader_heard: Instant,
    /// When each member of the group was heard last.
    heard: BTreeMap<MemberId, Instant>,
    /// The last message that was refused, and whose; told once.
    refused: Option<(MemberId, MessageRefusal)>,
    tick: Duration,
    ticks: u64,
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
        let memory = MemoryLog::new(&loaded);
        let config = raft_config(&options, &memory);
        let node = RawNode::new(&config, memory, &logger::logger())
            .map_err(|error| DriverError::Raft(error.to_string()))?;
        let (inbox_tx, inbox) = sync_channel(INBOX_MAX);
        let metrics = Arc::new(RaftMetrics::default());
        let snapshots = SnapshotMaker::new(&loaded, store.snapshots());
        let waker = inbox_tx.clone();
        // A full inbox wakes the driver as well, and it looks at the log every turn.
        let wake = move || drop(waker.try_send(Input::Wake));
        let log = LogWriter::start(store, Arc::clone(&metrics), wake)
            .map_err(|error| DriverError::Raft(format!("no thread for the log: {error}")))?;
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
            metrics: Arc::clone(&metrics),
        };
        let now = Instant::now();
        let driver = Self {
            waiters: Waiters::new(options.nonce),
            tick: options.tick,
            ticks: 0,
            options,
            node,
            log,
            in_flight: InFlight::default(),
            snapshots,
            outbound,
            state,
            deliveries: Deliveries::default(),
            arrived: Vec::new(),
            proposed: Vec::new(),
            reading: Vec::new(),
            inbox,
            inbox_tx,
            state_tx,
            status_tx,
            progress_tx,
            metrics,
            story: Story::begin(now),
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
        let mut next_tick = Instant::now() + self.tick;
        loop {
            self.handle_persisted()?;
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
                self.tick();
                // A stall must not turn into a burst of ticks: they would end in an election.
                next_tick = now.max(next_tick + self.tick);
            }
        }
    }

    fn tick(&mut self) {
        self.node.tick();
        self.waiters.forget_given_up();
        self.ticks += 1;
        if self.ticks.is_multiple_of(TICKS_PER_LOOK) {
            self.tick = pace::tick(self.options.tick, self.outbound.slowest_round_trip());
        }
    }

    /// The only voter needs not wait for anybody.
    fn stand_if_alone(&mut self) {
        let voters = &self.node.store().configuration().voters;
        if voters.as_slice() == [self.options.member.0] {
            let _ = self.node.campaign();
        }
    }

    /// Takes what has come in, and has all commands and all reads of it go together.
    fn take_inputs(&mut self, until: Instant) -> Result<(), DriverError> {
        let wait = until.saturating_duration_since(Instant::now());
        let mut input = self.inbox.recv_timeout(wait).ok();
        let mut taken = 0;
        while let Some(next) = input {
            self.handle_input(next)?;
            taken += 1;
            input = if taken < BATCH_MAX { self.inbox.try_recv().ok() } else { None };
        }
        self.propose_gathered();
        self.read_gathered();
        Ok(())
    }

    fn handle_input(&mut self, input: Input) -> Result<(), DriverError> {
        match input {
            Input::Message(message) => self.handle_message(message),
            Input::Snapshot { message, state, done } => self.handle_snapshot(message, state, done),
            Input::Propose { command, reply } => self.gather_proposal(command, reply),
            Input::ReadIndex { reply } => self.gather_read(reply),
            Input::ChangeMembership(change) => self.change_membership(change),
            Input::TransferLead(to) => self.transfer_lead(to),
            Input::SnapshotMade(made) => self.keep_snapshot(made)?,
            Input::Wake => {}
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

    fn gather_proposal(&mut self, command: Vec<u8>, reply: ProposeReply) {
        let refusal = if !self.leads() {
            Some(ProposeRefusal::NotLeader { leader: self.leader() })
        } else if self.waiters.proposals() >= WAITERS_MAX {
            self.metrics.refused.increment();
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
        let (context, data) = (mark.to_context().into(), command.into());
        let entry = eraftpb::Entry { context, data, ..eraftpb::Entry::default() };
        self.waiters.expect_proposal(mark, reply, Instant::now());
        self.proposed.push((mark, entry));
    }

    /// Proposes all of a turn at once: one message to each follower, not one per command.
    fn propose_gathered(&mut self) {
        let (marks, entries): (Vec<Mark>, Vec<eraftpb::Entry>) = self.proposed.drain(..).unzip();
        if entries.is_empty() {
            return;
        }
        let mut message = eraftpb::Message::default();
        message.set_msg_type(eraftpb::MessageType::MsgPropose);
        message.from = self.options.member.0;
        message.set_entries(entries.into());
        // A follower's raft-rs would pass them on in its own way.
        let refusal = if !self.leads() {
            ProposeRefusal::NotLeader { leader: self.leader() }
        } else if self.node.step(message).is_ok() {
            return;
        } else if self.node.raft.lead_transferee.is_some() {
            ProposeRefusal::HandingOver
        } else {
            // Too many bytes wait for their commit.
            self.metrics.refused.increment();
            ProposeRefusal::Busy
        };
        for mark in marks {
            self.waiters.refuse(mark, refusal.clone());
        }
    }

    fn gather_read(&mut self, reply: ReadReply) {
        let waiting = self.waiters.reads() + self.reading.len();
        let refusal = match self.leader() {
            None => ReadRefusal::NoLeader,
            Some(_) if waiting >= WAITERS_MAX => {
                self.metrics.refused.increment();
                ReadRefusal::Busy
            }
            Some(_) => {
                self.reading.push(reply);
                return;
            }
        };
        let _ = reply.send(Err(refusal));
    }

    /// Asks once for all reads of a turn: each began before the question is asked.
    fn read_gathered(&mut self) {
        if self.reading.is_empty() {
            return;
        }
        let mark = self.waiters.mark();
        self.waiters.expect_reads(mark, std::mem::take(&mut self.reading));
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

    fn leads(&self) -> bool {
        self.node.raft.state == StateRole::Leader
    }

    fn leader(&self) -> Option<MemberId> {
        (self.node.raft.leader_id != 0).then_some(MemberId(self.node.raft.leader_id))
    }
}

fn raft_config(options: &DriverOptions, memory: &MemoryLog) -> Config {
    let configuration = memory.configuration();
    let ids = configuration.voters.iter().chain(&configuration.learners);
    let mut members: Vec<MemberId> = ids.copied().map(MemberId).collect();
    members.sort_unstable();
    let patience = Patience::of(options.member, &members, options.election_ticks);
    Config {
        id: options.member.0,
        election_tick: options.election_ticks,
        min_election_tick: patience.min_ticks,
        max_election_tick: patience.max_ticks,
        heartbeat_tick: options.heartbeat_ticks,
        applied: memory.snapshot_index().0,
        max_size_per_msg: APPEND_BYTES_MAX,
        max_inflight_msgs: APPENDS_IN_FLIGHT_MAX,
        max_uncommitted_size: UNCOMMITTED_BYTES_MAX,
        batch_append: true,
        check_quorum: true,
        pre_vote: true,
        read_only_option: ReadOnlyOption::Safe,
        ..Config::default()
    }
}

fn restore_state(snapshot: &[u8]) -> Result<State, DriverError> {
    match snapshot {
        [] => Ok(State::default()),
        bytes => State::from_snapshot(bytes).map_err(DriverError::Snapshot),
    }
}
