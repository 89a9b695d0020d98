//! The UDP socket: dials sessions, accepts sessions and joins.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use novacron_protocol::version::{SUPPORTED, VersionRange};
use novacron_protocol::wire::hello::{HelloRefusal, Peer};
use quinn::VarInt;
use tokio::sync::{Mutex, mpsc, watch};

use crate::close::CloseReason;
use crate::driver;
use crate::identity::IdentityStore;
use crate::join::JoinExchange;
use crate::quic;
use crate::revocation::RevokedSet;
use crate::session::Session;
use crate::session::connection::EndpointClosing;
use crate::tls;

mod accept;
pub(crate) mod dial;
mod hello;
mod roster;

use accept::Acceptor;

/// What may differ between endpoints.
#[derive(Debug, Clone)]
pub struct EndpointOptions {
    pub versions: VersionRange,
    /// Release, for people: `novacron-agent 0.1.0`.
    pub software: String,
    /// A dial that takes longer has failed.
    pub connect_timeout: Duration,
    /// A peer that is silent for so long is lost.
    pub idle_timeout: Duration,
    pub tcp: Tcp,
}

/// Whether peers whose network blocks UDP are let in through TCP, on the port number of UDP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tcp {
    Closed,
    /// If the port number is free; else a warning says so.
    Served,
}

impl Default for EndpointOptions {
    fn default() -> Self {
        Self {
            versions: SUPPORTED,
            software: concat!("novacron ", env!("CARGO_PKG_VERSION")).into(),
            connect_timeout: Duration::from_secs(4),
            idle_timeout: Duration::from_secs(10),
            tcp: Tcp::Closed,
        }
    }
}

/// Why there is no session.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConnectError {
    /// Nobody answered, or the connection broke. Try again.
    #[error("cannot reach {addr}: {detail}")]
    Unreachable { addr: SocketAddr, detail: String },
    /// Whoever answers is not whom we look for.
    #[error("do not trust {addr}: {detail}")]
    Untrusted { addr: SocketAddr, detail: String },
    /// The peer does not accept our certificate.
    #[error("{addr} does not accept our certificate: {detail}")]
    NotAccepted { addr: SocketAddr, detail: String },
    /// The peer knows us and says no.
    #[error("{addr} refused: {refusal}")]
    Refused { addr: SocketAddr, refusal: HelloRefusal },
    #[error("{addr} broke the protocol: {detail}")]
    Violation { addr: SocketAddr, detail: String },
}

/// Who came in, or tried to.
#[derive(Debug)]
pub enum Incoming {
    Session(Session),
    Join(JoinExchange),
    /// Somebody was turned away: for the audit record. Not every one is told of when many come.
    Refused(Refused),
}

/// Somebody who was turned away before being anybody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    pub from: SocketAddr,
    pub reason: CloseReason,
}

/// A bound socket. Clones are handles to the same one; when the last is dropped, all its sessions
/// end.
#[derive(Debug, Clone)]
pub struct Endpoint {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    core: Arc<Core>,
    incoming_rx: Mutex<mpsc::Receiver<Incoming>>,
}

/// What dialling and accepting have in common.
#[derive(Debug)]
struct Core {
    quic: driver::Endpoint,
    local_addr: SocketAddr,
    identity: Arc<IdentityStore>,
    options: EndpointOptions,
    revoked: Arc<watch::Sender<RevokedSet>>,
    closing: EndpointClosing,
}

/// Newcomers that wait for [`Endpoint::accept`]. At the bound further handshakes wait, and beyond
/// the acceptor's own bound are refused.
const INCOMING_WAITING_MAX: usize = 64;
/// How long a closing endpoint waits for its last packets to leave.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

impl Endpoint {
    /// Binds `listen` (port 0 picks one). Must be called inside a tokio runtime.
    pub fn bind(
        listen: SocketAddr,
        identity: Arc<IdentityStore>,
        options: EndpointOptions,
    ) -> std::io::Result<Self> {
        let quic = driver::Endpoint::new(
            quic::endpoint_config(&identity.current()),
            Some(quic::server_config(&identity, options.idle_timeout)),
            quic::socket(listen)?,
        )?;
        if options.tcp == Tcp::Served {
            serve_tcp(&quic, &identity)?;
        }
        let core = Arc::new(Core {
            local_addr: quic.local_addr()?,
            quic,
            identity,
            options,
            revoked: Arc::new(watch::Sender::default()),
            closing: Arc::new(OnceLock::new()),
        });
        let (incoming_tx, incoming_rx) = mpsc::channel(INCOMING_WAITING_MAX);
        tokio::spawn(Acceptor::new(Arc::clone(&core), incoming_tx).run());
        Ok(Self { shared: Arc::new(Shared { core, incoming_rx: Mutex::new(incoming_rx) }) })
    }

    pub fn local_addr(&self) -> SocketAddr {
        self.shared.core.local_addr
    }

    /// Dials. `expected` is who must answer; `None` accepts any member of the cluster.
    pub async fn connect(
        &self,
        addr: SocketAddr,
        expected: Option<Peer>,
    ) -> Result<Session, ConnectError> {
        dial::session(&self.shared.core, addr, expected).await
    }

    /// The next session or join; `None` after [`Self::close`]. May be cancelled. An endpoint
    /// whose owner never calls this refuses newcomers once its short queue is full.
    pub async fn accept(&self) -> Option<Incoming> {
        self.shared.incoming_rx.lock().await.recv().await
    }

    /// Replaces who is revoked; takes effect on live sessions at once.
    pub fn set_revoked(&self, revoked: RevokedSet) {
        self.shared.core.revoked.send_replace(revoked);
    }

    pub fn identity(&self) -> &Arc<IdentityStore> {
        &self.shared.core.identity
    }

    /// Closes all sessions with `reason` and waits, shortly, until the peers could hear of it.
    pub async fn close(&self, reason: CloseReason) {
        self.shared.core.close(reason);
        let idle = self.shared.core.quic.wait_idle();
        // Peers that are gone never acknowledge; they find out by their own timeouts.
        let _ = tokio::time::timeout(CLOSE_TIMEOUT, idle).await;
    }
}

/// A port number that TCP cannot have is no reason not to serve UDP.
fn serve_tcp(quic: &driver::Endpoint, identity: &Arc<IdentityStore>) -> std::io::Result<()> {
    let addr = quic.local_addr()?;
    match std::net::TcpListener::bind(addr) {
        Ok(listener) => quic.serve_tunnels(listener, tls::acceptor(identity)),
        Err(error) => {
            tracing::warn!(%addr, "peers behind networks that block UDP cannot connect: {error}");
            Ok(())
        }
    }
}

impl Core {
    fn close(&self, reason: CloseReason) {
        let reason = self.closing.get_or_init(|| reason);
        self.quic.close(VarInt::from_u32(reason.code()), reason.text().as_bytes());
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.core.close(CloseReason::Finished);
    }
}
