//! Sessions that come in: newcomers, agents, other members.

use std::sync::Arc;
use std::time::Duration;

use novacron_controlplane_core::Actor;
use novacron_hde::telemetry::{BatchDecoder, BatchError};
use novacron_protocol::codec;
use novacron_protocol::limits::{FRAME_BYTES_MAX, RECORD_BYTES_MAX};
use novacron_protocol::wire::Class;
use novacron_protocol::wire::agent::{FromAgent, ToAgent};
use novacron_protocol::wire::call::{CallRefusal, Request, Response};
use novacron_protocol::wire::hello::Peer;
use novacron_protocol::wire::join::MemberAddress;
use novacron_protocol::wire::member::FromMember;
use novacron_protocol::wire::raft::Message;
use novacron_protocol::{HostId, MemberId, Term};
use novacron_transport::{CloseReason, Endpoint, Incoming, IncomingCall, Session, SessionError};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::timeout;

use crate::admission::{Admission, addresses};
use crate::audit::Auditor;
use crate::blobs::BlobStore;
use crate::cluster::Cluster;
use crate::leader::{Heard, Word};
use crate::peers::Peers;
use crate::raft::{Handle, SnapshotRefusal};
use crate::telemetry::MetricStore;

/// Joins that are answered at once; more wait. Each is a replicated command.
const JOINS_AT_ONCE: usize = 16;
/// Calls of one peer that are answered at once; more wait.
const CALLS_AT_ONCE: usize = 64;
/// A snapshot body that stops arriving is given up.
const SNAPSHOT_PATIENCE: Duration = Duration::from_secs(300);

/// What answering peers needs.
#[derive(Debug, Clone)]
pub struct Sessions {
    pub cluster: Cluster,
    pub raft: Handle,
    pub peers: Peers,
    pub admission: Admission,
    pub auditor: Auditor,
    pub blobs: BlobStore,
    pub metrics: MetricStore,
    pub heard: mpsc::Sender<Heard>,
    pub briefing: watch::Receiver<Briefing>,
}

/// What every agent is told, at connect and on change.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Briefing {
    leadership: (Term, Option<MemberId>),
    members: Vec<MemberAddress>,
}

impl Briefing {
    /// Follows the cluster, so that sessions wake only for what concerns them.
    pub fn follow(cluster: Cluster) -> watch::Receiver<Self> {
        let (briefing_tx, briefing) = watch::channel(Self::default());
        tokio::spawn(async move {
            let (mut status, mut states) = (cluster.watch_status(), cluster.watch());
            loop {
                let now = *status.borrow_and_update();
                let members = addresses(&states.borrow_and_update());
                let next = Self { leadership: (now.term, now.leader), members };
                briefing_tx.send_if_modified(|current| {
                    let changed = *current != next;
                    *current = next;
                    changed
                });
                let changed = tokio::select! {
                    changed = status.changed() => changed,
                    changed = states.changed() => changed,
                };
                if changed.is_err() {
                    return;
                }
            }
        });
        briefing
    }
}

impl Sessions {
    /// Serves whoever comes in until the endpoint closes.
    pub async fn run(self, endpoint: Endpoint) {
        let joins = Arc::new(Semaphore::new(JOINS_AT_ONCE));
        while let Some(incoming) = endpoint.accept().await {
            match incoming {
                Incoming::Session(session) => {
                    tokio::spawn(self.clone().serve(session));
                }
                Incoming::Refused(refused) => {
                    let actor = Actor::Unknown { address: refused.from.ip().to_string() };
                    self.auditor.record(actor, "session", refused.reason.to_string());
                }
                Incoming::Join(exchange) => {
                    let (admission, joins) = (self.admission.clone(), Arc::clone(&joins));
                    tokio::spawn(async move {
                        if let Ok(_turn) = joins.acquire().await {
                            admission.handle(exchange).await;
                        }
                    });
                }
            }
        }
    }

    async fn serve(self, session: Session) {
        let peer = session.peer();
        tracing::debug!(%peer, addr = %session.remote_addr(), "session up");
        let calls = self.serve_calls(&session);
        let end = match peer {
            Peer::Member(id) => tokio::select! {
                end = self.hear_member(&session, id) => end,
                end = calls => end,
            },
            Peer::Host(id) => {
                self.peers.insert(session.clone());
                let end = tokio::select! {
                    end = self.hear_agent(&session, id) => end,
                    end = self.brief_agent(&session) => end,
                    end = calls => end,
                };
                self.peers.remove(&session);
                end
            }
        };
        tracing::debug!(%peer, %end, "session ended");
    }

    async fn hear_member(&self, session: &Session, id: MemberId) -> SessionError {
        loop {
            let bytes = match session.recv().await {
                Ok((_, bytes)) => bytes,
                Err(end) => return end,
            };
            match codec::decode::<FromMember>(&bytes, FRAME_BYTES_MAX) {
                Ok(FromMember::Raft(message)) if message.from == id => {
                    self.raft.handle_message(message);
                }
                Ok(FromMember::Raft(_)) => {
                    return violation(session, "a member speaks in another's name");
                }
                Err(error) => return violation(session, &error.to_string()),
            }
        }
    }

    async fn hear_agent(&self, session: &Session, host: HostId) -> SessionError {
        let mut samples = BatchDecoder::default();
        loop {
            let bytes = match session.recv().await {
                Ok((_, bytes)) => bytes,
                Err(end) => return end,
            };
            let word = match FromAgent::open(&bytes) {
                Ok(FromAgent::Telemetry(batch)) => {
                    self.metrics.push(host, batch);
                    continue;
                }
                Ok(FromAgent::CodedTelemetry(message)) => match samples.decode(&message) {
                    Ok(batch) => {
                        self.metrics.push(host, batch);
                        continue;
                    }
                    // The agent gave one up that did not fit its queue.
                    Err(BatchError::OutOfStep) => continue,
                    Err(error) => return violation(session, &error.to_string()),
                },
                Ok(FromAgent::Heartbeat(_)) => Word::Heartbeat,
                Ok(FromAgent::Inventory(inventory)) => Word::Inventory(inventory),
                Ok(FromAgent::Report(report)) => Word::Report(report),
                Err(error) => return violation(session, &error.to_string()),
            };
            if self.heard.send(Heard { host, word }).await.is_err() {
                return session.closed().await;
            }
        }
    }

    /// Keeps an agent informed of who leads and where the members are.
    async fn brief_agent(&self, session: &Session) -> SessionError {
        let mut briefing = self.briefing.clone();
        let mut told = Briefing::default();
        loop {
            let now = briefing.borrow_and_update().clone();
            if told.leadership != now.leadership {
                let (term, leader) = now.leadership;
                let word = ToAgent::Leadership { term, leader };
                if let Err(end) = session.send(Class::Command, &word).await {
                    return end;
                }
            }
            if told.members != now.members {
                let word = ToAgent::Members(now.members.clone());
                if let Err(end) = session.send(Class::Command, &word).await {
                    return end;
                }
            }
            told = now;
            if briefing.changed().await.is_err() {
                return session.closed().await;
            }
        }
    }

    async fn serve_calls(&self, session: &Session) -> SessionError {
        let turns = Arc::new(Semaphore::new(CALLS_AT_ONCE));
        loop {
            let turn = Arc::clone(&turns).acquire_owned().await;
            match session.accept_call().await {
                Ok(call) => {
                    let (sessions, session) = (self.clone(), session.clone());
                    tokio::spawn(async move {
                        let peer = session.peer();
                        if let Err(error) = sessions.answer(&session, call).await {
                            tracing::debug!(%peer, %error, "call not answered");
                        }
                        drop(turn);
                    });
                }
                Err(end) => return end,
            }
        }
    }

    async fn answer(self, session: &Session, mut call: IncomingCall) -> Result<(), SessionError> {
        let (peer, request) = (session.peer(), call.request().clone());
        let response = match (request, peer) {
            (Request::RenewCertificate { csr }, _) => self.renew(peer, &csr),
            (Request::Blob { digest }, _) => return self.blobs.answer(call, digest).await,
            (Request::CodedBlob { digest, signature }, _) => {
                let stats = session.stats();
                // Before the first sample the window says at least what may leave in a round trip.
                let window =
                    stats.congestion_window_bytes as f64 / stats.rtt.as_secs_f64().max(1e-6);
                let known = stats.bandwidth.0 as f64 / 8.0;
                let bytes_per_s = if known > 0.0 { known } else { window };
                return self.blobs.answer_coded(call, digest, &signature, bytes_per_s).await;
            }
            (Request::Propose { command }, Peer::Member(_)) => {
                self.cluster.answer_proposal(command).await
            }
            (Request::Metrics { host, since }, Peer::Member(_)) => {
                Response::Metrics(self.metrics.range(host, since))
            }
            (Request::InstallSnapshot { message, state_len }, Peer::Member(id)) => {
                self.install(id, *message, state_len, &mut call).await
            }
            _ => refuse(CallRefusal::Forbidden(format!("{peer} may not ask this"))),
        };
        call.respond(&response).await
    }

    fn renew(&self, peer: Peer, csr: &[u8]) -> Response {
        let signed = match peer {
            Peer::Host(host) => self.admission.renew_host(csr, host),
            Peer::Member(member) => self.admission.renew_member(csr, member),
        };
        match signed {
            Ok(certificate) => Response::Certificate { certificate },
            Err(detail) => refuse(CallRefusal::Rejected(detail)),
        }
    }

    async fn install(
        &self,
        from: MemberId,
        message: Message,
        state_len: u64,
        call: &mut IncomingCall,
    ) -> Response {
        let len = usize::try_from(state_len).unwrap_or(usize::MAX);
        if message.from != from || message.snapshot.is_none() || len > RECORD_BYTES_MAX {
            return refuse(CallRefusal::Rejected("not a snapshot this member can take".into()));
        }
        match timeout(SNAPSHOT_PATIENCE, call.body().read_exactly(len)).await {
            Ok(Ok(state)) => match self.raft.handle_snapshot(message, state).await {
                Ok(()) => Response::Done,
                Err(refusal @ SnapshotRefusal::Unusable(_)) => {
                    refuse(CallRefusal::Rejected(refusal.to_string()))
                }
                Err(refusal) => refuse(CallRefusal::Unavailable(refusal.to_string())),
            },
            Ok(Err(error)) => refuse(CallRefusal::Rejected(error.to_string())),
            Err(_) => refuse(CallRefusal::Unavailable("the snapshot took too long".into())),
        }
    }
}

fn refuse(refusal: CallRefusal) -> Response {
    Response::Refused(refusal)
}

fn violation(session: &Session, detail: &str) -> SessionError {
    let reason = CloseReason::Violation(detail.to_owned());
    tracing::warn!(peer = %session.peer(), %detail, "session closed");
    session.close(reason.clone());
    SessionError::Closed(reason)
}
