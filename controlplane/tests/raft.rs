//! Three drivers over real logs, joined by channels that a test can cut.

#![allow(clippy::unwrap_used, reason = "a test stops where it fails")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use novacron_controlplane::cluster::Status;
use novacron_controlplane::raft::{
    Driver, DriverOptions, Handle, HardState, Loaded, LogStore, MembershipChange, Outbound,
    ProposeRefusal, SledStore, SnapshotDelivery, StoreError, StoredSnapshot,
};
use novacron_controlplane_core::command::{NewMember, NewToken, NewUser, Redemption, RequestKey};
use novacron_controlplane_core::member::MemberRole;
use novacron_controlplane_core::user::Role;
use novacron_controlplane_core::{Command, Envelope, State};
use novacron_protocol::join_token::JoinRole;
use novacron_protocol::wire::join::MemberAddresses;
use novacron_protocol::wire::raft::{Configuration, Entry, Message, SnapshotMeta};
use novacron_protocol::{
    ClusterId, Digest, HostId, LogIndex, MemberId, RequestId, Term, Timestamp, TokenId, UserId,
};
use uuid::Uuid;

/// Where the first member of a test's group begins.
const FIRST_INDEX: LogIndex = LogIndex(1);
const FIRST_TERM: Term = Term(1);
const PATIENCE: Duration = Duration::from_secs(20);

/// Delivers messages between drivers, but for those that are cut off.
#[derive(Clone, Default)]
struct Net {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Default)]
struct Inner {
    handles: BTreeMap<MemberId, Handle>,
    cut: BTreeSet<MemberId>,
    snapshots: u32,
}

impl Net {
    fn handle(&self, id: MemberId) -> Handle {
        self.inner.lock().unwrap().handles[&id].clone()
    }

    fn cut(&self, id: MemberId) {
        self.inner.lock().unwrap().cut.insert(id);
    }

    fn heal(&self) {
        self.inner.lock().unwrap().cut.clear();
    }

    fn route(&self, from: MemberId, to: MemberId) -> Option<Handle> {
        let inner = self.inner.lock().unwrap();
        let open = !inner.cut.contains(&from) && !inner.cut.contains(&to);
        inner.handles.get(&to).filter(|_| open).cloned()
    }

    fn leader(&self) -> Option<MemberId> {
        let inner = self.inner.lock().unwrap();
        let leads = |(id, handle): (&MemberId, &Handle)| {
            let status = *handle.status().borrow();
            (status.ready && !inner.cut.contains(id)).then_some(*id)
        };
        inner.handles.iter().find_map(leads)
    }
}

struct Wire {
    net: Net,
    own: MemberId,
    runtime: tokio::runtime::Handle,
}

impl Outbound for Wire {
    fn send(&mut self, message: Message) -> bool {
        match self.net.route(self.own, message.to) {
            Some(handle) => {
                handle.handle_message(message);
                true
            }
            None => false,
        }
    }

    fn send_snapshot(&mut self, delivery: SnapshotDelivery) {
        let Some(handle) = self.net.route(self.own, delivery.message.to) else { return };
        self.net.inner.lock().unwrap().snapshots += 1;
        self.runtime.spawn(async move {
            let (message, state) = (delivery.message.clone(), delivery.state.clone());
            if handle.handle_snapshot(message, state).await.is_ok() {
                delivery.settle();
            }
        });
    }
}

/// A log in memory that can be looked at in the middle of a life, as a `kill -9` would leave it.
#[derive(Debug, Clone, Default)]
struct Kept(Arc<Mutex<Loaded>>);

impl LogStore for Kept {
    fn load(&mut self) -> Result<Loaded, StoreError> {
        let Loaded { hard_state, snapshot, entries } = self.0.lock().unwrap().clone();
        Ok(Loaded::assemble(hard_state, snapshot, entries).unwrap())
    }

    fn append(&mut self, entries: &[Entry], hard: Option<HardState>) -> Result<(), StoreError> {
        let mut kept = self.0.lock().unwrap();
        if let Some(first) = entries.first() {
            kept.entries.retain(|entry| entry.index < first.index);
            kept.entries.extend_from_slice(entries);
        }
        kept.hard_state = hard.unwrap_or(kept.hard_state);
        Ok(())
    }

    fn save_snapshot(&mut self, snapshot: &StoredSnapshot) -> Result<(), StoreError> {
        self.0.lock().unwrap().snapshot = snapshot.clone();
        Ok(())
    }

    fn install_snapshot(
        &mut self,
        snapshot: &StoredSnapshot,
        hard_state: HardState,
    ) -> Result<(), StoreError> {
        let entries = Vec::new();
        *self.0.lock().unwrap() = Loaded { hard_state, snapshot: snapshot.clone(), entries };
        Ok(())
    }

    fn compact(&mut self, index: LogIndex) -> Result<(), StoreError> {
        self.0.lock().unwrap().entries.retain(|entry| entry.index > index);
        Ok(())
    }
}

/// A group of drivers, each with a log in a directory of its own.
struct Group {
    net: Net,
    dir: tempfile::TempDir,
    threads: BTreeMap<MemberId, std::thread::JoinHandle<()>>,
}

impl Group {
    /// Member 1 alone, as `init` makes it.
    fn new() -> Self {
        let group = Self {
            net: Net::default(),
            dir: tempfile::tempdir().unwrap(),
            threads: BTreeMap::new(),
        };
        let mut state = State::default();
        state.apply(FIRST_INDEX, &Envelope::system(Timestamp(1), initialise())).unwrap();
        let configuration = Configuration { voters: vec![MemberId(1)], ..Default::default() };
        let snapshot = StoredSnapshot {
            meta: SnapshotMeta { index: FIRST_INDEX, term: FIRST_TERM, configuration },
            state: state.to_snapshot().unwrap().into(),
        };
        let hard_state = HardState { term: FIRST_TERM, vote: None, commit: FIRST_INDEX };
        SledStore::create(&group.log(MemberId(1)), &snapshot, hard_state).unwrap();
        group
    }

    fn log(&self, id: MemberId) -> PathBuf {
        self.dir.path().join(id.to_string())
    }

    fn start(&mut self, id: MemberId) {
        let store = SledStore::open(&self.log(id)).unwrap();
        self.start_on(id, Box::new(store));
    }

    fn start_on(&mut self, id: MemberId, store: Box<dyn LogStore>) {
        let options = DriverOptions {
            member: id,
            tick: Duration::from_millis(10),
            election_ticks: 20,
            heartbeat_ticks: 2,
            snapshot_every: 100,
            keep_entries: 10,
            nonce: rand::random(),
        };
        let runtime = tokio::runtime::Handle::current();
        let wire = Wire { net: self.net.clone(), own: id, runtime };
        let (driver, handle) = Driver::open(options, store, wire).unwrap();
        self.net.inner.lock().unwrap().handles.insert(id, handle);
        self.threads.insert(id, std::thread::spawn(move || driver.run().unwrap()));
    }

    fn stop(&mut self, id: MemberId) {
        let handle = self.net.inner.lock().unwrap().handles.remove(&id).unwrap();
        handle.stop();
        drop(handle);
        self.threads.remove(&id).unwrap().join().unwrap();
    }

    /// Three voters.
    async fn of_three() -> Self {
        let mut group = Self::new();
        group.start(MemberId(1));
        group.grow(&[MemberId(2), MemberId(3)]).await;
        group
    }

    /// Lets further members in.
    async fn grow(&mut self, ids: &[MemberId]) {
        let group = self;
        for id in ids.iter().copied() {
            let hard_state = HardState::default();
            SledStore::create(&group.log(id), &StoredSnapshot::default(), hard_state).unwrap();
            group.start(id);
            group.propose(create_token(id)).await;
            group.propose(redeem(id)).await;
            group.change(MembershipChange::AddLearner(id), Some(MemberRole::Learner)).await;
            let leader = group.net.handle(group.net.leader().unwrap());
            let known = leader.state().borrow().applied();
            group.wait_applied(id, known).await;
            group.change(MembershipChange::Promote(id), Some(MemberRole::Voter)).await;
        }
    }

    /// Asks until the member's role in the state is `wanted`; `None` is gone.
    async fn change(&self, change: MembershipChange, wanted: Option<MemberRole>) {
        let (MembershipChange::AddLearner(id)
        | MembershipChange::Promote(id)
        | MembershipChange::Remove(id)) = change;
        let mut asked: Option<Instant> = None;
        eventually(|| {
            let leader = self.net.handle(self.net.leader()?);
            let role = leader.state().borrow().member(id).map(|member| member.role);
            if role == wanted {
                return Some(());
            }
            if asked.is_none_or(|at| at.elapsed() > PATIENCE / 20) {
                asked = Some(Instant::now());
                leader.change_membership(change);
            }
            None
        })
        .await;
    }

    async fn write(&self, n: u64) -> LogIndex {
        self.propose(create_user(n)).await
    }

    /// Proposes at whoever leads until it is applied.
    async fn propose(&self, envelope: Envelope) -> LogIndex {
        let command = envelope.encode().unwrap();
        let deadline = Instant::now() + PATIENCE;
        while Instant::now() < deadline {
            if let Some(leader) = self.net.leader() {
                let leader = self.net.handle(leader);
                let proposal = leader.propose(command.clone());
                if let Ok(Ok(written)) = tokio::time::timeout(PATIENCE / 10, proposal).await {
                    written.applied.unwrap();
                    return written.index;
                }
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        panic!("{envelope:?} was not acknowledged");
    }

    async fn wait_applied(&self, id: MemberId, index: LogIndex) -> State {
        eventually(|| {
            let state = self.net.handle(id).state().borrow().clone();
            (state.applied() >= index).then_some(state)
        })
        .await
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let ids: Vec<MemberId> = self.threads.keys().copied().collect();
        for id in ids {
            self.stop(id);
        }
    }
}

async fn eventually<T>(mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "not within {PATIENCE:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

fn initialise() -> Command {
    let address = |port| ([127, 0, 0, 1], port).into();
    Command::Initialise {
        cluster: ClusterId::from_uuid(Uuid::from_u128(1)),
        name: "test".parse().unwrap(),
        member: NewMember {
            id: MemberId(1),
            name: "m1".parse().unwrap(),
            addresses: MemberAddresses { cluster: address(1), api: address(2) },
            key: Digest([1; 32]),
        },
        admin: user(0),
    }
}

fn token(id: MemberId) -> TokenId {
    TokenId::from_uuid(Uuid::from_u128(u128::from(id.0)))
}

fn create_token(id: MemberId) -> Envelope {
    let token = NewToken {
        id: token(id),
        role: JoinRole::Member,
        secret: Digest([3; 32]),
        expires_at: Timestamp(u64::MAX),
        uses: 1,
    };
    Envelope::system(Timestamp(1), Command::CreateToken(token))
}

fn redeem(id: MemberId) -> Envelope {
    let address = |port| ([127, 0, 0, 1], port).into();
    let port = u16::try_from(id.0).unwrap() * 10;
    let redemption = Redemption {
        token: token(id),
        secret: Digest([3; 32]),
        role: JoinRole::Member,
        key: Digest([u8::try_from(id.0).unwrap(); 32]),
        name: format!("m{id}").parse().unwrap(),
        host: HostId::from_uuid(Uuid::nil()),
        member: Some(MemberAddresses { cluster: address(port), api: address(port + 1) }),
    };
    Envelope::system(Timestamp(1), Command::Redeem(redemption))
}

fn user(n: u64) -> NewUser {
    NewUser {
        id: UserId::from_uuid(Uuid::from_u128(u128::from(n) + 10)),
        name: format!("user-{n}").parse().unwrap(),
        role: Role::Viewer,
        secret: Digest([2; 32]),
    }
}

fn create_user(n: u64) -> Envelope {
    let key = RequestKey {
        id: RequestId::from_uuid(Uuid::from_u128(u128::from(n))),
        fingerprint: Digest([0; 32]),
    };
    Envelope::system(Timestamp(2), Command::CreateUser(user(n))).once(key)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_acknowledged_by_three_is_on_all_three() {
    let group = Group::of_three().await;
    let mut last = LogIndex(0);
    for n in 1..=20 {
        last = group.write(n).await;
    }
    let mut digests = BTreeSet::new();
    for id in 1..=3 {
        let state = group.wait_applied(MemberId(id), last).await;
        assert_eq!(state.users().count(), 21);
        digests.insert(state.digest().unwrap());
    }
    assert_eq!(digests.len(), 1, "equal states have equal digests");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_leader_is_replaced_and_learns_what_it_missed() {
    let group = Group::of_three().await;
    group.write(1).await;
    let old = group.net.leader().unwrap();
    group.net.cut(old);
    let alone = group.net.handle(old);
    let late = async move { alone.propose(create_user(3).encode().unwrap()).await };
    let late = tokio::spawn(late);
    let last = group.write(2).await;
    assert_ne!(group.net.leader(), Some(old));
    group.net.heal();
    let lost = tokio::time::timeout(PATIENCE, late).await.unwrap().unwrap();
    assert!(
        matches!(lost, Err(ProposeRefusal::Lost | ProposeRefusal::NotLeader { .. })),
        "a proposal of a leader that was cut off is never acknowledged: {lost:?}"
    );
    let state = group.wait_applied(old, last).await;
    assert!(state.user(user(2).id).is_some() && state.user(user(3).id).is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_see_every_write_acknowledged_before_them() {
    let group = Group::of_three().await;
    for n in 1..=10 {
        let written = group.write(n).await;
        for id in 1..=3 {
            let handle = group.net.handle(MemberId(id));
            let mut index = None;
            while index.is_none() {
                let read = tokio::time::timeout(Duration::from_millis(300), handle.read_index());
                index = read.await.ok().and_then(Result::ok);
            }
            assert!(index.unwrap() >= written);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_acknowledged_survives_a_restart_of_all() {
    let mut group = Group::of_three().await;
    for n in 1..=150 {
        group.write(n).await;
    }
    let last = group.write(151).await;
    for id in 1..=3 {
        group.wait_applied(MemberId(id), last).await;
        group.stop(MemberId(id));
    }
    for id in 1..=3 {
        group.start(MemberId(id));
    }
    let next = group.write(152).await;
    for id in 1..=3 {
        let state = group.wait_applied(MemberId(id), next).await;
        assert_eq!(state.users().count(), 153);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_fell_behind_the_log_gets_a_snapshot() {
    let group = Group::of_three().await;
    let late = if group.net.leader() == Some(MemberId(3)) { MemberId(2) } else { MemberId(3) };
    let before = group.net.inner.lock().unwrap().snapshots;
    group.net.cut(late);
    let mut last = LogIndex(0);
    for n in 1..=250 {
        last = group.write(n).await;
    }
    group.net.heal();
    let state = group.wait_applied(late, last).await;
    assert_eq!(state.users().count(), 251);
    assert!(group.net.inner.lock().unwrap().snapshots > before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_is_taken_out_and_the_rest_goes_on() {
    let group = Group::of_three().await;
    let gone = if group.net.leader() == Some(MemberId(3)) { MemberId(2) } else { MemberId(3) };
    group.propose(Envelope::system(Timestamp(3), Command::RemoveMember { member: gone })).await;
    group.change(MembershipChange::Remove(gone), None).await;
    group.net.cut(gone);
    group.write(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopping_leader_hands_over_the_lead() {
    let mut group = Group::of_three().await;
    group.write(1).await;
    let old = group.net.leader().unwrap();
    let began = Instant::now();
    group.stop(old);
    group.write(2).await;
    assert!(began.elapsed() < PATIENCE / 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_member_does_not_forget_that_others_vote() {
    let mut group = Group::new();
    let first = MemberId(1);
    let loaded = SledStore::open(&group.log(first)).unwrap().load().unwrap();
    let kept = Kept(Arc::new(Mutex::new(loaded)));
    group.start_on(first, Box::new(kept.clone()));
    let second = MemberId(2);
    group.grow(&[second]).await;
    let as_killed = Kept(Arc::new(Mutex::new(kept.0.lock().unwrap().clone())));
    group.stop(first);
    group.net.cut(second);
    group.start_on(first, Box::new(as_killed));
    let handle = group.net.handle(first);
    let mut status = handle.status();
    let led = status.wait_for(Status::leads);
    let alone = tokio::time::timeout(Duration::from_secs(2), led).await;
    assert!(alone.is_err(), "one of two voters elected itself");
    group.net.heal();
    group.write(2).await;
}
