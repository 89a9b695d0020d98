//! Dials sessions.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use novacron_protocol::codec;
use novacron_protocol::limits::HELLO_BYTES_MAX;
use novacron_protocol::version::Version;
use novacron_protocol::wire::Class;
use novacron_protocol::wire::hello::{Hello, HelloAnswer, HelloRefusal, Peer};
use quinn::ConnectionError;

use super::accept::peer_certificate;
use super::{ConnectError, Core};
use crate::close::CloseReason;
use crate::session::connection::Connection;
use crate::session::reader::FrameReader;
use crate::session::writer::{FrameWriter, framed};
use crate::session::{Agreement, Session, SessionError};
use crate::tls::{self, AcceptorCheck, Expected};
use crate::{Identity, driver, quic};

/// Name that TLS wants and nobody looks at: peers are known by their certificates' URIs.
pub(crate) const SERVER_NAME: &str = "novacron";

/// Dials `addr` and agrees on a session.
pub(super) async fn session(
    core: &Core,
    addr: SocketAddr,
    expected: Option<Peer>,
) -> Result<Session, ConnectError> {
    let deadline = core.options.connect_timeout;
    tokio::time::timeout(deadline, attempt(core, addr, expected)).await.unwrap_or_else(|_| {
        Err(ConnectError::Unreachable { addr, detail: format!("no answer within {deadline:?}") })
    })
}

async fn attempt(
    core: &Core,
    addr: SocketAddr,
    expected: Option<Peer>,
) -> Result<Session, ConnectError> {
    let own = core.identity.current();
    let expected = match expected {
        Some(peer) => Expected::Peer(Arc::clone(&own), peer),
        None => Expected::AnyMember(Arc::clone(&own)),
    };
    let check = AcceptorCheck::new(expected);
    let tls = tls::session_dialler(&own, Arc::clone(&check));
    let quic = connect(&core.quic, tls, core.options.idle_timeout, addr, &check).await?;
    let connection = Connection::new(quic, Arc::clone(&core.closing));
    let theirs = peer_certificate(&connection.quic).ok_or_else(|| ConnectError::Untrusted {
        addr,
        detail: "it showed no certificate".into(),
    })?;
    if core.revoked.borrow().covers(&theirs) {
        connection.close(CloseReason::Revoked);
        return Err(ConnectError::Untrusted { addr, detail: "its identity was revoked".into() });
    }
    let version = greet(core, &own, &connection, addr).await?;
    Ok(Session::start(Agreement {
        connection,
        version,
        theirs,
        identity: Arc::clone(&core.identity),
        shown: own.serial(),
        revoked: Arc::clone(&core.revoked),
    }))
}

/// The QUIC and TLS handshakes.
pub(crate) async fn connect(
    endpoint: &driver::Endpoint,
    tls: rustls::ClientConfig,
    idle_timeout: Duration,
    addr: SocketAddr,
    check: &AcceptorCheck,
) -> Result<driver::Connection, ConnectError> {
    let connecting = endpoint
        .connect(quic::client_config(tls.clone(), idle_timeout), addr, SERVER_NAME, tls)
        .map_err(|error| ConnectError::Unreachable { addr, detail: error.to_string() })?;
    connecting.established().await.map_err(|error| match check.problem() {
        Some(problem) => ConnectError::Untrusted { addr, detail: problem.to_string() },
        None => ConnectError::Unreachable { addr, detail: error.to_string() },
    })
}

/// Says hello and reads the answer.
async fn greet(
    core: &Core,
    own: &Identity,
    connection: &Connection,
    addr: SocketAddr,
) -> Result<Version, ConnectError> {
    let broken = |error: &ConnectionError| broken(connection, addr, error);
    let (send, recv) =
        connection.quic.open_bi(Class::Command).await.map_err(|error| broken(&error))?;
    let hello = Hello {
        versions: core.options.versions,
        cluster: own.cluster(),
        software: core.options.software.clone(),
    };
    let violation = |detail: &dyn std::fmt::Display| {
        let detail = detail.to_string();
        connection.close(CloseReason::Violation(detail.clone()));
        ConnectError::Violation { addr, detail }
    };
    let frame = framed(None, &hello).map_err(|error| violation(&error))?;
    let mut writer = FrameWriter::new(send);
    let mut reader = FrameReader::new(recv, HELLO_BYTES_MAX);
    // When the write fails, reading tells why.
    if writer.write(frame).await.is_ok() {
        writer.finish();
    }
    let answer =
        reader.expect_frame().await.map_err(|failure| match connection.quic.close_reason() {
            Some(error) => broken(&error),
            None => violation(&failure),
        })?;
    match codec::decode(&answer, HELLO_BYTES_MAX).map_err(|error| violation(&error))? {
        HelloAnswer::Welcome { version, software } => {
            let offered = core.options.versions;
            if !(offered.oldest..=offered.newest).contains(&version) {
                return Err(violation(&format_args!("it chose {version}, which was not offered")));
            }
            tracing::debug!(%addr, %version, %software, "session is up");
            Ok(version)
        }
        HelloAnswer::Refused(refusal) => {
            connection.close(CloseReason::Finished);
            Err(ConnectError::Refused { addr, refusal })
        }
    }
}

/// Why the connection broke between TLS and the hello's answer. In TLS 1.3 that is also where a
/// peer tells that it does not like our certificate.
fn broken(connection: &Connection, addr: SocketAddr, error: &ConnectionError) -> ConnectError {
    if let ConnectionError::ConnectionClosed(close) = error
        && is_certificate_alert(close.error_code.into())
    {
        let detail = String::from_utf8_lossy(&close.reason).into_owned();
        return ConnectError::NotAccepted { addr, detail };
    }
    match connection.explain(error.clone()) {
        SessionError::Closed(CloseReason::Revoked) => {
            ConnectError::Refused { addr, refusal: HelloRefusal::Revoked }
        }
        SessionError::Closed(reason @ CloseReason::Violation(_)) => {
            ConnectError::Violation { addr, detail: reason.to_string() }
        }
        SessionError::Closed(reason) => {
            ConnectError::NotAccepted { addr, detail: reason.to_string() }
        }
        other => ConnectError::Unreachable { addr, detail: other.to_string() },
    }
}

/// TLS alerts about certificates (RFC 8446 section 6: 42 to 49, 116), as QUIC error codes.
fn is_certificate_alert(code: u64) -> bool {
    matches!(code.checked_sub(0x100), Some(42..=49 | 51 | 116))
}
