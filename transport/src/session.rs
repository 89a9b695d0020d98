//! One mutually authenticated connection: streams per class, and calls.

use std::net::SocketAddr;
use std::time::Duration;

use bincode::Encode;
use bytes::Bytes;
use novacron_protocol::version::Version;
use novacron_protocol::wire::Class;
use novacron_protocol::wire::call::{Request, Response};
use novacron_protocol::wire::hello::Peer;
use tokio::io::AsyncRead;

use crate::body::Body;
use crate::call::IncomingCall;
use crate::close::CloseReason;

/// A live session. Clones are handles to the same one; it lives until somebody closes it, the
/// network loses it, or the last handle is dropped.
#[derive(Debug, Clone)]
pub struct Session;

/// Why a session did not do what was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SessionError {
    /// Somebody ended the session on purpose. Dial again unless the reason forbids it.
    #[error("the session was closed: {0}")]
    Closed(CloseReason),
    /// The network or the peer's process went away. Dial again.
    #[error("the session was lost: {0}")]
    Lost(String),
    /// The class's queue is full; nothing was sent.
    #[error("the {0} queue is full")]
    QueueFull(Class),
    /// The message does not fit a frame; nothing was sent.
    #[error("{0}")]
    TooLong(String),
    /// No answer within the deadline. The peer may or may not have acted.
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    /// The peer gave the call up. It may or may not have acted.
    #[error("the peer gave no answer")]
    Unanswered,
    /// A body ended early, or is longer than allowed.
    #[error("{0}")]
    BadBody(String),
}

/// What a session has carried so far.
#[derive(Debug, Clone)]
pub struct SessionStats {
    pub rtt: Duration,
    pub sent_bytes: u64,
    pub received_bytes: u64,
    pub sent_packets: u64,
    pub lost_packets: u64,
    pub congestion_window_bytes: u64,
}

#[expect(unused_variables, reason = "signatures first")]
impl Session {
    pub fn peer(&self) -> Peer {
        unimplemented!()
    }

    pub fn version(&self) -> Version {
        unimplemented!()
    }

    /// Unique among the sessions of this process.
    pub fn stable_id(&self) -> u64 {
        unimplemented!()
    }

    pub fn remote_addr(&self) -> SocketAddr {
        unimplemented!()
    }

    /// Queues a message on its class's stream; waits while the queue is full.
    pub async fn send<T: Encode>(&self, class: Class, message: &T) -> Result<(), SessionError> {
        unimplemented!()
    }

    /// Queues a message, or drops it and says [`SessionError::QueueFull`].
    pub fn try_send<T: Encode>(&self, class: Class, message: &T) -> Result<(), SessionError> {
        unimplemented!()
    }

    /// The next message of any class, most urgent class first.
    pub async fn recv(&self) -> Result<(Class, Bytes), SessionError> {
        unimplemented!()
    }

    /// The next message of one class.
    pub async fn recv_class(&self, class: Class) -> Result<Bytes, SessionError> {
        unimplemented!()
    }

    /// Asks and waits for the answer, at most 10 s. Nothing needs to be read of the body.
    pub async fn call(
        &self,
        class: Class,
        request: &Request,
    ) -> Result<(Response, Body), SessionError> {
        unimplemented!()
    }

    pub async fn call_within(
        &self,
        class: Class,
        request: &Request,
        deadline: Duration,
    ) -> Result<(Response, Body), SessionError> {
        unimplemented!()
    }

    /// Asks with raw bytes after the request; `deadline` bounds the whole.
    pub async fn call_with_body(
        &self,
        class: Class,
        request: &Request,
        body: impl AsyncRead + Send + Unpin,
        deadline: Duration,
    ) -> Result<(Response, Body), SessionError> {
        unimplemented!()
    }

    /// The next call from the peer.
    pub async fn accept_call(&self) -> Result<IncomingCall, SessionError> {
        unimplemented!()
    }

    /// Waits for the end.
    pub async fn closed(&self) -> SessionError {
        unimplemented!()
    }

    /// Ends the session at once; what is queued is lost.
    pub fn close(&self, reason: CloseReason) {
        unimplemented!()
    }

    pub fn stats(&self) -> SessionStats {
        unimplemented!()
    }
}
