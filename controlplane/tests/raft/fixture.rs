//! Drivers over real logs, joined by channels that a test can cut.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use novacron_controlplane::raft::{
    Driver, DriverOptions, Handle, HardState, Loaded, LogStore, MembershipChange, Outbound,
    SegmentStore, SnapshotDelivery, SnapshotStore, StoreError, StoredSnapshot,
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
pub(crate) const FIRST_INDEX: LogIndex = LogIndex(1);
pub(crate) const FIRST_TERM: Term = Term(1);
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Delivers messages between drivers, but for those that are cut off.
#[derive(Clone, Default)]
pub(crate) struct Net {
    pub(crate) inner: Arc<Mutex<Inner>>,
}

#[derive(Default)]
pub(crate) struct Inner {
    handles: BTreeMap<MemberId, Handle>,
    cut: BTreeSet<MemberId>,
    pub(crate) snapshots: u32,
    /// Snapshots get lost, known to their sender.
    pub(crate) lose_snapshots: bool,
}

impl Net {
    pub(crate) fn handle(&self, id: MemberId) -> Handle {
        self.inner.lock().unwrap().handles[&id].clone()
    }

    pub(crate) fn cut(&self, id: MemberId) {
        self.inner.lock().unwrap().cut.insert(id);
    }

    pub(crate) fn heal(&self) {
        self.inner.lock().unwrap().cut.clear();
    }

    pub(crate) fn route(&self, from: MemberId, to: MemberId) -> Option<Handle> {
        let inner = self.inner.lock().unwrap();
        let open = !inner.cut.contains(&from) && !inner.cut.contains(&to);
        inner.handles.get(&to).filter(|_| open).cloned()
    }

    pub(crate) fn leader(&self) -> Option<MemberId> {
        let inner = self.inner.lock().unwrap();
        let leads = |(id, handle): (&MemberId, &Handle)| {
            let status = *handle.status().borrow();
            (status.ready && !inner.cut.contains(id)).then_some(*id)
        };
        inner.handles.iter().find_map(leads)
    }
}

pub(crate) struct Wire {
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
        let mut inner = self.net.inner.lock().unwrap();
        inner.snapshots += 1;
        if inner.lose_snapshots {
            return;
        }
        drop(inner);
        self.runtime.spawn(async move {
            let (message, state) = (delivery.message.clone(), delivery.state.clone());
            if handle.handle_snapshot(message, state).await.is_ok() {
                delivery.settle();
            }
        });
    }
}

/// A log in memory that can be looked at in the middle of a life, as a `kill -9` would leave it:
/// whole after every sync.
#[derive(Debug, Clone, Default)]
pub(crate) struct Kept(pub(crate) Arc<Mutex<Loaded>>, Arc<Mutex<Vec<Staged>>>);

/// What the next sync keeps.
#[derive(Debug)]
enum Staged {
    Append(Vec<Entry>, Option<HardState>),
    Compact(LogIndex),
}

impl Kept {
    pub(crate) fn of(loaded: Loaded) -> Self {
        Self(Arc::new(Mutex::new(loaded)), Arc::default())
    }

    /// What a start would find now.
    pub(crate) fn loaded(&self) -> Loaded {
        let Loaded { hard_state, snapshot, entries } = self.0.lock().unwrap().clone();
        Loaded::assemble(hard_state, snapshot, entries).unwrap()
    }
}

impl LogStore for Kept {
    fn load(&mut self) -> Result<Loaded, StoreError> {
        Ok(self.loaded())
    }

    fn append(&mut self, entries: &[Entry], hard: Option<HardState>) {
        self.1.lock().unwrap().push(Staged::Append(entries.to_vec(), hard));
    }

    fn sync(&mut self) -> Result<(), StoreError> {
        for staged in self.1.lock().unwrap().drain(..) {
            let mut kept = self.0.lock().unwrap();
            match staged {
                Staged::Append(entries, hard) => {
                    if let Some(first) = entries.first() {
                        kept.entries.retain(|entry| entry.index < first.index);
                        kept.entries.extend_from_slice(&entries);
                    }
                    kept.hard_state = hard.unwrap_or(kept.hard_state);
                }
                Staged::Compact(cut) => kept.entries.retain(|entry| entry.index > cut),
            }
        }
        self.loaded();
        Ok(())
    }

    fn install_snapshot(
        &mut self,
        snapshot: &StoredSnapshot,
        hard_state: HardState,
    ) -> Result<(), StoreError> {
        self.sync()?;
        let snapshot = snapshot.clone();
        *self.0.lock().unwrap() = Loaded { hard_state, snapshot, entries: Vec::new() };
        Ok(())
    }

    fn snapshots(&self) -> Arc<dyn SnapshotStore> {
        Arc::new(self.clone())
    }

    fn compact(&mut self, _: &SnapshotMeta, cut: LogIndex) {
        self.1.lock().unwrap().push(Staged::Compact(cut));
    }
}

impl SnapshotStore for Kept {
    fn save(&self, snapshot: &StoredSnapshot) -> Result<(), StoreError> {
        self.0.lock().unwrap().snapshot = snapshot.clone();
        Ok(())
    }
}

/// A group of drivers, each with a log in a directory of its own.
pub(crate) struct Group {
    pub(crate) net: Net,
    dir: tempfile::TempDir,
    threads: BTreeMap<MemberId, std::thread::JoinHandle<()>>,
}

impl Group {
    /// Member 1 alone, as `init` makes it.
    pub(crate) fn new() -> Self {
        let group = Self {
            net: Net::default(),
            dir: tempfile::tempdir().unwrap(),
            threads: BTreeMap::new(),
        };
        let (snapshot, hard_state) = first_snapshot();
        SegmentStore::create(&group.log(MemberId(1)), &snapshot, hard_state).unwrap();
        group
    }

    pub(crate) fn log(&self, id: MemberId) -> PathBuf {
        self.dir.path().join(id.to_string())
    }

    pub(crate) fn start(&mut self, id: MemberId) {
        let store = SegmentStore::open(&self.log(id)).unwrap();
        self.start_on(id, Box::new(store));
    }

    pub(crate) fn start_on(&mut self, id: MemberId, store: Box<dyn LogStore>) {
        let (driver, handle) = open(&self.net, id, store);
        self.net.inner.lock().unwrap().handles.insert(id, handle);
        self.threads.insert(id, std::thread::spawn(move || driver.run().unwrap()));
    }

    pub(crate) fn stop(&mut self, id: MemberId) {
        let handle = self.net.inner.lock().unwrap().handles.remove(&id).unwrap();
        handle.stop();
        drop(handle);
        let end = self.threads.remove(&id).unwrap().join();
        assert!(end.is_ok() || std::thread::panicking(), "the driver of {id} panicked");
    }

    /// Three voters.
    pub(crate) async fn of_three() -> Self {
        let mut group = Self::new();
        group.start(MemberId(1));
        group.grow(&[MemberId(2), MemberId(3)]).await;
        group
    }

    /// Lets further members in.
    pub(crate) async fn grow(&mut self, ids: &[MemberId]) {
        let group = self;
        for id in ids.iter().copied() {
            let hard_state = HardState::default();
            SegmentStore::create(&group.log(id), &StoredSnapshot::default(), hard_state).unwrap();
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
    pub(crate) async fn change(&self, change: MembershipChange, wanted: Option<MemberRole>) {
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

    pub(crate) async fn write(&self, n: u64) -> LogIndex {
        self.propose(create_user(n)).await
    }

    /// Proposes at whoever leads until it is applied.
    pub(crate) async fn propose(&self, envelope: Envelope) -> LogIndex {
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

    pub(crate) async fn wait_applied(&self, id: MemberId, index: LogIndex) -> State {
        eventually(|| {
            let state = self.net.handle(id).state().borrow().clone();
            (state.applied() >= index).then_some(state)
        })
        .await
    }
}

/// A driver with that log, not running yet.
pub(crate) fn open(net: &Net, id: MemberId, store: Box<dyn LogStore>) -> (Driver<Wire>, Handle) {
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
    let wire = Wire { net: net.clone(), own: id, runtime };
    Driver::open(options, store, wire).unwrap()
}

/// What a member of its own begins with: a voter, alone.
pub(crate) fn first_snapshot() -> (StoredSnapshot, HardState) {
    let mut state = State::default();
    state.apply(FIRST_INDEX, &Envelope::system(Timestamp(1), initialise())).unwrap();
    let configuration = Configuration { voters: vec![MemberId(1)], ..Default::default() };
    let snapshot = StoredSnapshot {
        meta: SnapshotMeta { index: FIRST_INDEX, term: FIRST_TERM, configuration },
        state: state.to_snapshot().unwrap().into(),
    };
    (snapshot, HardState { term: FIRST_TERM, vote: None, commit: FIRST_INDEX })
}

impl Drop for Group {
    fn drop(&mut self) {
        let ids: Vec<MemberId> = self.threads.keys().copied().collect();
        for id in ids {
            self.stop(id);
        }
    }
}

pub(crate) async fn eventually<T>(mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "not within {PATIENCE:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

pub(crate) fn initialise() -> Command {
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

pub(crate) fn token(id: MemberId) -> TokenId {
    TokenId::from_uuid(Uuid::from_u128(u128::from(id.0)))
}

pub(crate) fn create_token(id: MemberId) -> Envelope {
    let token = NewToken {
        id: token(id),
        role: JoinRole::Member,
        secret: Digest([3; 32]),
        expires_at: Timestamp(u64::MAX),
        uses: 1,
    };
    Envelope::system(Timestamp(1), Command::CreateToken(token))
}

pub(crate) fn redeem(id: MemberId) -> Envelope {
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

pub(crate) fn user(n: u64) -> NewUser {
    NewUser {
        id: UserId::from_uuid(Uuid::from_u128(u128::from(n) + 10)),
        name: format!("user-{n}").parse().unwrap(),
        role: Role::Viewer,
        secret: Digest([2; 32]),
    }
}

pub(crate) fn create_user(n: u64) -> Envelope {
    let key = RequestKey {
        id: RequestId::from_uuid(Uuid::from_u128(u128::from(n))),
        fingerprint: Digest([0; 32]),
    };
    Envelope::system(Timestamp(2), Command::CreateUser(user(n))).once(key)
}
