//! Clusters, identities and sessions for tests.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use novacron_protocol::wire::call::Request;
use novacron_protocol::wire::hello::Peer;
use novacron_protocol::{ClusterId, Digest, HostId, MemberId};
use novacron_transport::{
    ClusterAuthority, Endpoint, EndpointOptions, Identity, IdentityStore, Incoming, KeyRequest,
    Refused, Session,
};

pub(crate) const DAY: Duration = Duration::from_secs(86_400);

/// A test that waits longer than this has failed.
const DEADLINE: Duration = Duration::from_secs(30);

/// What `future` gives, which must be soon.
pub(crate) async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(DEADLINE, future).await.expect("it takes too long")
}

/// Waits until `fact` holds.
pub(crate) async fn until(mut fact: impl FnMut() -> bool) {
    soon(async {
        while !fact() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    })
    .await;
}

pub(crate) struct Cluster {
    pub(crate) authority: ClusterAuthority,
}

impl Cluster {
    pub(crate) fn new() -> Self {
        Self::numbered(1)
    }

    pub(crate) fn numbered(number: u32) -> Self {
        let id: ClusterId =
            format!("{number:08x}-0000-7000-8000-000000000000").parse().expect("a UUID");
        Self { authority: ClusterAuthority::create(id).unwrap() }
    }

    pub(crate) fn member(&self, number: u64) -> Identity {
        self.member_for(number, DAY)
    }

    pub(crate) fn member_for(&self, number: u64, life: Duration) -> Identity {
        let request = KeyRequest::generate().unwrap();
        let signed = self.authority.sign_member(request.csr(), MemberId(number), &[], life);
        request.into_identity(&signed.unwrap(), self.authority.certificate()).unwrap()
    }

    pub(crate) fn host(&self, number: u32) -> Identity {
        self.host_for(number, DAY)
    }

    pub(crate) fn host_for(&self, number: u32, life: Duration) -> Identity {
        let request = KeyRequest::generate().unwrap();
        let signed = self.authority.sign_host(request.csr(), host_id(number), life).unwrap();
        request.into_identity(&signed, self.authority.certificate()).unwrap()
    }
}

/// Any request at all.
pub(crate) fn question() -> Request {
    Request::Blob { digest: Digest([1; 32]) }
}

pub(crate) fn host_id(number: u32) -> HostId {
    format!("00000000-0000-7000-8000-{number:012x}").parse().expect("a UUID")
}

pub(crate) fn member(number: u64) -> Option<Peer> {
    Some(Peer::Member(MemberId(number)))
}

pub(crate) fn endpoint(identity: Identity) -> Endpoint {
    endpoint_of(&IdentityStore::new(identity), EndpointOptions::default())
}

pub(crate) fn endpoint_of(store: &Arc<IdentityStore>, options: EndpointOptions) -> Endpoint {
    let listen = "127.0.0.1:0".parse().expect("an address");
    Endpoint::bind(listen, Arc::clone(store), options).unwrap()
}

pub(crate) async fn accept_session(endpoint: &Endpoint) -> Session {
    match admitted(endpoint).await {
        Incoming::Session(session) => session,
        other => panic!("expected a session, not {other:?}"),
    }
}

/// The next who was let in; those turned away before are passed over.
pub(crate) async fn admitted(endpoint: &Endpoint) -> Incoming {
    loop {
        match soon(endpoint.accept()).await.expect("the endpoint is open") {
            Incoming::Refused(_) => {}
            incoming => return incoming,
        }
    }
}

/// The next who was turned away.
pub(crate) async fn turned_away(endpoint: &Endpoint) -> Refused {
    match soon(endpoint.accept()).await {
        Some(Incoming::Refused(refused)) => refused,
        other => panic!("expected a refusal, not {other:?}"),
    }
}

/// A host's session to member 1, and the member's end of it.
pub(crate) struct Pair {
    pub(crate) host: Session,
    pub(crate) member: Session,
    pub(crate) host_endpoint: Endpoint,
    pub(crate) member_endpoint: Endpoint,
}

impl Pair {
    pub(crate) async fn new() -> Self {
        let cluster = Cluster::new();
        Self::between(endpoint(cluster.host(1)), endpoint(cluster.member(1))).await
    }

    pub(crate) async fn between(host_endpoint: Endpoint, member_endpoint: Endpoint) -> Self {
        let addr = member_endpoint.local_addr();
        let (host, member) =
            tokio::join!(host_endpoint.connect(addr, member(1)), accept_session(&member_endpoint));
        Self { host: host.unwrap(), member, host_endpoint, member_endpoint }
    }
}
