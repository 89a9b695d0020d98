//! Keeps one warm session to each of a changing set of members.
//!
//! One task per member runs the pure state machine of `novacron_transport_core::link`; it dials,
//! waits and hangs up as that says. Losing a leader then costs no handshake with the next.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use novacron_protocol::MemberId;
use novacron_protocol::wire::hello::Peer;
use novacron_transport_core::backoff::Backoff;
use novacron_transport_core::link::{Action, Link};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use crate::close::CloseReason;
use crate::endpoint::{ConnectError, Endpoint};
use crate::session::{Session, SessionError};

/// What happened to a link. Events of one member come in order: each `Up` is followed by one
/// `Down` before the next `Up`.
#[derive(Debug)]
pub enum LinkEvent {
    Up(MemberId, Session),
    /// An `Up` session ended; the link dials again unless the member was taken out of the set.
    Down(MemberId, SessionError),
    /// A dial failed; the link tries again after a backoff.
    Failed(MemberId, ConnectError),
}

/// One link per member. Dropping it hangs all up.
#[derive(Debug)]
pub struct Links {
    endpoint: Endpoint,
    events_tx: mpsc::Sender<LinkEvent>,
    /// Members that were ever in the set; a link that nobody wants is idle.
    links: Mutex<BTreeMap<MemberId, Handle>>,
    /// Changes whenever a link comes up.
    came_up_tx: watch::Sender<()>,
}

#[derive(Debug)]
struct Handle {
    /// Where the member should be dialled; `None` when it should not.
    wanted_tx: watch::Sender<Option<SocketAddr>>,
    session: Slot,
}

/// The session of a link while it is up.
type Slot = Arc<Mutex<Option<Session>>>;

/// A dial this old is begun afresh when another link comes up: the packets of its handshake are
/// seconds apart by then, and the next one may be far off.
const DIAL_IS_OLD: Duration = Duration::from_secs(1);
/// Events that may wait for the owner; at the bound the links wait with their next step.
const EVENTS_MAX: usize = 64;

impl Links {
    /// No links yet; events of all links come out of the receiver, which must be drained.
    pub fn new(endpoint: Endpoint) -> (Self, mpsc::Receiver<LinkEvent>) {
        let (events_tx, events_rx) = mpsc::channel(EVENTS_MAX);
        let (came_up_tx, _) = watch::channel(());
        (Self { endpoint, events_tx, links: Mutex::default(), came_up_tx }, events_rx)
    }

    /// Replaces the set: new members are dialled, missing ones hung up, moved ones redialled.
    pub fn set_members(&self, members: &[(MemberId, SocketAddr)]) {
        let mut links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        let wanted: BTreeMap<_, _> = members.iter().copied().collect();
        for (member, handle) in links.iter() {
            let addr = wanted.get(member).copied();
            handle.wanted_tx.send_if_modified(|current| std::mem::replace(current, addr) != addr);
        }
        for (member, addr) in wanted {
            links.entry(member).or_insert_with(|| self.start(member, addr));
        }
    }

    /// The member's session, when it is up.
    pub fn session(&self, member: MemberId) -> Option<Session> {
        let links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        live(&links.get(&member)?.session)
    }

    /// All sessions that are up, by member.
    pub fn sessions(&self) -> Vec<(MemberId, Session)> {
        let links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        let up = |(member, handle): (&MemberId, &Handle)| Some((*member, live(&handle.session)?));
        links.iter().filter_map(up).collect()
    }

    fn start(&self, member: MemberId, addr: SocketAddr) -> Handle {
        let (wanted_tx, wanted_rx) = watch::channel(Some(addr));
        let session = Slot::default();
        let driver = Driver {
            member,
            endpoint: self.endpoint.clone(),
            events_tx: self.events_tx.clone(),
            wanted_rx,
            slot: Arc::clone(&session),
            link: Link::new(Backoff::LINK),
            began: Instant::now(),
            addr: None,
            dial: None,
            dial_began: Instant::now(),
            came_up_tx: self.came_up_tx.clone(),
            came_up_rx: self.came_up_tx.subscribe(),
        };
        tokio::spawn(driver.run());
        Handle { wanted_tx, session }
    }
}

fn live(slot: &Slot) -> Option<Session> {
    slot.lock().unwrap_or_else(PoisonError::into_inner).clone().filter(|s| s.ended().is_none())
}

type Dial = Pin<Box<dyn Future<Output = Result<Session, ConnectError>> + Send>>;

/// Drives one link's state machine.
struct Driver {
    member: MemberId,
    endpoint: Endpoint,
    events_tx: mpsc::Sender<LinkEvent>,
    wanted_rx: watch::Receiver<Option<SocketAddr>>,
    slot: Slot,
    link: Link,
    began: Instant,
    /// Where the current dial or session goes.
    addr: Option<SocketAddr>,
    dial: Option<Dial>,
    dial_began: Instant,
    came_up_tx: watch::Sender<()>,
    came_up_rx: watch::Receiver<()>,
}

impl Driver {
    /// Runs until the links are dropped.
    async fn run(mut self) {
        self.follow_wanted();
        loop {
            while let Some(action) = self.link.poll_action() {
                self.act(action).await;
            }
            let session = self.peek();
            let timeout = self.link.poll_timeout().map(|at| self.began + at);
            tokio::select! {
                changed = self.wanted_rx.changed() => match changed {
                    Ok(()) => self.move_on().await,
                    Err(_) => return self.hang_up().await,
                },
                result = dialled(&mut self.dial) => self.finish_dial(result).await,
                error = ended(session.as_ref()) => self.lose(error).await,
                _ = self.came_up_rx.changed() => self.follow_neighbour().await,
                () = sleep_until(timeout) => self.link.handle_timeout(self.began.elapsed()),
            }
        }
    }

    fn peek(&self) -> Option<Session> {
        self.slot.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn follow_wanted(&mut self) {
        self.addr = *self.wanted_rx.borrow_and_update();
        match self.addr {
            Some(_) => self.link.handle_wanted(),
            None => self.link.handle_unwanted(),
        }
    }

    /// The member moved, left or came back.
    async fn move_on(&mut self) {
        if *self.wanted_rx.borrow() != self.addr {
            self.link.handle_unwanted();
            if self.link.poll_action().is_some() {
                self.hang_up().await;
            }
        }
        self.follow_wanted();
    }

    /// Another link came up. After an outage that tells that the network is back.
    async fn follow_neighbour(&mut self) {
        self.link.handle_neighbour_up();
        if self.dial.is_some() && self.dial_began.elapsed() >= DIAL_IS_OLD {
            self.act(Action::Dial).await;
        }
    }

    async fn act(&mut self, action: Action) {
        match (action, self.addr) {
            (Action::Dial, Some(addr)) => {
                let endpoint = self.endpoint.clone();
                let expected = Some(Peer::Member(self.member));
                self.dial_began = Instant::now();
                self.dial = Some(Box::pin(async move { endpoint.connect(addr, expected).await }));
            }
            (Action::HangUp, _) | (Action::Dial, None) => self.hang_up().await,
        }
    }

    async fn finish_dial(&mut self, result: Result<Session, ConnectError>) {
        self.dial = None;
        let now = self.began.elapsed();
        match result {
            Ok(session) => {
                self.link.handle_dialled(now);
                self.came_up_tx.send_replace(());
                self.came_up_rx.mark_unchanged();
                self.put(Some(session.clone()));
                self.tell(LinkEvent::Up(self.member, session)).await;
            }
            Err(error) => {
                self.link.handle_failed(now, rand::random());
                tracing::debug!(member = %self.member, "{error}");
                self.tell(LinkEvent::Failed(self.member, error)).await;
            }
        }
    }

    async fn lose(&mut self, error: SessionError) {
        self.put(None);
        self.link.handle_lost(self.began.elapsed(), rand::random());
        self.tell(LinkEvent::Down(self.member, error)).await;
    }

    async fn hang_up(&mut self) {
        self.dial = None;
        if let Some(session) = self.put(None) {
            session.close(CloseReason::Finished);
            let error = session.closed().await;
            self.tell(LinkEvent::Down(self.member, error)).await;
        }
    }

    fn put(&self, session: Option<Session>) -> Option<Session> {
        std::mem::replace(&mut *self.slot.lock().unwrap_or_else(PoisonError::into_inner), session)
    }

    /// An owner that no longer listens still has its links.
    async fn tell(&mut self, event: LinkEvent) {
        let _ = self.events_tx.send(event).await;
    }
}

async fn dialled(dial: &mut Option<Dial>) -> Result<Session, ConnectError> {
    match dial {
        Some(dial) => dial.await,
        None => std::future::pending().await,
    }
}

async fn ended(session: Option<&Session>) -> SessionError {
    match session {
        Some(session) => session.closed().await,
        None => std::future::pending().await,
    }
}

async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
