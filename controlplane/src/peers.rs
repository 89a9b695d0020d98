//! Live sessions of this member, by who is on the other end.

use novacron_protocol::wire::Class;
use novacron_protocol::wire::call::{Request, Response};
use novacron_protocol::wire::hello::Peer;
use novacron_transport::{Body, Session, SessionError};
use std::collections::BTreeMap;
use std::sync::{Arc, RwLock};
use std::time::Duration;

/// Sessions by peer; a newer session of the same peer replaces the older.
#[derive(Debug, Clone, Default)]
pub struct Peers {
    sessions: Arc<RwLock<BTreeMap<Peer, Session>>>,
}

/// A call that could not be made or was not answered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PeerError {
    #[error("{0} is not connected to this member")]
    NotConnected(Peer),
    #[error(transparent)]
    Session(#[from] SessionError),
}

impl Peers {
    pub fn insert(&self, session: Session) {
        self.sessions.write().expect("no panics under this lock").insert(session.peer(), session);
    }

    /// Forgets a session, unless a newer one has taken its place.
    pub fn remove(&self, session: &Session) {
        let mut sessions = self.sessions.write().expect("no panics under this lock");
        let current = sessions.get(&session.peer());
        if current.is_some_and(|current| current.stable_id() == session.stable_id()) {
            sessions.remove(&session.peer());
        }
    }

    pub fn session(&self, peer: Peer) -> Option<Session> {
        self.sessions.read().expect("no panics under this lock").get(&peer).cloned()
    }

    pub fn sessions(&self) -> Vec<Session> {
        self.sessions.read().expect("no panics under this lock").values().cloned().collect()
    }

    /// The slowest round trip to another member, as the network takes it now.
    pub fn slowest_member(&self) -> Duration {
        let sessions = self.sessions.read().expect("no panics under this lock");
        let members = sessions.iter().filter(|(peer, _)| matches!(peer, Peer::Member(_)));
        members.map(|(_, session)| session.stats().rtt).max().unwrap_or_default()
    }

    /// Asks `peer` and waits for its answer.
    pub async fn call(
        &self,
        peer: Peer,
        class: Class,
        request: &Request,
    ) -> Result<(Response, Body), PeerError> {
        let session = self.session(peer).ok_or(PeerError::NotConnected(peer))?;
        Ok(session.call(class, request).await?)
    }
}
