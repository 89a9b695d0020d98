//! The composition root: everything a running member consists of, and how it ends.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use novacron_daemon::{Clock, systemd};
use novacron_protocol::MemberId;
use novacron_protocol::wire::call::CallRefusal;
use novacron_protocol::wire::hello::{HelloRefusal, Peer};
use novacron_transport::identity::IdentityError;
use novacron_transport::renew::{RenewError, keep_renewed};
use novacron_transport::{
    AuthorityError, CloseReason, ClusterAuthority, ConnectError, Endpoint, EndpointOptions,
    Identity, IdentityStore, LinkEvent, Links, RevokedSet, Session, Tcp,
};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};

use crate::admission::{Admission, addresses};
use crate::api::{self, ApiContext};
use crate::audit::Auditor;
use crate::blobs::{self, BlobError, BlobStore};
use crate::bootstrap::{self, BootstrapError};
use crate::cluster::Cluster;
use crate::config::Config;
use crate::leader::{HEARD_QUEUE_MAX, Leader};
use crate::outbound::PeerOutbound;
use crate::peers::Peers;
use crate::raft::{Driver, DriverError, DriverOptions, Handle, SegmentStore, StoreError};
use crate::sessions::{Briefing, Sessions};
use crate::telemetry::{self, MetricStore};

/// Entries kept behind a snapshot, for members that are a little late.
const KEEP_ENTRIES: u64 = 2_000;
/// How long requests under way may take when the member stops.
const DRAIN: Duration = Duration::from_secs(3);
/// How long Raft may take to end: it waits for another leader for a second.
const RAFT_END: Duration = Duration::from_secs(2);

/// How the Raft thread ended; closed without a word when it panicked.
type DriverEnd = oneshot::Receiver<Result<(), DriverError>>;

/// Why a member does not run, or no longer.
#[derive(Debug, thiserror::Error)]
pub enum MemberError {
    #[error("{0}; run `novacron-controlplane init` or `join` first")]
    NoIdentity(IdentityError),
    #[error("the identity in the data directory is a host's, not a member's")]
    NotAMember,
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    #[error(transparent)]
    Bootstrap(#[from] BootstrapError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Driver(#[from] DriverError),
    #[error("cannot open the image store: {0}")]
    Blobs(#[from] BlobError),
    #[error("cannot listen on {addr}: {source}")]
    Listen { addr: std::net::SocketAddr, source: std::io::Error },
    #[error("cannot start the Raft thread: {0}")]
    Thread(std::io::Error),
    /// A panic says why itself, where it happens.
    #[error("the Raft thread panicked; why stands above")]
    Panicked,
}

/// Runs the member whose things are in `config.data_dir` until it is told to stop.
pub async fn run(config: Config) -> Result<(), MemberError> {
    let clock = Clock::start();
    let dir = config.data_dir.clone();
    let identity = Identity::load(&dir).map_err(MemberError::NoIdentity)?;
    let Peer::Member(own) = identity.peer() else { return Err(MemberError::NotAMember) };
    let authority = Arc::new(ClusterAuthority::load(&dir)?);
    let identity = IdentityStore::new(identity);
    let endpoint = bind(&config, &identity)?;
    let listener = TcpListener::bind(config.api_listen)
        .await
        .map_err(|source| MemberError::Listen { addr: config.api_listen, source })?;

    let peers = Peers::default();
    let (raft, mut driver_end) = start_driver(&config, own, &peers)?;
    let cluster = Cluster::new(raft.clone(), peers.clone(), clock);
    let auditor = Auditor::new(cluster.clone(), clock);
    let admission = Admission::new(
        cluster.clone(),
        Arc::clone(&authority),
        config.certificate_life(),
        auditor.clone(),
        clock,
    );
    let blobs = BlobStore::open(&dir)?;
    let metrics = MetricStore::new(clock);
    let (heard_tx, heard) = mpsc::channel(HEARD_QUEUE_MAX);

    let leader = Leader {
        raft: raft.clone(),
        peers: peers.clone(),
        clock,
        silence_max: Duration::from_millis(config.agents.disconnect_after_ms),
    };
    tokio::spawn(leader.run(heard));
    let sessions = Sessions {
        cluster: cluster.clone(),
        raft: raft.clone(),
        peers: peers.clone(),
        admission: admission.clone(),
        auditor: auditor.clone(),
        blobs: blobs.clone(),
        metrics: metrics.clone(),
        heard: heard_tx,
        briefing: Briefing::follow(cluster.clone()),
    };
    tokio::spawn(sessions.run(endpoint.clone()));
    let contacts = bootstrap::contacts(&dir)?;
    let contacts = contacts.into_iter().map(|member| (member.id, member.cluster)).collect();
    tokio::spawn(keep_links(endpoint.clone(), cluster.clone(), peers.clone(), own, contacts));
    tokio::spawn(keep_revoked(endpoint.clone(), cluster.clone()));
    tokio::spawn(telemetry::sweep(metrics.clone(), cluster.clone()));
    tokio::spawn(renew(Arc::clone(&identity), dir.clone(), admission, own));
    tokio::spawn(blobs::replicate(blobs.clone(), cluster.clone(), peers.clone(), clock));

    let context = ApiContext {
        cluster: cluster.clone(),
        peers,
        blobs,
        metrics,
        auditor,
        clock,
        ca_fingerprint: authority.fingerprint(),
    };
    let (stop_api, api_stopped) = oneshot::channel::<()>();
    let shutdown = async {
        let _ = api_stopped.await;
    };
    let tls = Arc::clone(&identity);
    let router = api::router(context);
    let api =
        tokio::spawn(api::serve(listener, move || tls.https_server_config(), router, shutdown));

    systemd::ready(&format!("member {own} at {}", endpoint.local_addr()));
    tracing::info!(member = %own, quic = %endpoint.local_addr(), api = %config.api_listen, "member runs");
    let end = tokio::select! {
        () = systemd::stop_requested() => {
            tracing::info!("stopping");
            None
        }
        () = systemd::feed_watchdog(|| std::future::ready(())) => None,
        end = &mut driver_end => Some(end),
    };
    systemd::stopping();
    raft.stop();
    let _ = stop_api.send(());
    let _ = tokio::time::timeout(DRAIN, api).await;
    // The lead is handed over by messages: sessions stay until the driver has ended.
    let end = match end {
        Some(end) => Ok(end),
        None => tokio::time::timeout(RAFT_END, driver_end).await,
    };
    endpoint.close(CloseReason::ShuttingDown).await;
    match end {
        Ok(Ok(ended)) => Ok(ended?),
        Ok(Err(_)) => Err(MemberError::Panicked),
        Err(_) => {
            tracing::warn!("Raft takes long to end");
            Ok(())
        }
    }
}

fn bind(config: &Config, identity: &Arc<IdentityStore>) -> Result<Endpoint, MemberError> {
    let options = EndpointOptions {
        software: concat!("novacron-controlplane ", env!("CARGO_PKG_VERSION")).into(),
        tcp: Tcp::Served,
        ..EndpointOptions::default()
    };
    Endpoint::bind(config.listen, Arc::clone(identity), options)
        .map_err(|source| MemberError::Listen { addr: config.listen, source })
}

/// Starts Raft on a thread of its own.
fn start_driver(
    config: &Config,
    own: MemberId,
    peers: &Peers,
) -> Result<(Handle, DriverEnd), MemberError> {
    let store = SegmentStore::open(&bootstrap::log_path(&config.data_dir))?;
    let options = DriverOptions {
        member: own,
        tick: config.tick(),
        election_ticks: config.raft.election_ticks as usize,
        heartbeat_ticks: config.raft.heartbeat_ticks as usize,
        snapshot_every: config.raft.snapshot_every,
        keep_entries: KEEP_ENTRIES,
        nonce: rand::random(),
    };
    let outbound = PeerOutbound::new(peers.clone(), tokio::runtime::Handle::current());
    let (driver, handle) = Driver::open(options, Box::new(store), outbound)?;
    let (ended, end) = oneshot::channel();
    std::thread::Builder::new()
        .name("raft".to_owned())
        .spawn(move || {
            let _ = ended.send(driver.run());
        })
        .map_err(MemberError::Thread)?;
    Ok((handle, end))
}

/// Keeps a dialled session to each other member; Raft's messages and calls leave by these.
async fn keep_links(
    endpoint: Endpoint,
    cluster: Cluster,
    peers: Peers,
    own: MemberId,
    contacts: Vec<(MemberId, std::net::SocketAddr)>,
) {
    let (links, mut events) = Links::new(endpoint);
    links.set_members(&contacts);
    let mut states = cluster.watch();
    let mut known = contacts;
    let mut up: BTreeMap<MemberId, Session> = BTreeMap::new();
    loop {
        let members: Vec<_> = addresses(&states.borrow_and_update())
            .into_iter()
            .filter(|member| member.id != own)
            .map(|member| (member.id, member.cluster))
            .collect();
        if !members.is_empty() && members != known {
            links.set_members(&members);
            known = members;
        }
        tokio::select! {
            changed = states.changed() => if changed.is_err() { return },
            event = events.recv() => match event {
                None => return,
                Some(event) => handle_link(event, &peers, &mut up),
            },
        }
    }
}

fn handle_link(event: LinkEvent, peers: &Peers, up: &mut BTreeMap<MemberId, Session>) {
    match event {
        LinkEvent::Up(id, session) => {
            tracing::info!(member = %id, "connected");
            peers.insert(session.clone());
            up.insert(id, session);
        }
        LinkEvent::Down(id, reason) => {
            tracing::info!(member = %id, %reason, "disconnected");
            if let Some(session) = up.remove(&id) {
                peers.remove(&session);
            }
        }
        LinkEvent::Failed(id, ConnectError::Refused { refusal: HelloRefusal::Revoked, .. }) => {
            tracing::error!(
                member = %id,
                "this member was removed from the cluster; stop it, clear its data_dir, join again"
            );
        }
        LinkEvent::Failed(id, error) => tracing::debug!(member = %id, %error, "cannot connect"),
    }
}

async fn keep_revoked(endpoint: Endpoint, cluster: Cluster) {
    let mut states = cluster.watch();
    let mut current = RevokedSet::default();
    loop {
        let state = states.borrow_and_update().clone();
        let revoked = RevokedSet {
            peers: state.revoked().copied().collect(),
            replaced: state.returned().map(|(host, at)| (Peer::Host(host), at)).collect(),
            ..RevokedSet::default()
        };
        if revoked != current {
            endpoint.set_revoked(revoked.clone());
            current = revoked;
        }
        if states.changed().await.is_err() {
            return;
        }
    }
}

/// A member signs its own new certificates.
async fn renew(
    identity: Arc<IdentityStore>,
    dir: impl AsRef<Path>,
    admission: Admission,
    own: MemberId,
) {
    let refused = |detail| RenewError::Refused(CallRefusal::Rejected(detail));
    let ask = |csr: Vec<u8>| std::future::ready(admission.renew_member(&csr, own).map_err(refused));
    keep_renewed(identity, dir.as_ref(), ask).await;
}
