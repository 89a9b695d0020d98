//! Takes in sessions and newcomers.
//!
//! A stranger gets a narrow connection, ten seconds, and one frame; only a hello from a peer with
//! a certificate of this cluster opens it up.

use std::sync::Arc;
use std::time::Duration;

use novacron_protocol::limits::HELLO_BYTES_MAX;
use novacron_protocol::version::{ALPN_JOIN, ALPN_SESSION, Version};
use novacron_protocol::wire::Class;
use novacron_protocol::wire::hello::HelloAnswer;
use quinn::crypto::rustls::HandshakeData;
use rustls_pki_types::CertificateDer;
use tokio::sync::{Semaphore, mpsc};

use super::roster::Roster;
use super::{Core, Incoming, Refused, hello};
use crate::certificate::PeerCertificate;
use crate::close::CloseReason;
use crate::driver::{self, SendStream};
use crate::join::JoinExchange;
use crate::quic::open_up;
use crate::session::connection::Connection;
use crate::session::reader::FrameReader;
use crate::session::writer::{FrameWriter, framed};
use crate::session::{Agreement, Session, SessionError};

/// Handshakes in progress. At the bound newcomers are refused and try again.
const HANDSHAKES_MAX: usize = 512;
/// With more handshakes than this, newcomers must first prove that their address is theirs.
const HANDSHAKES_UNPROVEN_MAX: usize = 128;
/// A newcomer must have said who it is after this long.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a refused peer may take to read why.
const REFUSAL_TIMEOUT: Duration = Duration::from_secs(1);

/// The accepting half of an endpoint.
#[derive(Debug)]
pub(super) struct Acceptor {
    core: Arc<Core>,
    roster: Roster,
    incoming_tx: mpsc::Sender<Incoming>,
    handshakes: Arc<Semaphore>,
}

impl Acceptor {
    pub(super) fn new(core: Arc<Core>, incoming_tx: mpsc::Sender<Incoming>) -> Self {
        let handshakes = Arc::new(Semaphore::new(HANDSHAKES_MAX));
        Self { core, roster: Roster::default(), incoming_tx, handshakes }
    }

    /// Runs until the endpoint is closed.
    pub(super) async fn run(self) {
        let this = Arc::new(self);
        while let Some(incoming) = this.core.quic.accept().await {
            let in_progress = HANDSHAKES_MAX - this.handshakes.available_permits();
            if in_progress > HANDSHAKES_UNPROVEN_MAX && incoming.may_retry() {
                incoming.retry();
                continue;
            }
            let Ok(turn) = Arc::clone(&this.handshakes).try_acquire_owned() else {
                // Dropped undecided, it is refused.
                continue;
            };
            let this = Arc::clone(&this);
            tokio::spawn(async move {
                let from = incoming.remote_address();
                let admitted = tokio::time::timeout(HANDSHAKE_TIMEOUT, this.admit(incoming)).await;
                match admitted {
                    // Fails only when the endpoint is gone, and with it who came in.
                    Ok(Ok(incoming)) => drop(this.incoming_tx.send(incoming).await),
                    Ok(Err(error)) => {
                        tracing::info!(%from, "refused: {error}");
                        if let SessionError::Closed(reason) = error {
                            // For the record only: at the queue's bound it is let go.
                            let refused = Incoming::Refused(Refused { from, reason });
                            let _ = this.incoming_tx.try_send(refused);
                        }
                    }
                    Err(_) => tracing::info!(%from, "refused: too slow"),
                }
                drop(turn);
            });
        }
    }

    async fn admit(&self, incoming: driver::Incoming) -> Result<Incoming, SessionError> {
        let lost = |error: quinn::ConnectionError| SessionError::Lost(error.to_string());
        let shown = self.core.identity.current().serial();
        let quic = match incoming.accept().map_err(lost)?.established().await {
            Ok(quic) => quic,
            // TLS did not believe what it was shown.
            Err(quinn::ConnectionError::TransportError(error)) => {
                return Err(SessionError::Closed(CloseReason::Violation(error.to_string())));
            }
            Err(error) => return Err(lost(error)),
        };
        let connection = Connection::new(quic, Arc::clone(&self.core.closing));
        match alpn(&connection.quic).as_deref() {
            Some(ALPN_JOIN) => JoinExchange::receive(connection).await.map(Incoming::Join),
            Some(ALPN_SESSION) => {
                let Some(theirs) = peer_certificate(&connection.quic) else {
                    return Err(refuse(&connection, CloseReason::NoCertificate));
                };
                let version = self.greet(&connection, &theirs).await?;
                open_up(&connection.quic);
                self.roster.enter(theirs.peer, &connection);
                let identity = Arc::clone(&self.core.identity);
                let revoked = Arc::clone(&self.core.revoked);
                let agreement = Agreement { connection, version, theirs, identity, shown, revoked };
                Ok(Incoming::Session(Session::start(agreement)))
            }
            _ => Err(connection.blame("no known ALPN name")),
        }
    }

    /// Reads the hello and answers it.
    async fn greet(
        &self,
        connection: &Connection,
        theirs: &PeerCertificate,
    ) -> Result<Version, SessionError> {
        let opened = connection.quic.accept_bi(Class::Command).await;
        let (send, recv) = opened.map_err(|error| connection.explain(error))?;
        let mut reader = FrameReader::new(recv, HELLO_BYTES_MAX);
        let frame = reader.expect_frame().await.map_err(|failure| connection.blame(failure))?;
        let fixed = hello::decode_fixed_fields(&frame).map_err(|error| connection.blame(error))?;
        let ours = (self.core.options.versions, self.core.identity.current().cluster());
        let verdict = hello::judge(fixed, ours, || self.core.revoked.borrow().covers(theirs));
        let answer = match &verdict {
            Ok(version) => HelloAnswer::Welcome {
                version: *version,
                software: self.core.options.software.clone(),
            },
            Err(refusal) => HelloAnswer::Refused(refusal.clone()),
        };
        let writer = answer_hello(connection, send, &answer).await?;
        match verdict {
            Ok(version) => Ok(version),
            Err(refusal) => {
                // Let the answer arrive before the close overtakes it.
                let _ = tokio::time::timeout(REFUSAL_TIMEOUT, writer.settled()).await;
                tracing::info!(peer = %theirs.peer, %refusal, "refused a session");
                Err(refuse(connection, CloseReason::from(&refusal)))
            }
        }
    }
}

async fn answer_hello(
    connection: &Connection,
    send: SendStream,
    answer: &HelloAnswer,
) -> Result<FrameWriter, SessionError> {
    let mut writer = FrameWriter::new(send);
    let gone = || connection.ended().unwrap_or(SessionError::Unanswered);
    writer.write(framed(None, answer)?).await.map_err(|_| gone())?;
    writer.finish();
    Ok(writer)
}

fn refuse(connection: &Connection, reason: CloseReason) -> SessionError {
    connection.close(reason.clone());
    SessionError::Closed(reason)
}

fn alpn(quic: &driver::Connection) -> Option<Vec<u8>> {
    quic.handshake_data()?.downcast::<HandshakeData>().ok()?.protocol
}

/// What the peer's certificate says. TLS has checked it; a newcomer has none.
pub(super) fn peer_certificate(quic: &driver::Connection) -> Option<PeerCertificate> {
    let chain = quic.peer_identity()?.downcast::<Vec<CertificateDer<'static>>>().ok()?;
    PeerCertificate::from_der(chain.first()?).ok()
}
