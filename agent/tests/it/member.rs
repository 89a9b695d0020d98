//! A control plane of one member, played by the test.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use novacron_hde::delta::{Signature, encode_once};
use novacron_hde::telemetry::BatchDecoder;
use novacron_protocol::join_token::{JoinRole, JoinToken, Secret};
use novacron_protocol::limits::FRAME_BYTES_MAX;
use novacron_protocol::vm::{DesiredSet, DesiredVm, ObservedVm};
use novacron_protocol::wire::Class;
use novacron_protocol::wire::agent::{FromAgent, Report, ToAgent};
use novacron_protocol::wire::call::{CallRefusal, Request, Response};
use novacron_protocol::wire::join::{HostWelcome, JoinAnswer, MemberAddress};
use novacron_protocol::{ClusterId, Digest, Generation, HostId, MemberId, Term, TokenId, codec};
use novacron_transport::{
    ClusterAuthority, Endpoint, EndpointOptions, IdentityStore, Incoming, KeyRequest, Session,
};
use tokio::time::timeout;
use uuid::Uuid;

/// Long enough for a loaded machine; a test that waits this long has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
const LIFE: Duration = Duration::from_secs(3600);
const ME: MemberId = MemberId(1);
/// The host that agents become.
pub(crate) const HOST: u128 = 9;

pub(crate) struct Member {
    endpoint: Endpoint,
    authority: ClusterAuthority,
    cluster: ClusterId,
    pub(crate) blobs: Arc<Mutex<HashMap<Digest, Bytes>>>,
    /// Of blobs, in whichever form.
    pub(crate) sent_bytes: Arc<AtomicUsize>,
}

impl Member {
    pub(crate) fn start() -> Self {
        let cluster = ClusterId::from_uuid(Uuid::from_u128(7));
        let authority = ClusterAuthority::create(cluster).unwrap();
        let key = KeyRequest::generate().unwrap();
        let certificate = authority.sign_member(key.csr(), ME, &[], LIFE).unwrap();
        let identity = key.into_identity(&certificate, authority.certificate()).unwrap();
        let store = IdentityStore::new(identity);
        let addr = "127.0.0.1:0".parse().unwrap();
        let endpoint = Endpoint::bind(addr, store, EndpointOptions::default()).unwrap();
        Self { endpoint, authority, cluster, blobs: Arc::default(), sent_bytes: Arc::default() }
    }

    pub(crate) fn token(&self) -> JoinToken {
        JoinToken {
            cluster: self.cluster,
            role: JoinRole::Host,
            id: TokenId::from_uuid(Uuid::from_u128(1)),
            secret: Secret([1; 32]),
            ca_fingerprint: self.authority.fingerprint(),
            members: vec![self.endpoint.local_addr()],
        }
    }

    /// Lets the next newcomer in as `host`.
    pub(crate) async fn let_in(&self, host: u128) {
        let incoming = timeout(PATIENCE, self.endpoint.accept()).await.unwrap();
        let Some(Incoming::Join(exchange)) = incoming else { panic!("{incoming:?}") };
        let host = HostId::from_uuid(Uuid::from_u128(host));
        let csr = &exchange.request().csr;
        let certificate = self.authority.sign_host(csr, host, LIFE).unwrap();
        let welcome = HostWelcome {
            cluster: self.cluster,
            host,
            certificate,
            ca: self.authority.certificate().to_vec(),
            members: self.addresses(),
        };
        // A newcomer that has its answer hangs up, which may be heard first; it says how it went.
        let _ = exchange.answer(&JoinAnswer::Host(welcome)).await;
    }

    /// The next agent that connects, told that this member leads in `term`.
    pub(crate) async fn accept(&self, term: u64) -> Agent {
        let incoming = timeout(PATIENCE, self.endpoint.accept()).await.unwrap();
        let Some(Incoming::Session(session)) = incoming else { panic!("{incoming:?}") };
        let (blobs, sent_bytes) = (Arc::clone(&self.blobs), Arc::clone(&self.sent_bytes));
        tokio::spawn(answer(session.clone(), blobs, sent_bytes));
        let agent = Agent { session, samples: Mutex::default() };
        agent.say(ToAgent::Leadership { term: Term(term), leader: Some(ME) }).await;
        agent.say(ToAgent::Members(self.addresses())).await;
        agent
    }

    fn addresses(&self) -> Vec<MemberAddress> {
        vec![MemberAddress { id: ME, cluster: self.endpoint.local_addr() }]
    }
}

/// An agent as its leader sees it.
pub(crate) struct Agent {
    pub(crate) session: Session,
    samples: Mutex<BatchDecoder>,
}

impl Agent {
    pub(crate) async fn say(&self, message: ToAgent) {
        self.session.send(Class::Command, &message).await.unwrap();
    }

    pub(crate) async fn desire(&self, generation: u64, vms: &[DesiredVm]) {
        let set = DesiredSet { generation: Generation(generation), vms: vms.to_vec() };
        self.say(ToAgent::Desired(set)).await;
    }

    /// The next message for which `wanted` gives something.
    pub(crate) async fn hear<T>(&self, wanted: impl Fn(FromAgent) -> Option<T>) -> T {
        let heard = async {
            loop {
                let (_, bytes) = self.session.recv().await.unwrap();
                let message = match codec::decode(&bytes, FRAME_BYTES_MAX).unwrap() {
                    FromAgent::CodedTelemetry(coded) => {
                        let batch = self.samples.lock().unwrap().decode(&coded).unwrap();
                        FromAgent::Telemetry(batch)
                    }
                    FromAgent::Telemetry(_) => panic!("a member of this version takes less"),
                    other => other,
                };
                if let Some(found) = wanted(message) {
                    return found;
                }
            }
        };
        timeout(PATIENCE, heard).await.expect("the agent did not say it")
    }

    /// The first report of `generation` in which the first VM is as `wanted`.
    pub(crate) async fn report(
        &self,
        generation: u64,
        wanted: impl Fn(&ObservedVm) -> bool,
    ) -> Report {
        self.hear(|message| match message {
            FromAgent::Report(report) => {
                let fits = report.generation == Generation(generation);
                (fits && report.vms.first().is_some_and(&wanted)).then_some(report)
            }
            _ => None,
        })
        .await
    }
}

async fn answer(
    session: Session,
    blobs: Arc<Mutex<HashMap<Digest, Bytes>>>,
    sent_bytes: Arc<AtomicUsize>,
) {
    while let Ok(call) = session.accept_call().await {
        let (digest, signature) = match call.request() {
            Request::Blob { digest } => (digest, None),
            Request::CodedBlob { digest, signature } => {
                (digest, Some(Signature::decode(signature).unwrap()))
            }
            other => panic!("{other:?}"),
        };
        let blob = blobs.lock().unwrap().get(digest).cloned();
        let answered = match (blob, signature) {
            (Some(blob), Some(signature)) if !signature.is_empty() => {
                let content = Bytes::from(zstd::decode_all(&blob[..]).unwrap());
                let coded = encode_once(signature, &content, 1e7);
                sent_bytes.fetch_add(coded.len(), Ordering::SeqCst);
                let response = Response::CodedBlob { coded_len: coded.len() as u64 };
                call.respond_with_bytes(&response, coded).await
            }
            (Some(blob), _) => {
                sent_bytes.fetch_add(blob.len(), Ordering::SeqCst);
                let response = Response::Blob { stored_len: blob.len() as u64 };
                call.respond_with_bytes(&response, blob).await
            }
            (None, _) => {
                let refusal = CallRefusal::NotFound("blob".to_owned());
                call.respond(&Response::Refused(refusal)).await
            }
        };
        if answered.is_err() {
            return;
        }
    }
}
