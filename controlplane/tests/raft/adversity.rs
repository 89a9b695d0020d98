//! Drivers whose peers, disk or log are not as they should be.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use novacron_controlplane::raft::{
    DriverError, Handle, HardState, Loaded, LogStore, SegmentStore, SnapshotRefusal, SnapshotStore,
    StoreError, StoredSnapshot,
};
use novacron_controlplane_core::command::COMMAND_VERSION;
use novacron_controlplane_core::{Envelope, State};
use novacron_protocol::wire::raft::{Configuration, Entry, EntryKind, Kind, Message, SnapshotMeta};
use novacron_protocol::{LogIndex, MemberId, Term, Timestamp};

use crate::fixture::{
    FIRST_INDEX, Group, Kept, Net, PATIENCE, create_user, eventually, first_snapshot, initialise,
    open,
};

fn message(kind: Kind, from: MemberId, to: MemberId, term: Term) -> Message {
    Message {
        kind,
        to,
        from,
        term,
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

fn entry(index: LogIndex, term: Term, envelope: &Envelope) -> Entry {
    let data = envelope.encode().unwrap();
    Entry { kind: EntryKind::Normal, term, index, data, context: vec![] }
}

fn standing(index: LogIndex, term: Term, voters: &[u64]) -> SnapshotMeta {
    let voters = voters.iter().copied().map(MemberId).collect();
    SnapshotMeta { index, term, configuration: Configuration { voters, ..Default::default() } }
}

/// One of each that would end raft-rs, or leave its log with a hole.
fn hostile(from: MemberId, to: MemberId, term: Term) -> Vec<Message> {
    let say = |kind| message(kind, from, to, term);
    let far = LogIndex(u64::MAX);
    let gap = entry(far, term, &create_user(99));
    vec![
        Message { commit: far, ..say(Kind::Heartbeat) },
        Message { term: Term(0), commit: far, ..say(Kind::Heartbeat) },
        Message { index: far, ..say(Kind::AppendResponse) },
        Message { reject: true, reject_hint: far, ..say(Kind::AppendResponse) },
        Message { term: Term(0), ..say(Kind::ReadIndex) },
        Message { entries: vec![gap.clone()], ..say(Kind::Append) },
        Message { index: LogIndex(far.0 - 1), entries: vec![gap], ..say(Kind::Append) },
        Message { snapshot: Some(standing(far, term, &[to.0])), ..say(Kind::Snapshot) },
        Message { snapshot: Some(standing(far, term, &[])), ..say(Kind::Append) },
        say(Kind::Snapshot),
        say(Kind::Propose),
        Message { term: Term(u64::MAX), ..say(Kind::RequestVote) },
        Message { to: from, commit: far, ..say(Kind::Heartbeat) },
    ]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hostile_messages_are_passed_over_and_the_members_live() {
    let group = Group::of_three().await;
    let before = group.write(1).await;
    for (from, to) in [(1, 2), (2, 3), (3, 1)] {
        let (from, to) = (MemberId(from), MemberId(to));
        let state = group.wait_applied(to, before).await;
        let handle = group.net.handle(to);
        let term = handle.status().borrow().term;
        for message in hostile(from, to, term) {
            handle.handle_message(message);
        }
        for voters in [vec![], vec![0, to.0], vec![to.0, to.0]] {
            let message = message(Kind::Snapshot, from, to, term);
            let meta = standing(state.applied(), term, &voters);
            let body = Bytes::from(state.to_snapshot().unwrap());
            let message = Message { snapshot: Some(meta), ..message };
            let refused = handle.handle_snapshot(message, body).await;
            assert!(matches!(refused, Err(SnapshotRefusal::Unusable(_))), "{refused:?}");
        }
    }
    let after = group.write(2).await;
    for id in 1..=3 {
        group.wait_applied(MemberId(id), after).await;
    }
}

/// Fills a driver's inbox for as long as it lives.
struct Flood {
    on: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Flood {
    fn of(handle: Handle, to: MemberId) -> Self {
        let on = Arc::new(AtomicBool::new(true));
        let still_on = Arc::clone(&on);
        let thread = std::thread::spawn(move || {
            while still_on.load(Ordering::Relaxed) {
                handle.handle_message(message(Kind::Hup, MemberId(9), to, Term(1)));
            }
        });
        Self { on, thread: Some(thread) }
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        self.on.store(false, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flooded_leader_learns_that_a_snapshot_got_lost_and_hears_that_it_must_stop() {
    let mut group = Group::of_three().await;
    let leader = group.net.leader().unwrap();
    let late = if leader == MemberId(3) { MemberId(2) } else { MemberId(3) };
    group.net.cut(late);
    for n in 1..=250 {
        group.write(n).await;
    }
    let flood = Flood::of(group.net.handle(leader), leader);
    let before = {
        let mut inner = group.net.inner.lock().unwrap();
        inner.lose_snapshots = true;
        inner.snapshots
    };
    group.net.heal();
    eventually(|| (group.net.inner.lock().unwrap().snapshots > before).then_some(())).await;
    drop(flood);
    group.net.inner.lock().unwrap().lose_snapshots = false;
    let last = group.write(251).await;
    group.wait_applied(late, last).await;

    let leader = group.net.leader().unwrap();
    let flood = Flood::of(group.net.handle(leader), leader);
    let asked = Instant::now();
    group.stop(leader);
    assert!(asked.elapsed() < PATIENCE / 2);
    drop(flood);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_is_acknowledged_when_it_is_durable_and_alone_if_a_crash_comes_next() {
    let kept = Kept::default();
    let id = MemberId(2);
    let (driver, handle) = open(&Net::default(), id, Box::new(kept.clone()));
    let mut state = State::default();
    state.apply(FIRST_INDEX, &Envelope::system(Timestamp(1), initialise())).unwrap();
    state.apply(LogIndex(20), &create_user(1)).unwrap();
    let (leader, term) = (MemberId(1), Term(5));
    let say = |kind| message(kind, leader, id, term);
    let meta = standing(LogIndex(20), term, &[1, 2]);
    let snapshot = Message { snapshot: Some(meta), ..say(Kind::Snapshot) };
    let next = Message {
        index: LogIndex(20),
        log_term: term,
        commit: LogIndex(21),
        entries: vec![entry(LogIndex(21), term, &create_user(2))],
        ..say(Kind::Append)
    };
    // Both are there before the driver runs: one turn takes them, and its log is looked at after
    // each call.
    let body = Bytes::from(state.to_snapshot().unwrap());
    let mut taken = Box::pin(handle.handle_snapshot(snapshot, body));
    assert!(futures_util::poll!(&mut taken).is_pending());
    handle.handle_message(next);
    let thread = std::thread::spawn(move || driver.run());
    taken.await.unwrap();
    assert_eq!(kept.loaded().snapshot.meta.index, LogIndex(20));
    let mut applied = handle.state();
    applied.wait_for(|state| state.applied() == LogIndex(21)).await.unwrap();
    handle.stop();
    thread.join().unwrap().unwrap();
}

/// A log whose disk fails: when a snapshot is kept, or when something is synced.
#[derive(Debug)]
struct Failing {
    inner: SegmentStore,
    syncs_left: u32,
}

impl LogStore for Failing {
    fn load(&mut self) -> Result<Loaded, StoreError> {
        self.inner.load()
    }

    fn append(&mut self, entries: &[Entry], hard: Option<HardState>) {
        self.inner.append(entries, hard);
    }

    fn sync(&mut self) -> Result<(), StoreError> {
        let left = self.syncs_left.checked_sub(1);
        self.syncs_left =
            left.ok_or_else(|| StoreError::Failed("input/output error".to_owned()))?;
        self.inner.sync()
    }

    fn install_snapshot(
        &mut self,
        snapshot: &StoredSnapshot,
        hard_state: HardState,
    ) -> Result<(), StoreError> {
        self.inner.install_snapshot(snapshot, hard_state)
    }

    fn snapshots(&self) -> Arc<dyn SnapshotStore> {
        Arc::new(NoRoom)
    }

    fn compact(&mut self, snapshot: &SnapshotMeta, cut: LogIndex) {
        self.inner.compact(snapshot, cut);
    }
}

/// A disk that has no room for a snapshot.
#[derive(Debug)]
struct NoRoom;

impl SnapshotStore for NoRoom {
    fn save(&self, _: &StoredSnapshot) -> Result<(), StoreError> {
        Err(StoreError::Failed("the disk is full".to_owned()))
    }
}

fn first_log(dir: &Path, syncs_left: u32) -> Failing {
    let (snapshot, hard_state) = first_snapshot();
    drop(SegmentStore::create(dir, &snapshot, hard_state).unwrap());
    Failing { inner: SegmentStore::open(dir).unwrap(), syncs_left }
}

/// Writes until the driver ends; how it ended.
async fn run_to_end(store: impl LogStore + 'static) -> Result<(), DriverError> {
    let (driver, handle) = open(&Net::default(), MemberId(1), Box::new(store));
    let thread = std::thread::spawn(move || driver.run());
    for n in 1.. {
        let written = handle.propose(create_user(n).encode().unwrap()).await;
        if written.is_err() && thread.is_finished() {
            break;
        }
    }
    thread.join().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_fails_to_keep_a_snapshot_ends_the_driver() {
    let dir = tempfile::tempdir().unwrap();
    let end = run_to_end(first_log(dir.path(), u32::MAX)).await.unwrap_err();
    assert!(end.to_string().contains("the disk is full"), "{end}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sync_that_fails_ends_the_driver_and_nothing_is_acknowledged_after_it() {
    let dir = tempfile::tempdir().unwrap();
    let (driver, handle) = open(&Net::default(), MemberId(1), Box::new(first_log(dir.path(), 6)));
    let thread = std::thread::spawn(move || driver.run());
    let mut acknowledged = 0;
    for n in 1.. {
        match handle.propose(create_user(n).encode().unwrap()).await {
            Ok(_) => acknowledged = n,
            Err(_) if thread.is_finished() => break,
            Err(_) => {}
        }
    }
    let end = thread.join().unwrap().unwrap_err();
    assert!(end.to_string().contains("input/output error"), "{end}");
    let kept = SegmentStore::open(dir.path()).unwrap().load().unwrap();
    assert!(acknowledged > 0 && kept.entries.len() as u64 > acknowledged, "{acknowledged}");
}

/// A log whose disk stalls whenever it is told to.
#[derive(Debug)]
struct Stalling {
    inner: Kept,
    stalled: Arc<AtomicBool>,
}

impl LogStore for Stalling {
    fn load(&mut self) -> Result<Loaded, StoreError> {
        self.inner.load()
    }

    fn append(&mut self, entries: &[Entry], hard: Option<HardState>) {
        self.inner.append(entries, hard);
    }

    fn sync(&mut self) -> Result<(), StoreError> {
        while self.stalled.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(1));
        }
        self.inner.sync()
    }

    fn install_snapshot(
        &mut self,
        snapshot: &StoredSnapshot,
        hard_state: HardState,
    ) -> Result<(), StoreError> {
        self.inner.install_snapshot(snapshot, hard_state)
    }

    fn snapshots(&self) -> Arc<dyn SnapshotStore> {
        self.inner.snapshots()
    }

    fn compact(&mut self, snapshot: &SnapshotMeta, cut: LogIndex) {
        self.inner.compact(snapshot, cut);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_whose_disk_stalls_keeps_the_lead_and_acknowledges_nothing_meanwhile() {
    let mut group = Group::of_three().await;
    group.write(1).await;
    let leader = MemberId(1);
    for id in 1..=3 {
        group.stop(MemberId(id));
    }
    let stalled = Arc::new(AtomicBool::new(false));
    for id in (1..=3).map(MemberId) {
        let inner = Kept::of(SegmentStore::open(&group.log(id)).unwrap().load().unwrap());
        group.start_on(id, Box::new(Stalling { inner, stalled: Arc::clone(&stalled) }));
    }
    group.write(2).await;
    group.net.handle(group.net.leader().unwrap()).transfer_lead(leader);
    eventually(|| (group.net.leader() == Some(leader)).then_some(())).await;
    group.write(3).await;
    let handle = group.net.handle(leader);
    let term = handle.status().borrow().term;
    stalled.store(true, Ordering::Relaxed);
    let proposal = handle.propose(create_user(4).encode().unwrap());
    // Several elections' worth.
    let early = tokio::time::timeout(Duration::from_secs(2), proposal).await;
    assert!(early.is_err(), "acknowledged before it was durable: {early:?}");
    let status = *handle.status().borrow();
    assert!(status.leads() && status.term == term, "a stalled disk cost an election: {status:?}");
    stalled.store(false, Ordering::Relaxed);
    group.write(5).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_entry_of_a_newer_release_ends_the_driver_with_what_to_install() {
    let (snapshot, hard_state) = first_snapshot();
    let mut newer = create_user(1);
    newer.version = COMMAND_VERSION + 1;
    let entries = vec![entry(LogIndex(2), hard_state.term, &newer)];
    let kept = Kept::of(Loaded { hard_state, snapshot, entries });
    let end = anyhow::Error::new(run_to_end(kept).await.unwrap_err());
    let expected = format!(
        "entry 2 is of a newer release; install it on this member: a command of version {}; this \
         release knows up to {COMMAND_VERSION}",
        newer.version
    );
    assert_eq!(format!("{end:#}"), expected);
}
