//! How many sessions each peer has: a bound that a certificate cannot talk its way around.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use novacron_protocol::wire::hello::Peer;

use crate::close::CloseReason;
use crate::session::connection::Connection;

/// Accepted sessions that one peer may have; the oldest is closed for one more. A peer needs one,
/// and for a moment two when it was restarted and its old one has not timed out yet.
const PEER_SESSIONS_MAX: usize = 4;

/// Accepted connections by peer, oldest first.
#[derive(Debug, Default)]
pub(super) struct Roster {
    by_peer: Mutex<HashMap<Peer, VecDeque<Weak<Connection>>>>,
}

impl Roster {
    /// Enters a connection, and closes the peer's oldest if it has too many.
    pub(super) fn enter(&self, peer: Peer, connection: &Arc<Connection>) {
        let mut by_peer = self.by_peer.lock().unwrap_or_else(PoisonError::into_inner);
        let sessions = by_peer.entry(peer).or_default();
        sessions.push_back(Arc::downgrade(connection));
        sessions.retain(is_live);
        if sessions.len() > PEER_SESSIONS_MAX
            && let Some(oldest) = sessions.pop_front().and_then(|weak| weak.upgrade())
        {
            oldest.close(CloseReason::Replaced);
        }
        if by_peer.len() > by_peer.capacity() / 2 {
            by_peer.retain(|_, sessions| sessions.iter().any(is_live));
        }
    }
}

fn is_live(connection: &Weak<Connection>) -> bool {
    connection.upgrade().is_some_and(|connection| connection.ended().is_none())
}
