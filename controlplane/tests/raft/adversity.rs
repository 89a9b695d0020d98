//! Drivers whose peers, disk or log are not as they should be.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use bytes::Bytes;
use novacron_controlplane::raft::{
    DriverError, Handle, HardState, Loaded, LogStore, SledStore, SnapshotRefusal, StoreError,
    StoredSnapshot,
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

/// A log whose disk fails when a snapshot is kept.
#[derive(Debug)]
struct Failing(SledStore);

impl LogStore for Failing {
    fn load(&mut self) -> Result<Loaded, StoreError> {
        self.0.load()
    }

    fn append(&mut self, entries: &[Entry], hard: Option<HardState>) -> Result<(), StoreError> {
        self.0.append(entries, hard)
    }

    fn save_snapshot(&mut self, _: &StoredSnapshot) -> Result<(), StoreError> {
        Err(StoreError::Failed("the disk is full".to_owned()))
    }

    fn install_snapshot(
        &mut self,
        snapshot: &StoredSnapshot,
        hard_state: HardState,
    ) -> Result<(), StoreError> {
        self.0.install_snapshot(snapshot, hard_state)
    }

    fn compact(&mut self, index: LogIndex) -> Result<(), StoreError> {
        self.0.compact(index)
    }
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
    let (snapshot, hard_state) = first_snapshot();
    let store = SledStore::create(dir.path(), &snapshot, hard_state).unwrap();
    let end = run_to_end(Failing(store)).await.unwrap_err();
    assert!(matches!(end, DriverError::Store(StoreError::Failed(_))), "{end}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_entry_of_a_newer_release_ends_the_driver_with_what_to_install() {
    let (snapshot, hard_state) = first_snapshot();
    let mut newer = create_user(1);
    newer.version = COMMAND_VERSION + 1;
    let entries = vec![entry(LogIndex(2), hard_state.term, &newer)];
    let kept = Kept::default();
    *kept.0.lock().unwrap() = Loaded { hard_state, snapshot, entries };
    let end = anyhow::Error::new(run_to_end(kept).await.unwrap_err());
    let expected = format!(
        "entry 2 is of a newer release; install it on this member: a command of version {}; this \
         release knows up to {COMMAND_VERSION}",
        newer.version
    );
    assert_eq!(format!("{end:#}"), expected);
}
