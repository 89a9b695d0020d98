//! The UDP socket: dials sessions, accepts sessions and joins.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use novacron_protocol::version::{SUPPORTED, VersionRange};
use novacron_protocol::wire::hello::{HelloRefusal, Peer};

use crate::close::CloseReason;
use crate::identity::IdentityStore;
use crate::join::JoinExchange;
use crate::revocation::RevokedSet;
use crate::session::Session;

/// What may differ between endpoints.
#[derive(Debug, Clone)]
pub struct EndpointOptions {
    pub versions: VersionRange,
    /// Release, for people: `novacron-agent 0.1.0`.
    pub software: String,
    pub connect_timeout: Duration,
    /// A peer that is silent for so long is lost.
    pub idle_timeout: Duration,
}

impl Default for EndpointOptions {
    fn default() -> Self {
        Self {
            versions: SUPPORTED,
            software: concat!("novacron ", env!("CARGO_PKG_VERSION")).into(),
            connect_timeout: Duration::from_secs(4),
            idle_timeout: Duration::from_secs(10),
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
    #[error("{addr} refused: {refusal}")]
    Refused { addr: SocketAddr, refusal: HelloRefusal },
    #[error("{addr} broke the protocol: {detail}")]
    Violation { addr: SocketAddr, detail: String },
}

/// Who came in.
#[derive(Debug)]
pub enum Incoming {
    Session(Session),
    Join(JoinExchange),
}

/// A bound socket. Clones are handles to the same one.
#[derive(Debug, Clone)]
pub struct Endpoint;

#[expect(unused_variables, reason = "signatures first")]
impl Endpoint {
    /// Binds `listen` (port 0 picks one). Must be called inside a tokio runtime.
    pub fn bind(
        listen: SocketAddr,
        identity: Arc<IdentityStore>,
        options: EndpointOptions,
    ) -> std::io::Result<Self> {
        unimplemented!()
    }

    pub fn local_addr(&self) -> SocketAddr {
        unimplemented!()
    }

    /// Dials. `expected` is who must answer; `None` accepts any member of the cluster.
    pub async fn connect(
        &self,
        addr: SocketAddr,
        expected: Option<Peer>,
    ) -> Result<Session, ConnectError> {
        unimplemented!()
    }

    /// The next session or join; `None` after [`Self::close`]. An endpoint whose owner never
    /// calls this refuses newcomers once its short queue is full.
    pub async fn accept(&self) -> Option<Incoming> {
        unimplemented!()
    }

    /// Replaces who is revoked; takes effect on live sessions at once.
    pub fn set_revoked(&self, revoked: RevokedSet) {
        unimplemented!()
    }

    /// Closes all sessions with `reason` and waits until the peers could hear of it.
    pub async fn close(&self, reason: CloseReason) {
        unimplemented!()
    }
}
