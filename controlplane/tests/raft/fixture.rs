//! Drivers over real logs, joined by channels that a test can cut.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use novacron_controlplane::raft::{
    Driver, DriverOptions, Handle, HardState, Loaded, LogStore, MembershipChange, Outbound,
    SledStore, SnapshotDelivery, StoreError, StoredSnapshot,
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
pub const FIRST_INDEX: LogIndex = LogIndex(1);
pub const FIRST_TERM: Term = Term(1);
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Delivers messages between drivers, but for those that are cut off.
#[derive(Clone, Default)]
pub struct Net {
    pub inner: Arc<Mutex<Inner>>,
}

#[derive(Default)]
pub struct Inner {
    handles: BTreeMap<MemberId, Handle>,
    cut: BTreeSet<MemberId>,
    pub snapshots: u32,
}

impl Net {
    pub fn handle(&self, id: MemberId) -> Handle {
        self.inner.lock().unwrap().handles[&id].clone()
    }

    pub fn cut(&self, id: MemberId) {
        self.inner.lock().unwrap().cut.insert(id);
    }

    pub fn heal(&self) {
        self.inner.lock().unwrap().cut.clear();
    }

    pub fn route(&self, from: MemberId, to: MemberId) -> Option<Handle> {
        let inner = self.inner.lock().unwrap();
        let open = !inner.cut.contains(&from) && !inner.cut.contains(&to);
        inner.handles.get(&to).filter(|_| open).cloned()
    }

    pub fn leader(&self) -> Option<MemberId> {
        let inner = self.inner.lock().unwrap();
        let leads = |(id, handle): (&MemberId, &Handle)| {
            let status = *handle.status().borrow();
            (status.ready && !inner.cut.contains(id)).then_some(*id)
        };
        inner.handles.iter().find_map(leads)
    }
}

pub struct Wire {
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
pub struct Kept(pub Arc<Mutex<Loaded>>);

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
pub struct Group {
    pub net: Net,
    dir: tempfile::TempDir,
    threads: BTreeMap<MemberId, std::thread::JoinHandle<()>>,
}

impl Group {
    /// Member 1 alone, as `init` makes it.
    pub fn new() -> Self {
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

    pub fn log(&self, id: MemberId) -> PathBuf {
        self.dir.path().join(id.to_string())
    }

    pub fn start(&mut self, id: MemberId) {
        let store = SledStore::open(&self.log(id)).unwrap();
        self.start_on(id, Box::new(store));
    }

    pub fn start_on(&mut self, id: MemberId, store: Box<dyn LogStore>) {
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

    pub fn stop(&mut self, id: MemberId) {
        let handle = self.net.inner.lock().unwrap().handles.remove(&id).unwrap();
        handle.stop();
        drop(handle);
        self.threads.remove(&id).unwrap().join().unwrap();
    }

    /// Three voters.
    pub async fn of_three() -> Self {
        let mut group = Self::new();
        group.start(MemberId(1));
        group.grow(&[MemberId(2), MemberId(3)]).await;
        group
    }

    /// Lets further members in.
    pub async fn grow(&mut self, ids: &[MemberId]) {
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
    pub async fn change(&self, change: MembershipChange, wanted: Option<MemberRole>) {
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

    pub async fn write(&self, n: u64) -> LogIndex {
        self.propose(create_user(n)).await
    }

    /// Proposes at whoever leads until it is applied.
    pub async fn propose(&self, envelope: Envelope) -> LogIndex {
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

    pub async fn wait_applied(&self, id: MemberId, index: LogIndex) -> State {
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

pub async fn eventually<T>(mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "not within {PATIENCE:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

pub fn initialise() -> Command {
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

pub fn token(id: MemberId) -> TokenId {
    TokenId::from_uuid(Uuid::from_u128(u128::from(id.0)))
}

pub fn create_token(id: MemberId) -> Envelope {
    let token = NewToken {
        id: token(id),
        role: JoinRole::Member,
        secret: Digest([3; 32]),
        expires_at: Timestamp(u64::MAX),
        uses: 1,
    };
    Envelope::system(Timestamp(1), Command::CreateToken(token))
}

pub fn redeem(id: MemberId) -> Envelope {
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

pub fn user(n: u64) -> NewUser {
    NewUser {
        id: UserId::from_uuid(Uuid::from_u128(u128::from(n) + 10)),
        name: format!("user-{n}").parse().unwrap(),
        role: Role::Viewer,
        secret: Digest([2; 32]),
    }
}

pub fn create_user(n: u64) -> Envelope {
    let key = RequestKey {
        id: RequestId::from_uuid(Uuid::from_u128(u128::from(n))),
        fingerprint: Digest([0; 32]),
    };
    Envelope::system(Timestamp(2), Command::CreateUser(user(n))).once(key)
}
