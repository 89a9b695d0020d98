//! One mutually authenticated connection: streams per class, and calls.
//!
//! ```text
//!   send ──> outbox ──> one stream per class ──> peer's inbox ──> recv
//!   call ──> a stream of its own ──────────────> peer's accept_call
//! ```
//!
//! The peer's name is what its certificate said; a guard ends the session when that certificate
//! ends or is revoked. Nothing a peer does to one class, or to one call, stops another.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bincode::Encode;
use bytes::Bytes;
use novacron_protocol::codec;
use novacron_protocol::limits::FRAME_BYTES_MAX;
use novacron_protocol::version::Version;
use novacron_protocol::wire::Class;
use novacron_protocol::wire::call::{Request, Response};
use novacron_protocol::wire::hello::Peer;
use novacron_transport_core::header::StreamHeader;
use tokio::io::AsyncRead;
use tokio::sync::{Mutex, Semaphore, mpsc, watch};

use crate::body::{self, Body};
use crate::call::IncomingCall;
use crate::certificate::{PeerCertificate, Serial};
use crate::close::CloseReason;
use crate::driver::WriteError;
use crate::identity::IdentityStore;
use crate::quic::BODIES_MAX;
use crate::revocation::RevokedSet;
use crate::stats::SessionStats;

pub(crate) mod connection;
pub(crate) mod copies;
mod guard;
mod inbox;
mod outbox;
pub(crate) mod reader;
mod receiver;
mod standing;
pub(crate) mod writer;

use connection::Connection;
use copies::Arrivals;
use guard::Guard;
use inbox::Inbox;
use outbox::Outbox;
use reader::{FrameReader, ReadFailure};
use receiver::Receiver;
use standing::Standing;
use writer::{FrameWriter, framed};

/// A live session. Clones are handles to the same one; it lives until somebody closes it, the
/// network loses it, or the last handle is dropped.
#[derive(Debug, Clone)]
pub struct Session {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    id: u64,
    peer: Peer,
    version: Version,
    connection: Arc<Connection>,
    standing: Arc<Standing>,
    outbox: Outbox,
    inbox: Arc<Inbox>,
    calls_rx: Mutex<mpsc::Receiver<IncomingCall>>,
    bodies: Arc<Semaphore>,
}

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
    #[error("the message cannot be sent: {0}")]
    TooLong(String),
    /// No answer, or no progress, within the deadline. The peer may or may not have acted.
    #[error("no answer within {0:?}")]
    Timeout(Duration),
    /// The peer gave the call up. It may or may not have acted.
    #[error("the peer gave no answer")]
    Unanswered,
    /// A body ended early, is longer than allowed, or could not be read at its source.
    #[error("the body is not whole: {0}")]
    BadBody(String),
}

impl SessionError {
    /// Whether the session itself is over, rather than one message or call.
    pub fn is_end(&self) -> bool {
        matches!(self, Self::Closed(_) | Self::Lost(_))
    }
}

/// What the two sides have agreed on when a session begins.
#[derive(Debug)]
pub(crate) struct Agreement {
    pub(crate) connection: Arc<Connection>,
    pub(crate) version: Version,
    pub(crate) theirs: PeerCertificate,
    pub(crate) identity: Arc<IdentityStore>,
    /// The certificate that this side has shown.
    pub(crate) shown: Serial,
    pub(crate) revoked: Arc<watch::Sender<RevokedSet>>,
}

/// Calls that wait for `accept_call`. At the bound the peer's next call is not read further.
const CALLS_WAITING_MAX: usize = 64;
/// Deadline of [`Session::call`].
const CALL_TIMEOUT: Duration = Duration::from_secs(10);

impl Session {
    /// Starts the tasks of a session; they end with its connection.
    pub(crate) fn start(agreement: Agreement) -> Self {
        let Agreement { connection, version, theirs, identity, shown, revoked } = agreement;
        let peer = theirs.peer;
        let standing = Standing::new(Arc::clone(&identity), theirs);
        let inbox = Inbox::new(Arc::clone(&connection));
        let bodies = Arc::new(Semaphore::new(BODIES_MAX));
        let (calls_tx, calls_rx) = mpsc::channel(CALLS_WAITING_MAX);
        let receiver = Receiver {
            connection: Arc::clone(&connection),
            inbox: Arc::clone(&inbox),
            standing: Arc::clone(&standing),
            calls_tx,
            bodies: Arc::clone(&bodies),
            opened: Default::default(),
            arrivals: Arrivals::default(),
        };
        let guard = Guard {
            connection: Arc::clone(&connection),
            standing: Arc::clone(&standing),
            identity,
            revoked,
            shown,
        };
        tokio::spawn(receiver.run());
        tokio::spawn(guard.run());
        let outbox = Outbox::new(Arc::clone(&connection));
        let id = NEXT_ID.fetch_add(1, Ordering::Relaxed);
        let calls_rx = Mutex::new(calls_rx);
        let shared =
            Shared { id, peer, version, connection, standing, outbox, inbox, calls_rx, bodies };
        Self { shared: Arc::new(shared) }
    }

    pub fn peer(&self) -> Peer {
        self.shared.peer
    }

    /// The certificate that the peer has shown last.
    pub fn certificate(&self) -> PeerCertificate {
        self.shared.standing.current()
    }

    pub fn version(&self) -> Version {
        self.shared.version
    }

    /// Unique among the sessions of this process, and growing.
    pub fn stable_id(&self) -> u64 {
        self.shared.id
    }

    pub fn remote_addr(&self) -> SocketAddr {
        self.shared.connection.quic.remote_address()
    }

    /// Queues a message on its class's stream; waits while the queue is full. When this returns
    /// the message is queued, not received. May be cancelled: then nothing was sent.
    pub async fn send<T: Encode>(&self, class: Class, message: &T) -> Result<(), SessionError> {
        let frame = framed(None, message)?;
        self.shared.outbox.send(class, frame).await
    }

    /// Queues a message, or drops it and says [`SessionError::QueueFull`].
    pub fn try_send<T: Encode>(&self, class: Class, message: &T) -> Result<(), SessionError> {
        self.shared.outbox.try_send(class, framed(None, message)?)
    }

    /// The next message of any class, most urgent class first. What the peer sent before it
    /// closed is still handed out. May be cancelled.
    pub async fn recv(&self) -> Result<(Class, Bytes), SessionError> {
        self.shared.inbox.recv(&Class::ALL).await
    }

    /// The next message of one class. May be cancelled.
    pub async fn recv_class(&self, class: Class) -> Result<Bytes, SessionError> {
        self.shared.inbox.recv(&[class]).await.map(|(_, frame)| frame)
    }

    /// Asks and waits for the answer, at most 10 s. Nothing needs to be read of the body.
    pub async fn call(
        &self,
        class: Class,
        request: &Request,
    ) -> Result<(Response, Body), SessionError> {
        self.call_within(class, request, CALL_TIMEOUT).await
    }

    /// Asks and waits for the answer, at most for `deadline`. The answer's body is not part of
    /// the deadline.
    pub async fn call_within(
        &self,
        class: Class,
        request: &Request,
        deadline: Duration,
    ) -> Result<(Response, Body), SessionError> {
        self.ask(class, request, None::<tokio::io::Empty>, deadline).await
    }

    /// Asks with raw bytes after the request; `deadline` bounds the whole until the answer.
    pub async fn call_with_body(
        &self,
        class: Class,
        request: &Request,
        body: impl AsyncRead + Send + Unpin,
        deadline: Duration,
    ) -> Result<(Response, Body), SessionError> {
        self.ask(class, request, Some(body), deadline).await
    }

    /// The next call from the peer. May be cancelled.
    pub async fn accept_call(&self) -> Result<IncomingCall, SessionError> {
        let mut calls_rx = self.shared.calls_rx.lock().await;
        tokio::select! {
            error = self.shared.connection.closed() => Err(error),
            call = calls_rx.recv() => match call {
                Some(call) => Ok(call),
                None => Err(self.shared.connection.closed().await),
            },
        }
    }

    /// Waits for the end.
    pub async fn closed(&self) -> SessionError {
        self.shared.connection.closed().await
    }

    /// Why the session is over, if it is.
    pub fn ended(&self) -> Option<SessionError> {
        self.shared.connection.ended()
    }

    /// Ends the session at once; what is queued is lost.
    pub fn close(&self, reason: CloseReason) {
        self.shared.connection.close(reason);
    }

    /// What the session has carried, and how it is doing now.
    pub fn stats(&self) -> SessionStats {
        self.shared.connection.quic.stats()
    }

    async fn ask(
        &self,
        class: Class,
        request: &Request,
        body: Option<impl AsyncRead + Send + Unpin>,
        deadline: Duration,
    ) -> Result<(Response, Body), SessionError> {
        let frame = framed(Some(StreamHeader::Call(class).to_byte()), request)?;
        tokio::time::timeout(deadline, self.exchange(class, frame, body))
            .await
            .unwrap_or(Err(SessionError::Timeout(deadline)))
    }

    async fn exchange(
        &self,
        class: Class,
        request: Bytes,
        body: Option<impl AsyncRead + Send + Unpin>,
    ) -> Result<(Response, Body), SessionError> {
        let connection = &self.shared.connection;
        let opened = connection.quic.open_bi(class).await;
        let (send, recv) = opened.map_err(|error| connection.explain(error))?;
        let mut writer = FrameWriter::new(send);
        match writer.write(request).await {
            // A peer may answer before it has read all.
            Ok(()) | Err(WriteError::Stopped) => {}
            Err(WriteError::ConnectionLost(error)) => return Err(connection.explain(error)),
        }
        if let Some(body) = body {
            let _turn = self.shared.bodies.acquire().await.expect("never closed");
            body::send(&mut writer, body, connection).await?;
        }
        writer.finish();
        let mut reader = FrameReader::new(recv, FRAME_BYTES_MAX);
        let frame = reader.expect_frame().await.map_err(|failure| match failure {
            ReadFailure::Lost(error) => connection.explain(error),
            ReadFailure::Reset => SessionError::Unanswered,
            ReadFailure::TooLong(_) | ReadFailure::Truncated => connection.blame(failure),
        })?;
        let response = codec::decode(&frame, FRAME_BYTES_MAX).map_err(|e| connection.blame(e))?;
        Ok((response, Body::new(reader, Arc::clone(connection))))
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.connection.close(CloseReason::Finished);
    }
}

static NEXT_ID: AtomicU64 = AtomicU64::new(1);
