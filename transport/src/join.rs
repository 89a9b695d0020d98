//! A newcomer's only exchange: token and key request in, certificate out.
//!
//! The newcomer knows the CA by its fingerprint, so it tells its token's secret to nobody but a
//! member of that cluster. The member knows nothing of the newcomer but what the request proves.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use novacron_protocol::ClusterId;
use novacron_protocol::codec;
use novacron_protocol::join_token::JoinToken;
use novacron_protocol::limits::HELLO_BYTES_MAX;
use novacron_protocol::wire::Class;
use novacron_protocol::wire::join::{JoinAnswer, JoinRefusal, JoinRequest};

use crate::authority::fingerprint;
use crate::close::CloseReason;
use crate::endpoint::{ConnectError, dial};
use crate::session::SessionError;
use crate::session::connection::Connection;
use crate::session::reader::FrameReader;
use crate::session::writer::{FrameWriter, framed};
use crate::tls::{self, AcceptorCheck, Expected};
use crate::{driver, quic};

/// Why a join got no answer. (A refusal is an answer.)
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JoinError {
    /// Try another member, or again.
    #[error("cannot reach {addr}: {detail}")]
    Unreachable { addr: SocketAddr, detail: String },
    /// Whoever answers there is not the cluster that the token is for. Do not try again.
    #[error("{addr} is not the token's cluster: {detail}")]
    WrongCluster { addr: SocketAddr, detail: String },
    #[error("{addr} broke the protocol: {detail}")]
    Violation { addr: SocketAddr, detail: String },
}

/// A newcomer that waits for its answer. Dropped without one, the newcomer sees its connection
/// end and tries again.
#[derive(Debug)]
pub struct JoinExchange {
    request: JoinRequest,
    answer: FrameWriter,
    connection: Arc<Connection>,
}

/// A join must be answered after this long: the token's use is a replicated command.
const JOIN_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a member waits until the newcomer has read its answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
const IDLE_TIMEOUT: Duration = Duration::from_secs(10);

impl JoinExchange {
    /// Reads a newcomer's request.
    pub(crate) async fn receive(connection: Arc<Connection>) -> Result<Self, SessionError> {
        let opened = connection.quic.accept_bi(Class::Command).await;
        let (send, recv) = opened.map_err(|error| connection.explain(error))?;
        let mut reader = FrameReader::new(recv, HELLO_BYTES_MAX);
        let frame = reader.expect_frame().await.map_err(|failure| connection.blame(failure))?;
        let request =
            codec::decode(&frame, HELLO_BYTES_MAX).map_err(|error| connection.blame(error))?;
        Ok(Self { request, answer: FrameWriter::new(send), connection })
    }

    pub fn request(&self) -> &JoinRequest {
        &self.request
    }

    pub fn remote_addr(&self) -> SocketAddr {
        self.connection.quic.remote_address()
    }

    /// Answers, and waits until the newcomer has the answer.
    pub async fn answer(mut self, answer: &JoinAnswer) -> Result<(), JoinError> {
        let addr = self.remote_addr();
        let frame = framed(None, answer)
            .map_err(|error| JoinError::Violation { addr, detail: error.to_string() })?;
        let gone = |detail: &str| JoinError::Unreachable { addr, detail: detail.into() };
        self.answer.write(frame).await.map_err(|error| gone(&error.to_string()))?;
        self.answer.finish();
        tokio::time::timeout(ANSWER_TIMEOUT, self.answer.settled())
            .await
            .map_err(|_| gone("the newcomer went away"))
    }
}

impl Drop for JoinExchange {
    fn drop(&mut self) {
        self.connection.close(CloseReason::Finished);
    }
}

/// Asks the member at `addr`, which must show a certificate of the CA that the token pins. The
/// answer's CA and cluster are the token's.
pub async fn join(
    addr: SocketAddr,
    token: &JoinToken,
    request: &JoinRequest,
) -> Result<JoinAnswer, JoinError> {
    tokio::time::timeout(JOIN_TIMEOUT, ask(addr, token, request)).await.unwrap_or_else(|_| {
        Err(JoinError::Unreachable { addr, detail: format!("no answer within {JOIN_TIMEOUT:?}") })
    })
}

/// Asks the token's members in turn until one answers something else than
/// [`JoinRefusal::Unavailable`].
pub async fn join_any(token: &JoinToken, request: &JoinRequest) -> Result<JoinAnswer, JoinError> {
    let mut last = None;
    for addr in &token.members {
        match join(*addr, token, request).await {
            busy @ Ok(JoinAnswer::Refused(JoinRefusal::Unavailable(_))) => last = Some(busy),
            Ok(answer) => return Ok(answer),
            Err(error) => {
                tracing::info!(%addr, "cannot join: {error}");
                last = last.filter(Result::is_ok).or(Some(Err(error)));
            }
        }
    }
    last.expect("a token names at least one member")
}

async fn ask(
    addr: SocketAddr,
    token: &JoinToken,
    request: &JoinRequest,
) -> Result<JoinAnswer, JoinError> {
    let violation =
        |detail: &dyn std::fmt::Display| JoinError::Violation { addr, detail: detail.to_string() };
    let connection = connect(addr, token).await?;
    let lost = |error: quinn::ConnectionError| JoinError::Unreachable {
        addr,
        detail: connection.explain(error).to_string(),
    };
    let (send, recv) = connection.quic.open_bi(Class::Command).await.map_err(lost)?;
    let mut writer = FrameWriter::new(send);
    let mut reader = FrameReader::new(recv, HELLO_BYTES_MAX);
    let frame = framed(None, request).map_err(|error| violation(&error))?;
    // When the write fails, reading tells why.
    if writer.write(frame).await.is_ok() {
        writer.finish();
    }
    let answer =
        reader.expect_frame().await.map_err(|failure| match connection.quic.close_reason() {
            Some(error) => lost(error),
            None => violation(&failure),
        })?;
    let answer = codec::decode(&answer, HELLO_BYTES_MAX).map_err(|error| violation(&error))?;
    connection.close(CloseReason::Finished);
    match named_cluster(&answer) {
        Some((cluster, ca))
            if cluster != token.cluster || fingerprint(ca) != token.ca_fingerprint =>
        {
            Err(violation(&"its answer is for another cluster than its certificate"))
        }
        _ => Ok(answer),
    }
}

/// A connection from a socket of its own: a newcomer has no endpoint yet.
async fn connect(addr: SocketAddr, token: &JoinToken) -> Result<Arc<Connection>, JoinError> {
    let unreachable = |detail: String| JoinError::Unreachable { addr, detail };
    let local: SocketAddr = match addr {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let endpoint = quic::socket(local)
        .and_then(|socket| driver::Endpoint::new(quinn::EndpointConfig::default(), None, socket))
        .map_err(|error| unreachable(error.to_string()))?;
    let expected = Expected::Pinned { cluster: token.cluster, fingerprint: token.ca_fingerprint };
    let check = AcceptorCheck::new(expected);
    let tls = tls::join_dialler(Arc::clone(&check));
    match dial::connect(&endpoint, tls, IDLE_TIMEOUT, addr, &check).await {
        Ok(quic) => Ok(Connection::new(quic, Arc::new(OnceLock::new()))),
        Err(ConnectError::Untrusted { detail, .. }) => {
            Err(JoinError::WrongCluster { addr, detail })
        }
        Err(ConnectError::Unreachable { detail, .. }) => Err(unreachable(detail)),
        Err(other) => Err(unreachable(other.to_string())),
    }
}

fn named_cluster(answer: &JoinAnswer) -> Option<(ClusterId, &[u8])> {
    match answer {
        JoinAnswer::Host(welcome) => Some((welcome.cluster, &welcome.ca)),
        JoinAnswer::Member(welcome) => Some((welcome.cluster, &welcome.ca)),
        JoinAnswer::Refused(_) => None,
    }
}
