//! Keeps one warm session to each of a changing set of members.

use std::net::SocketAddr;

use novacron_protocol::MemberId;
use tokio::sync::mpsc;

use crate::endpoint::{ConnectError, Endpoint};
use crate::session::{Session, SessionError};

/// What happened to a link.
#[derive(Debug)]
pub enum LinkEvent {
    Up(MemberId, Session),
    /// An `Up` session ended; the link dials again unless the member was taken out of the set.
    Down(MemberId, SessionError),
    /// A dial failed; the link tries again after a backoff.
    Failed(MemberId, ConnectError),
}

/// One link per member. Dropping it closes them all.
#[derive(Debug)]
pub struct Links;

#[expect(unused_variables, reason = "signatures first")]
impl Links {
    /// No links yet; events of all links come out of the receiver, which must be drained.
    pub fn new(endpoint: Endpoint) -> (Self, mpsc::Receiver<LinkEvent>) {
        unimplemented!()
    }

    /// Replaces the set: new members are dialled, missing ones hung up, moved ones redialled.
    pub fn set_members(&self, members: &[(MemberId, SocketAddr)]) {
        unimplemented!()
    }

    /// The member's session, when it is up.
    pub fn session(&self, member: MemberId) -> Option<Session> {
        unimplemented!()
    }

    /// All sessions that are up, by member.
    pub fn sessions(&self) -> Vec<(MemberId, Session)> {
        unimplemented!()
    }
}
