//! The links to all members: what they say goes to the event loop, what they ask is answered here.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use novacron_hde::delta::{self, Cut, Signature};
use novacron_protocol::image::Chunk;
use novacron_protocol::limits::FRAME_BYTES_MAX;
use novacron_protocol::version::DIFFERENCES;
use novacron_protocol::wire::Class;
use novacron_protocol::wire::agent::ToAgent;
use novacron_protocol::wire::call::{CallRefusal, Request, Response};
use novacron_protocol::wire::join::MemberAddress;
use novacron_protocol::{Digest, MemberId, VmId, codec};
use novacron_transport::renew::{self, RenewError};
use novacron_transport::{
    Body, CloseReason, Endpoint, EndpointOptions, IdentityStore, IncomingCall, LinkEvent, Links,
    Session, SessionError,
};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::spawn_blocking;
use uuid::Uuid;

use crate::images::{Blob, BlobSource, ImageError, stored_max};
use crate::vm_files::VmFiles;

/// Links to the members, and what may be asked over them.
#[derive(Debug)]
pub struct Uplink {
    endpoint: Endpoint,
    links: Arc<Links>,
    vms: VmFiles,
    words_tx: mpsc::Sender<Word>,
}

/// Something that a member said.
#[derive(Debug)]
pub struct Word {
    pub from: MemberId,
    pub message: ToAgent,
}

/// Words that wait for the event loop. At the bound the sessions' readers wait, and then their
/// senders.
const WORDS_MAX: usize = 64;
/// Calls of one member that are answered at once; more wait in its session.
const CALLS_AT_ONCE: usize = 8;
/// A blob that takes longer than this to arrive is asked for elsewhere: 1 MiB at 150 kbit/s.
const BLOB_TIMEOUT: Duration = Duration::from_secs(60);
/// How long members may take to hear that the agent goes.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

impl Uplink {
    /// Begins to dial `members`. Events of links and words of members come out of the receivers.
    pub fn start(
        identity: Arc<IdentityStore>,
        members: &[MemberAddress],
        vms: VmFiles,
    ) -> std::io::Result<(Self, mpsc::Receiver<LinkEvent>, mpsc::Receiver<Word>)> {
        let software = concat!("novacron-agent ", env!("CARGO_PKG_VERSION")).to_owned();
        let options = EndpointOptions { software, ..EndpointOptions::default() };
        let endpoint = Endpoint::bind(wildcard(members), identity, options)?;
        let (links, links_rx) = Links::new(endpoint.clone());
        let (words_tx, words_rx) = mpsc::channel(WORDS_MAX);
        let uplink = Self { endpoint, links: Arc::new(links), vms, words_tx };
        uplink.set_members(members);
        Ok((uplink, links_rx, words_rx))
    }

    pub fn set_members(&self, members: &[MemberAddress]) {
        let members: Vec<_> = members.iter().map(|member| (member.id, member.cluster)).collect();
        self.links.set_members(&members);
    }

    pub fn session(&self, member: MemberId) -> Option<Session> {
        self.links.session(member)
    }

    /// Members that are connected.
    pub fn connected(&self) -> impl Iterator<Item = MemberId> {
        self.links.sessions().into_iter().map(|(member, _)| member)
    }

    /// Hears and answers a member until its session ends.
    pub fn serve(&self, member: MemberId, session: Session) {
        tokio::spawn(hear(member, session.clone(), self.words_tx.clone()));
        tokio::spawn(answer_calls(session, self.vms.clone()));
    }

    /// A handle to fetch blobs with.
    pub fn blobs(&self) -> MemberBlobs {
        MemberBlobs { links: Arc::clone(&self.links), turn: AtomicUsize::new(0) }
    }

    /// Asks any connected member for a new certificate.
    pub async fn renew(&self, csr: Vec<u8>) -> Result<Vec<u8>, RenewError> {
        let mut failure = RenewError::NoSession;
        for (_, session) in self.links.sessions() {
            match renew::ask(&session, csr.clone()).await {
                Ok(certificate) => return Ok(certificate),
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }

    /// Tells the members that the agent goes.
    pub async fn close(&self) {
        let close = self.endpoint.close(CloseReason::ShuttingDown);
        let _ = tokio::time::timeout(CLOSE_TIMEOUT, close).await;
    }
}

/// Blobs from any member that has them.
#[derive(Debug)]
pub struct MemberBlobs {
    links: Arc<Links>,
    /// Another member is asked first each time: spreads the load, and gets around a bad copy.
    turn: AtomicUsize,
}

impl MemberBlobs {
    /// The connected members, another one first each time.
    fn sessions(&self) -> Result<Vec<(MemberId, Session)>, ImageError> {
        let mut sessions = self.links.sessions();
        if sessions.is_empty() {
            let text = "no member is connected to fetch the image from";
            return Err(ImageError::Unavailable(text.to_owned()));
        }
        let first = self.turn.fetch_add(1, Ordering::Relaxed) % sessions.len();
        sessions.rotate_left(first);
        Ok(sessions)
    }
}

impl BlobSource for MemberBlobs {
    async fn fetch(&self, digest: Digest, max: usize) -> Result<Bytes, ImageError> {
        let mut failure = String::new();
        for (member, session) in self.sessions()? {
            match in_time(fetch(&session, digest, max)).await {
                Ok(blob) => return Ok(blob),
                Err(text) => failure = format!("member {member}: {text}"),
            }
        }
        Err(ImageError::Unavailable(format!("cannot fetch the image: {failure}")))
    }

    async fn fetch_like(&self, chunk: Chunk, base: Bytes) -> Result<Blob, ImageError> {
        let mut failure = String::new();
        for (member, session) in self.sessions()? {
            match in_time(fetch_like(&session, chunk, base.clone())).await {
                Ok(blob) => return Ok(blob),
                Err(text) => failure = format!("member {member}: {text}"),
            }
        }
        Err(ImageError::Unavailable(format!("cannot fetch the image: {failure}")))
    }
}

async fn in_time<T>(fetch: impl Future<Output = Result<T, String>>) -> Result<T, String> {
    let fetched = tokio::time::timeout(BLOB_TIMEOUT, fetch).await;
    fetched.unwrap_or_else(|_| Err(format!("no blob within {BLOB_TIMEOUT:?}")))
}

/// A chunk in whichever form the member finds shorter: as it is stored, or as the difference to `base`.
async fn fetch_like(session: &Session, chunk: Chunk, base: Bytes) -> Result<Blob, String> {
    let max = stored_max(chunk);
    if session.version() < DIFFERENCES {
        return fetch(session, chunk.digest, max).await.map(Blob::Stored);
    }
    let text = |error: SessionError| error.to_string();
    let signature = signature_of(base.clone()).await;
    let request = Request::CodedBlob { digest: chunk.digest, signature };
    let (response, mut body) = session.call(Class::Bulk, &request).await.map_err(text)?;
    let coded = match response {
        Response::CodedBlob { coded_len } => match usize::try_from(coded_len) {
            Ok(len) if len <= max => body.read_exactly(len).await.map_err(text)?,
            _ => return Err(format!("its coded blob of {coded_len} bytes is longer than {max}")),
        },
        other => return stored(other, body, max).await.map(Blob::Stored),
    };
    let rebuild = move || delta::decode_once(coded, base, chunk.digest, chunk.len as usize);
    match spawn_blocking(rebuild).await.map_err(|error| error.to_string())? {
        Ok(content) => Ok(Blob::Content(content)),
        Err(error) => {
            tracing::warn!(%error, "a coded blob is of no use, and is fetched whole");
            fetch(session, chunk.digest, max).await.map(Blob::Stored)
        }
    }
}

/// The signature of what is at hand, for the member to refer to.
async fn signature_of(base: Bytes) -> Vec<u8> {
    let key = Uuid::new_v4().as_u64_pair().0;
    let sign = move || Signature::of(base.clone(), Cut::disk(base.len() as u64), key).encode();
    spawn_blocking(sign).await.unwrap_or_else(|_| Signature::none().encode())
}

async fn fetch(session: &Session, digest: Digest, max: usize) -> Result<Bytes, String> {
    let call = session.call(Class::Bulk, &Request::Blob { digest }).await;
    let (response, body) = call.map_err(|error| error.to_string())?;
    stored(response, body, max).await
}

async fn stored(response: Response, mut body: Body, max: usize) -> Result<Bytes, String> {
    match response {
        Response::Blob { stored_len } => match usize::try_from(stored_len) {
            Ok(len) if len <= max => {
                body.read_exactly(len).await.map_err(|error| error.to_string())
            }
            _ => Err(format!("its blob of {stored_len} bytes is longer than {max}")),
        },
        Response::Refused(refusal) => Err(refusal.to_string()),
        _ => Err("it gave another answer than a blob".to_owned()),
    }
}

async fn hear(member: MemberId, session: Session, words_tx: mpsc::Sender<Word>) {
    loop {
        // The link's own event tells of the end.
        let Ok((_, bytes)) = session.recv().await else { return };
        match codec::decode::<ToAgent>(&bytes, FRAME_BYTES_MAX) {
            Ok(message) => {
                if words_tx.send(Word { from: member, message }).await.is_err() {
                    return;
                }
            }
            Err(error) => {
                tracing::warn!(%member, %error, "a member broke the protocol");
                session.close(CloseReason::Violation(error.to_string()));
                return;
            }
        }
    }
}

async fn answer_calls(session: Session, vms: VmFiles) {
    let at_once = Arc::new(Semaphore::new(CALLS_AT_ONCE));
    while let Ok(call) = session.accept_call().await {
        let permit = Arc::clone(&at_once).acquire_owned().await;
        let vms = vms.clone();
        tokio::spawn(async move {
            answer(call, vms).await;
            drop(permit);
        });
    }
}

async fn answer(call: IncomingCall, vms: VmFiles) {
    let response = match *call.request() {
        Request::ConsoleTail { vm, bytes_max } => console_tail(vm, bytes_max, vms).await,
        _ => Response::Refused(CallRefusal::Rejected("an agent does not answer that".to_owned())),
    };
    if let Err(error) = call.respond(&response).await {
        tracing::debug!(%error, "an answer was not delivered");
    }
}

async fn console_tail(vm: VmId, bytes_max: u32, vms: VmFiles) -> Response {
    let read = tokio::task::spawn_blocking(move || vms.console_tail(vm, bytes_max)).await;
    match read {
        Ok(Ok(tail)) => Response::Console(tail),
        Ok(Err(error)) if error.kind() == std::io::ErrorKind::NotFound => {
            let text = "the VM has written nothing to its console on this host";
            Response::Refused(CallRefusal::NotFound(text.to_owned()))
        }
        Ok(Err(error)) => Response::Refused(CallRefusal::Unavailable(error.to_string())),
        Err(error) => Response::Refused(CallRefusal::Unavailable(error.to_string())),
    }
}

/// An address to dial all of `members` from.
fn wildcard(members: &[MemberAddress]) -> SocketAddr {
    if members.iter().all(|member| member.cluster.is_ipv4()) {
        (Ipv4Addr::UNSPECIFIED, 0).into()
    } else {
        (Ipv6Addr::UNSPECIFIED, 0).into()
    }
}
