//! A real member of one, reached over real HTTPS.

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use novacron_controlplane::api::{self, ApiContext};
use novacron_controlplane::audit::Auditor;
use novacron_controlplane::blobs::BlobStore;
use novacron_controlplane::bootstrap;
use novacron_controlplane::clock::Clock;
use novacron_controlplane::cluster::Cluster;
use novacron_controlplane::config::Config;
use novacron_controlplane::peers::Peers;
use novacron_controlplane::raft::{
    Driver, DriverOptions, Handle, Outbound, SegmentStore, SnapshotDelivery,
};
use novacron_controlplane::telemetry::MetricStore;
use novacron_controlplane_core::command::{NewToken, Redemption};
use novacron_controlplane_core::{Command, Envelope, Outcome, State};
use novacron_protocol::api::Problem;
use novacron_protocol::host::{Connectivity, HostCapacity, HostInventory};
use novacron_protocol::image::{Chunk, FileRole, ImageFile, Manifest, ManifestFile};
use novacron_protocol::join_token::JoinRole;
use novacron_protocol::vm::{ObservedVm, VmState};
use novacron_protocol::wire::raft::Message;
use novacron_protocol::{
    ByteCount, Digest, HostId, ImageId, Labels, MemberId, Timestamp, TokenId, VcpuCount, VmId,
};
use novacron_transport::{ClusterAuthority, Identity, IdentityStore};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use ureq::http;
use uuid::Uuid;

/// How long anything here may take before the test is failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Member {
    pub(crate) cluster: Cluster,
    pub(crate) metrics: MetricStore,
    pub(crate) admin: String,
    pub(crate) authority: ClusterAuthority,
    pub(crate) address: SocketAddr,
    pub(crate) clock: Clock,
    runtime: tokio::runtime::Runtime,
    agent: ureq::Agent,
    handle: Handle,
    driver: Option<thread::JoinHandle<()>>,
    server: Option<(oneshot::Sender<()>, tokio::task::JoinHandle<()>)>,
    _dir: tempfile::TempDir,
}

/// A member alone sends nothing.
struct Nowhere;

impl Outbound for Nowhere {
    fn send(&mut self, _: Message) -> bool {
        false
    }

    fn send_snapshot(&mut self, _: SnapshotDelivery) {}
}

impl Member {
    pub(crate) fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let config: Config = serde_json::from_value(json!({
            "data_dir": dir.path().join("data"),
            "name": "one",
            "listen": "127.0.0.1:7410",
            "api_listen": address,
        }))
        .unwrap();
        let clock = Clock::start();
        let made = bootstrap::init(&config, "test".parse().unwrap(), &clock).unwrap();

        let store = SegmentStore::open(&bootstrap::log_path(&config.data_dir)).unwrap();
        let options = DriverOptions {
            member: MemberId(1),
            tick: Duration::from_millis(10),
            election_ticks: 20,
            heartbeat_ticks: 2,
            snapshot_every: 10_000,
            keep_entries: 10,
            nonce: rand::random(),
        };
        let (driver, handle) = Driver::open(options, Box::new(store), Nowhere).unwrap();
        let driver = thread::spawn(move || driver.run().unwrap());

        let authority = ClusterAuthority::load(&config.data_dir).unwrap();
        let peers = Peers::default();
        let cluster = Cluster::new(handle.clone(), peers.clone(), clock);
        let metrics = MetricStore::new(clock);
        let router = api::router(ApiContext {
            cluster: cluster.clone(),
            peers,
            blobs: BlobStore::open(&config.data_dir).unwrap(),
            metrics: metrics.clone(),
            auditor: Auditor::new(cluster.clone(), clock),
            clock,
            ca_fingerprint: authority.fingerprint(),
        });
        let identity = IdentityStore::new(Identity::load(&config.data_dir).unwrap());
        let (stop_tx, stop_rx) = oneshot::channel();
        let serving = api::serve(listener, move || identity.https_server_config(), router, async {
            let _ = stop_rx.await;
        });
        let server = runtime.spawn(serving);
        Self {
            agent: agent(&authority),
            cluster,
            metrics,
            admin: made.admin.to_string(),
            authority,
            address,
            clock,
            runtime,
            handle,
            driver: Some(driver),
            server: Some((stop_tx, server)),
            _dir: dir,
        }
    }

    pub(crate) fn state(&self) -> State {
        self.cluster.state()
    }

    /// Calls as the admin.
    pub(crate) fn call(&self, method: &str, path: &str, body: Option<Value>) -> Reply {
        self.request(method, path).send(body)
    }

    pub(crate) fn get(&self, path: &str) -> Reply {
        self.call("GET", path, None)
    }

    pub(crate) fn post(&self, path: &str, body: Value) -> Reply {
        self.call("POST", path, Some(body))
    }

    /// A request as the admin, to be changed before it is sent.
    pub(crate) fn request(&self, method: &str, path: &str) -> Request<'_> {
        let path = match path.starts_with("/health") || path.starts_with("/metrics") {
            true => path.to_owned(),
            false => format!("/api/v1{path}"),
        };
        Request {
            member: self,
            method: method.to_owned(),
            path,
            headers: vec![("authorization".to_owned(), format!("Bearer {}", self.admin))],
        }
    }

    /// Makes a user and gives its token.
    pub(crate) fn user(&self, name: &str, role: &str) -> String {
        let reply = self.post("/users", json!({ "name": name, "role": role }));
        reply.expect(201).json["token"].as_str().unwrap().to_owned()
    }

    /// Proposes past the API, as sessions and the leader's loops do.
    pub(crate) fn propose(&self, command: Command) -> Outcome {
        let envelope = Envelope::system(self.clock.timestamp(), command);
        let written = self.runtime.block_on(self.cluster.propose(envelope)).unwrap();
        eventually(|| (self.state().applied() >= written.index).then_some(()));
        written.applied.unwrap()
    }

    /// A connected host of 8 CPUs and 16 GiB.
    pub(crate) fn host(&self, name: &str) -> HostId {
        let (token, key) = (TokenId::from_uuid(Uuid::new_v4()), Digest::of(name.as_bytes()));
        self.propose(Command::CreateToken(NewToken {
            id: token,
            role: JoinRole::Host,
            secret: key,
            expires_at: Timestamp(u64::MAX),
            uses: 1,
        }));
        let host = HostId::from_uuid(Uuid::new_v4());
        self.propose(Command::Redeem(Redemption {
            token,
            secret: key,
            role: JoinRole::Host,
            key,
            name: name.parse().unwrap(),
            host,
            member: None,
        }));
        let capacity = HostCapacity {
            cpus: VcpuCount(8),
            memory: ByteCount::gib(16),
            disk: ByteCount::gib(100),
        };
        let inventory = HostInventory {
            name: name.parse().unwrap(),
            agent_version: "0".to_owned(),
            hypervisor: "simulated".to_owned(),
            capacity,
            labels: Labels::from_pairs(["zone=a"]).unwrap(),
        };
        self.propose(Command::SetInventory { host, inventory });
        self.propose(Command::SetConnectivity { hosts: vec![(host, Connectivity::Connected)] });
        host
    }

    /// Does for a VM what leader and agent do: places it and reports it.
    pub(crate) fn run_vm(&self, vm: VmId, host: HostId, state: VmState) {
        let known = self.state().vm(vm).cloned().unwrap();
        if known.host.is_none() {
            self.propose(Command::Place { vm, host });
        }
        let known = self.state().vm(vm).cloned().unwrap();
        let report = ObservedVm {
            id: vm,
            revision: known.revision,
            state,
            restarts: known.restarts,
            reason: String::new(),
        };
        let generation = self.state().host(host).unwrap().generation;
        self.propose(Command::Observe { host, generation, vms: vec![report] });
    }

    /// Uploads a kernel and makes an image of it.
    pub(crate) fn image(&self, name: &str) -> ImageId {
        let content = name.repeat(100);
        let (manifest, bytes) = kernel_manifest(content.as_bytes());
        self.put_blob(content.as_bytes()).expect(201);
        self.put_blob(&bytes).expect(201);
        self.post("/images", json!({ "name": name, "manifest": manifest })).expect(202);
        manifest
    }

    pub(crate) fn put_blob(&self, content: &[u8]) -> Reply {
        let path = format!("/blobs/{}", Digest::of(content));
        let stored = zstd::encode_all(content, 1).unwrap();
        self.request("PUT", &path).header("content-type", "application/zstd").send_bytes(stored)
    }

    pub(crate) fn vm_body(&self, name: &str, image: ImageId) -> Value {
        json!({ "name": name, "spec": { "cpus": 1, "memory": 512 << 20, "image": image } })
    }

    pub(crate) fn create_vm(&self, name: &str, image: ImageId) -> VmId {
        let reply = self.post("/vms", self.vm_body(name, image)).expect(202);
        reply.json["vm"]["id"].as_str().unwrap().parse().unwrap()
    }

    /// Stops serving; gives how long that took.
    pub(crate) fn stop_serving(&mut self) -> Duration {
        let (stop, server) = self.server.take().unwrap();
        let began = Instant::now();
        stop.send(()).unwrap();
        self.runtime.block_on(server).unwrap();
        began.elapsed()
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        if let Some((stop, _)) = self.server.take() {
            let _ = stop.send(());
        }
        self.handle.stop();
        if let Some(driver) = self.driver.take() {
            let _ = driver.join();
        }
    }
}

pub(crate) struct Request<'a> {
    member: &'a Member,
    method: String,
    path: String,
    headers: Vec<(String, String)>,
}

impl Request<'_> {
    /// Sets a header; an empty value takes it out.
    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.retain(|(known, _)| known != name);
        if !value.is_empty() {
            self.headers.push((name.to_owned(), value.to_owned()));
        }
        self
    }

    pub(crate) fn bearer(self, token: &str) -> Self {
        self.header("authorization", &format!("Bearer {token}"))
    }

    pub(crate) fn send(self, body: Option<Value>) -> Reply {
        match body {
            Some(body) => {
                let text = serde_json::to_vec(&body).unwrap();
                self.header("content-type", "application/json").send_bytes(text)
            }
            None => self.send_bytes(Vec::new()),
        }
    }

    pub(crate) fn send_bytes(self, body: Vec<u8>) -> Reply {
        let mut response = self.open(body);
        let headers = response.headers().clone();
        let body = response.body_mut().with_config().limit(64 << 20).read_to_vec().unwrap();
        Reply {
            status: response.status().as_u16(),
            json: serde_json::from_slice(&body).unwrap_or(Value::Null),
            headers,
            body,
        }
    }

    /// Sends, and gives the answer unread.
    pub(crate) fn open(self, body: Vec<u8>) -> http::Response<ureq::Body> {
        self.try_open(body).unwrap()
    }

    /// The same, when there may be no answer.
    pub(crate) fn try_open(self, body: Vec<u8>) -> Result<http::Response<ureq::Body>, ureq::Error> {
        let url = format!("https://{}{}", self.member.address, self.path);
        let mut request = http::Request::builder().method(self.method.as_str()).uri(url);
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        match body.is_empty() {
            true => self.member.agent.run(request.body(()).unwrap()),
            false => self.member.agent.run(request.body(body).unwrap()),
        }
    }
}

#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: http::HeaderMap,
    pub(crate) json: Value,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{}", String::from_utf8_lossy(&self.body));
        self
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// The problem, which every answer that is no success must be, whole and consistent.
    #[track_caller]
    pub(crate) fn problem(&self) -> Problem {
        let text = String::from_utf8_lossy(&self.body);
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{text}");
        let problem: Problem = serde_json::from_slice(&self.body).unwrap();
        assert_eq!(problem.status, self.status);
        assert_eq!(problem.kind, format!("urn:novacron:problem:{}", problem.code));
        assert_eq!(self.header("x-request-id"), Some(problem.request_id.as_str()));
        assert!(!problem.detail.is_empty() && !problem.title.is_empty());
        problem
    }
}

/// Client of a cluster: trusts its CA and nothing else.
pub(crate) fn agent(authority: &ClusterAuthority) -> ureq::Agent {
    let ca = ureq::tls::Certificate::from_der(authority.certificate()).to_owned();
    let tls = ureq::tls::TlsConfig::builder()
        .root_certs(ureq::tls::RootCerts::new_with_certs(&[ca]))
        .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .build();
    ureq::Agent::config_builder()
        .tls_config(tls)
        .http_status_as_error(false)
        .allow_non_standard_methods(true)
        .proxy(None)
        .timeout_global(Some(PATIENCE))
        .build()
        .new_agent()
}

pub(crate) fn kernel_manifest(content: &[u8]) -> (ImageId, Vec<u8>) {
    let size = ByteCount(content.len() as u64);
    let digest = Digest::of(content);
    let file = ImageFile { role: FileRole::Kernel, digest, size, virtual_size: ByteCount(0) };
    let chunks = vec![Chunk { digest, len: u32::try_from(content.len()).unwrap() }];
    let manifest =
        Manifest { files: vec![ManifestFile { file, chunks }], cmdline: "quiet".to_owned() };
    manifest.seal().unwrap()
}

/// Polls until `found` gives something.
#[track_caller]
pub(crate) fn eventually<T>(mut found: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(value) = found() {
            return value;
        }
        assert!(Instant::now() < deadline, "not within {PATIENCE:?}");
        thread::sleep(Duration::from_millis(10));
    }
}
