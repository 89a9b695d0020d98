//! The command as a member passes it on to the leader: a call over QUIC with mutual TLS.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use novacron_controlplane_core::command::RequestKey;
use novacron_controlplane_core::{Actor, Command, Envelope};
use novacron_protocol::wire::Class;
use novacron_protocol::wire::call::{Request, Response};
use novacron_protocol::{Digest, HostId, MemberId, RequestId, Timestamp};
use novacron_transport::{
    ClusterAuthority, Endpoint, EndpointOptions, Identity, IdentityStore, KeyRequest, Session,
};
use tokio::sync::Mutex;
use uuid::Uuid;

/// Clients that share a session: a member answers 64 calls of one at once.
const CLIENTS_PER_SESSION: usize = 64;
/// An id that no member of the bench's cluster has.
const OWN_ID: MemberId = MemberId(900);
const CERTIFICATE_LIFE: Duration = Duration::from_secs(24 * 3600);

/// Makes sessions, as a member of the cluster would.
pub(super) struct Dialler {
    identity: Arc<IdentityStore>,
    host: HostId,
    sessions: Mutex<Vec<(Endpoint, Session)>>,
}

impl Dialler {
    /// With the authority of the member that keeps its things in `data`.
    pub(super) fn new(data: &Path, host: HostId) -> Result<Self> {
        let authority = ClusterAuthority::load(data).context("load the cluster's authority")?;
        let request = KeyRequest::generate()?;
        let certificate = authority.sign_member(request.csr(), OWN_ID, &[], CERTIFICATE_LIFE)?;
        let identity: Identity = request.into_identity(&certificate, authority.certificate())?;
        Ok(Self { identity: IdentityStore::new(identity), host, sessions: Mutex::default() })
    }

    /// Client `number`; every so many share a session.
    pub(super) async fn client(&self, address: SocketAddr, number: usize) -> Result<Quic> {
        let mut sessions = self.sessions.lock().await;
        let at = number / CLIENTS_PER_SESSION;
        if number == 0 {
            sessions.clear();
        }
        if sessions.len() <= at {
            let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
            let options = EndpointOptions::default();
            let endpoint = Endpoint::bind(listen, Arc::clone(&self.identity), options)?;
            let session = endpoint.connect(address, None).await.context("dial the leader")?;
            sessions.push((endpoint, session));
        }
        Ok(Quic { session: sessions[at].1.clone(), host: self.host })
    }
}

/// One client of a session.
pub(super) struct Quic {
    session: Session,
    host: HostId,
}

impl Quic {
    pub(super) async fn write(&mut self, value: &str) -> Result<()> {
        let command = Command::Cordon { host: self.host, reason: value.to_owned() };
        // The leader stamps the time itself.
        let id = Uuid::new_v4();
        let key =
            RequestKey { id: RequestId::from_uuid(id), fingerprint: Digest::of(id.as_bytes()) };
        let envelope = Envelope::from_actor(Timestamp(0), Actor::Member(OWN_ID), command).once(key);
        let request = Request::Propose { command: envelope.encode()? };
        match self.session.call(Class::Command, &request).await? {
            (Response::Applied { .. }, _) => Ok(()),
            (other, _) => bail!("the leader answers {other:?}"),
        }
    }
}
