//! The running agent: one event loop that owns the core, and what it hands work to.
//!
//! ```text
//!   members ──words──┐                        ┌──> pool: hypervisor calls ──┐
//!   links  ──events──┼──> event loop ─actions─┼──> prepare tasks ───────────┼──inputs──> event loop
//!   timers ──────────┘    (core::Host)        └──> journal writes ──────────┘
//! ```
//! The loop never blocks. Losing members, one or all, is only a link event: VMs go on. Starting and
//! stopping the agent touches no VM: the core begins with a look.

mod calls;
mod executor;
mod reporter;
mod samples;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use novacron_agent_core::telemetry::{VmCounters, VmRates};
use novacron_agent_core::{Acceptance, Action, DesiredRefusal, Domain, Host, Outcome, rendezvous};
use novacron_daemon::{Clock, systemd};
use novacron_protocol::host::{HostInventory, HostSummary, HypervisorHealth};
use novacron_protocol::vm::DesiredSet;
use novacron_protocol::wire::agent::{Heartbeat, ToAgent};
use novacron_protocol::wire::hello::Peer;
use novacron_protocol::wire::telemetry::Batch;
use novacron_protocol::{ByteCount, HostId, MemberId, Name, VmId};
use novacron_transport::identity::IdentityError;
use novacron_transport::renew::keep_renewed;
use novacron_transport::{Identity, IdentityStore, LinkEvent};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{MissedTickBehavior, interval};

use crate::config::Config;
use crate::hypervisor::{self, About, EventSink, HypervisorError, HypervisorEvent};
use crate::images::ImageStore;
use crate::journal::{JournalError, JournalStore};
use crate::members::{MembersError, MembersFile};
use crate::metrics::HostSampler;
use crate::pool::Pool;
use crate::uplink::{Uplink, Word};
use crate::vm_files::{VmFiles, make_dir};
use calls::{Calls, Question};
use executor::Executor;
use reporter::{Hearing, Reporter};
use samples::SampleSender;

/// Why an agent cannot start, or cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    #[error(transparent)]
    Identity(#[from] IdentityError),
    #[error("the identity in {0} is a member's, not a host's")]
    NotAHost(String),
    #[error(transparent)]
    Members(#[from] MembersError),
    #[error(transparent)]
    Journal(#[from] JournalError),
    #[error(transparent)]
    Hypervisor(#[from] HypervisorError),
    #[error("{what}: {source}")]
    Io { what: String, source: std::io::Error },
    #[error("{0}")]
    Config(String),
}

/// Something that work which was handed out came to.
#[derive(Debug)]
pub(crate) enum Input {
    Persisted(Result<(), JournalError>),
    Observed(Result<Vec<Domain>, HypervisorError>),
    TaskDone {
        vm: VmId,
        outcome: Outcome,
    },
    Hypervisor(HypervisorEvent),
    About(Result<About, HypervisorError>),
    Counters(Result<BTreeMap<VmId, VmCounters>, HypervisorError>),
    /// Asks whether the loop turns.
    Alive(oneshot::Sender<()>),
}

/// Inputs that wait for the loop. At the bound whoever did the work waits; only a hypervisor's
/// event is dropped, which the next look makes up for.
const INPUTS_MAX: usize = 1024;
/// Inputs taken in one turn, so that many of them cost one report.
const INPUTS_PER_TURN: usize = 64;
/// How often files that nobody needs are looked for, and the inventory is asked for anew. An image
/// whose last VM went is kept so long: often the next VM wants it again.
const UPKEEP_INTERVAL: Duration = Duration::from_secs(3600);

/// Runs the agent until `stop` comes, or until it cannot go on.
pub async fn run(config: Config, stop: impl Future<Output = ()>) -> Result<(), RunError> {
    let io = |what: &Path, source| RunError::Io { what: what.display().to_string(), source };
    let data_dir = config.data_dir.clone();
    make_dir(&data_dir).map_err(|error| io(&data_dir, error))?;
    let identity = Identity::load(&data_dir)?;
    let Peer::Host(host_id) = identity.peer() else {
        return Err(RunError::NotAHost(data_dir.display().to_string()));
    };
    let identity = IdentityStore::new(identity);
    let members = MembersFile::open(&data_dir)?;
    let (journal, found) = JournalStore::open(&data_dir.join("journal"))?;
    let (images_dir, vms_dir) = (config.images_dir(), config.vms_dir());
    make_dir(&images_dir).map_err(|error| io(&images_dir, error))?;
    let images = ImageStore::open(images_dir.clone()).map_err(|error| io(&images_dir, error))?;
    let vms = VmFiles::open(vms_dir.clone()).map_err(|error| io(&vms_dir, error))?;

    let (inputs_tx, inputs_rx) = mpsc::channel(INPUTS_MAX);
    let sink = sink(inputs_tx.clone());
    let hypervisor = hypervisor::open(&config.hypervisor, config.acceleration, &data_dir, sink)?;
    let pool = Pool::start(&hypervisor).map_err(|error| io(Path::new("threads"), error))?;
    let (uplink, links_rx, words_rx) =
        Uplink::start(Arc::clone(&identity), members.list(), vms.clone())
            .map_err(|error| io(Path::new("UDP socket"), error))?;

    let clock = Clock::start();
    let needs_images = hypervisor.needs_images();
    let calls = Calls::new(pool, inputs_tx.clone());
    let executor =
        Executor::new(calls, needs_images, images, vms, &uplink, journal, inputs_tx.clone());
    let name = config.host_name().map_err(RunError::Config)?;
    tracing::info!(host = %host_id, %name, generation = %found.desired.generation, "agent starts");
    let mut agent = Agent {
        host_id,
        core: Host::new(clock.now(), found),
        sampler: HostSampler::new(vms_dir),
        rates: VmRates::default(),
        reporter: Reporter::default(),
        samples: SampleSender::default(),
        inventory: None,
        described: false,
        name,
        failures: BTreeMap::new(),
        began: Instant::now(),
        clock,
        config,
        executor,
        members,
    };
    systemd::ready("running");
    let alive = || alive(inputs_tx.clone());
    let ended = tokio::select! {
        ended = agent.turn(&uplink, inputs_rx, links_rx, words_rx) => ended,
        () = stop => Ok(()),
        () = systemd::feed_watchdog(alive) => Ok(()),
        () = keep_renewed(identity, &data_dir, async |csr| uplink.renew(csr).await) => Ok(()),
    };
    systemd::stopping();
    tracing::info!("agent stops; its VMs run on");
    uplink.close().await;
    ended
}

/// What the event loop owns.
struct Agent {
    host_id: HostId,
    core: Host,
    sampler: HostSampler,
    rates: VmRates,
    reporter: Reporter,
    samples: SampleSender,
    /// `None` before the hypervisor has described itself.
    inventory: Option<HostInventory>,
    /// Whether the hypervisor was asked to, since it answers.
    described: bool,
    name: Name,
    /// The last failed dial of each member, to be told once.
    failures: BTreeMap<MemberId, String>,
    began: Instant,
    clock: Clock,
    config: Config,
    executor: Executor,
    members: MembersFile,
}

impl Agent {
    /// The event loop; ends only with an error.
    async fn turn(
        &mut self,
        uplink: &Uplink,
        mut inputs_rx: mpsc::Receiver<Input>,
        mut links_rx: mpsc::Receiver<LinkEvent>,
        mut words_rx: mpsc::Receiver<Word>,
    ) -> Result<(), RunError> {
        let mut heartbeats = ticks(self.config.heartbeat_interval());
        let mut samples = ticks(self.config.metrics_interval());
        let mut upkeep = ticks(UPKEEP_INTERVAL);
        loop {
            self.act();
            if self.reporter.tell(uplink, &self.core, self.inventory.as_ref()) == Hearing::New {
                self.reporter.beat(uplink, self.heartbeat());
            }
            let timeout =
                self.core.poll_timeout().map(|at| tokio::time::Instant::from_std(self.began + at));
            tokio::select! {
                Some(input) = inputs_rx.recv() => {
                    self.handle_input(input, uplink)?;
                    for _ in 1..INPUTS_PER_TURN {
                        let Ok(input) = inputs_rx.try_recv() else { break };
                        self.handle_input(input, uplink)?;
                    }
                }
                Some(event) = links_rx.recv() => self.handle_link(event, uplink),
                Some(word) = words_rx.recv() => self.handle_word(word, uplink),
                () = sleep_until(timeout) => self.core.handle_timeout(self.clock.now()),
                _ = heartbeats.tick() => self.reporter.beat(uplink, self.heartbeat()),
                _ = samples.tick() => self.begin_sample(uplink),
                _ = upkeep.tick() => self.keep_up(),
            }
        }
    }

    fn act(&mut self) {
        while let Some(action) = self.core.poll_action() {
            if let Action::Perform { vm, task } = &action {
                tracing::debug!(%vm, task = task.as_str(), "begins");
            }
            self.executor.perform(action);
        }
    }

    fn handle_input(&mut self, input: Input, uplink: &Uplink) -> Result<(), RunError> {
        let now = self.clock.now();
        match input {
            Input::Persisted(result) => {
                result?;
                self.core.handle_persisted(now);
            }
            Input::Observed(Ok(domains)) => {
                let back = self.core.hypervisor() == HypervisorHealth::Unreachable;
                self.core.handle_observed(now, &domains);
                if back || !self.described {
                    tracing::info!(domains = domains.len(), "the hypervisor answers");
                    self.described = true;
                    self.executor.calls.describe();
                }
            }
            Input::Observed(Err(error)) => {
                self.note_lost(&error);
                self.core.handle_unobserved(now);
            }
            Input::TaskDone { vm, outcome } => self.handle_task_done(now, vm, outcome),
            Input::Hypervisor(HypervisorEvent::Domain(vm)) => {
                self.core.handle_domain_event(now, vm);
            }
            Input::Hypervisor(HypervisorEvent::Lost) => self.core.handle_hypervisor_lost(now),
            Input::About(about) => self.handle_about(about),
            Input::Counters(counters) => self.handle_counters(now, counters, uplink),
            Input::Alive(answer) => drop(answer.send(())),
        }
        Ok(())
    }

    fn handle_task_done(&mut self, now: Duration, vm: VmId, outcome: Outcome) {
        self.executor.handle_task_done(vm);
        match &outcome {
            Outcome::Refused(reason) => tracing::warn!(%vm, reason, "a VM's task failed"),
            other => tracing::debug!(%vm, outcome = ?other, "ends"),
        }
        self.core.handle_task_done(now, vm, outcome);
    }

    fn handle_about(&mut self, about: Result<About, HypervisorError>) {
        self.executor.calls.handle_described();
        match about {
            Ok(about) => self.inventory = Some(self.inventory_of(about)),
            Err(error) => {
                self.described = false;
                tracing::warn!(%error, "the hypervisor does not describe itself");
            }
        }
    }

    /// Begins a sample of the host and its VMs: of the host alone where the hypervisor is silent.
    fn begin_sample(&mut self, uplink: &Uplink) {
        let is_there = self.core.hypervisor() == HypervisorHealth::Ready;
        if !is_there || self.executor.calls.count() == Question::Unanswered {
            self.tell_sample(BTreeMap::new(), uplink);
        }
    }

    fn handle_counters(
        &mut self,
        now: Duration,
        counters: Result<BTreeMap<VmId, VmCounters>, HypervisorError>,
        uplink: &Uplink,
    ) {
        self.executor.calls.handle_counted();
        let counters = counters.unwrap_or_else(|error| {
            if matches!(error, HypervisorError::Unreachable(_)) {
                self.note_lost(&error);
                self.core.handle_hypervisor_lost(now);
            }
            BTreeMap::new()
        });
        self.tell_sample(counters, uplink);
    }

    /// Tells a member what the host and its VMs, counted as in `counters`, use.
    fn tell_sample(&mut self, mut counters: BTreeMap<VmId, VmCounters>, uplink: &Uplink) {
        let now = self.clock.now();
        counters.retain(|vm, _| self.core.owns(*vm));
        let host = self.sampler.handle_sample(now);
        let vms = self.rates.handle_counters(now, counters);
        let batch = Batch { at: self.clock.timestamp(), host, vms };
        let taker = rendezvous::choose(self.host_id, uplink.connected());
        if let Some(session) = taker.and_then(|member| uplink.session(member)) {
            self.samples.send(&session, batch);
        }
    }

    fn handle_link(&mut self, event: LinkEvent, uplink: &Uplink) {
        match event {
            LinkEvent::Up(member, session) => {
                tracing::info!(%member, addr = %session.remote_addr(), "connected");
                self.failures.remove(&member);
                uplink.serve(member, session);
                self.core.handle_member_connected(self.clock.now());
            }
            LinkEvent::Down(member, error) => {
                tracing::warn!(%member, %error, "disconnected; VMs run on");
            }
            LinkEvent::Failed(member, error) => {
                let text = error.to_string();
                if self.failures.get(&member) != Some(&text) {
                    tracing::warn!(%member, error = text, "cannot connect; trying again");
                    self.failures.insert(member, text);
                }
            }
        }
    }

    fn handle_word(&mut self, word: Word, uplink: &Uplink) {
        let from = word.from;
        match word.message {
            ToAgent::Leadership { term, leader } => {
                if self.reporter.handle_leadership(term, leader) {
                    tracing::info!(%term, leader = leader.map(|leader| leader.0), "leadership changed");
                }
            }
            ToAgent::Members(members) => {
                // A follower may lag behind; the leader's word stands once there is a leader.
                if self.reporter.leader().is_some_and(|leader| leader != from) {
                    return;
                }
                match self.members.replace(&members) {
                    Ok(true) => uplink.set_members(self.members.list()),
                    Ok(false) => {}
                    Err(error) => tracing::error!(%error, "cannot keep the list of members"),
                }
            }
            ToAgent::Desired(set) => self.handle_desired(from, set),
        }
    }

    fn handle_desired(&mut self, from: MemberId, set: DesiredSet) {
        let (generation, vms) = (set.generation, set.vms.len());
        match self.core.handle_desired(self.clock.now(), set) {
            Ok(Acceptance::Accepted) => tracing::info!(%generation, vms, "a new desired set"),
            Ok(Acceptance::Unchanged) => {}
            Err(refusal @ DesiredRefusal::Stale { .. }) => {
                tracing::debug!(member = %from, "{refusal}");
            }
            Err(refusal) => tracing::error!(member = %from, "refused a desired set: {refusal}"),
        }
    }

    fn heartbeat(&self) -> Heartbeat {
        let sample = self.sampler.latest();
        let running = self.core.running();
        let summary = HostSummary {
            cpu_busy_permille: sample.cpu_busy_permille,
            memory_used: ByteCount(sample.memory_used_bytes),
            disk_used: ByteCount(sample.disk_used_bytes),
            vms_running: u32::try_from(running).unwrap_or(u32::MAX),
        };
        let (generation, hypervisor) = (self.core.generation(), self.core.hypervisor());
        Heartbeat { generation, hypervisor, summary }
    }

    fn inventory_of(&self, about: About) -> HostInventory {
        HostInventory {
            name: self.name.clone(),
            agent_version: env!("CARGO_PKG_VERSION").to_owned(),
            capacity: self.config.capacity(&about, self.sampler.disk().1),
            hypervisor: about.description,
            labels: self.config.labels.clone(),
        }
    }

    fn keep_up(&mut self) {
        self.executor.calls.describe();
        self.executor.collect(self.core.files_in_use());
    }

    fn note_lost(&self, error: &HypervisorError) {
        if self.core.hypervisor() == HypervisorHealth::Ready {
            tracing::warn!(%error, "VMs run on, nothing can be changed");
        }
    }
}

fn sink(inputs_tx: mpsc::Sender<Input>) -> EventSink {
    Arc::new(move |event| {
        // When the loop has this much to do already, it looks again soon anyway.
        let _ = inputs_tx.try_send(Input::Hypervisor(event));
    })
}

/// Comes back when the event loop has taken this in.
async fn alive(inputs_tx: mpsc::Sender<Input>) {
    let (answer_tx, answer_rx) = oneshot::channel();
    if inputs_tx.send(Input::Alive(answer_tx)).await.is_ok() {
        let _ = answer_rx.await;
    }
}

fn ticks(period: Duration) -> tokio::time::Interval {
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    ticks
}

async fn sleep_until(at: Option<tokio::time::Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
