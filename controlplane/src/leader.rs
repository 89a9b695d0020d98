//! What the leader does beside answering: hears agents, proposes what the fleet needs, tells agents
//! what they should have, keeps the Raft group in line with the state.
//!
//! All deciding is in `novacron-controlplane-core`; this loop carries events in and commands out.

use std::collections::BTreeMap;
use std::time::Duration;

use futures_util::future::join_all;
use novacron_controlplane_core::fleet::Fleet;
use novacron_controlplane_core::membership::{self, Step};
use novacron_controlplane_core::{Command, Envelope, State};
use novacron_daemon::Clock;
use novacron_protocol::host::HostInventory;
use novacron_protocol::wire::Class;
use novacron_protocol::wire::agent::{Report, ToAgent};
use novacron_protocol::wire::hello::Peer;
use novacron_protocol::{Generation, HostId, LogIndex};
use novacron_transport::{Session, SessionError};
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

use crate::cluster::Status;
use crate::peers::Peers;
use crate::raft::{Handle, MembershipChange};

/// Words of agents that may wait for the leader; beyond it sessions wait, and their agents with them.
pub const HEARD_QUEUE_MAX: usize = 4_096;
/// Longest pause between two looks at the whole.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// A proposal that takes longer is given up; the next look proposes it again.
const PROPOSAL_PATIENCE: Duration = Duration::from_secs(5);

/// What an agent said.
#[derive(Debug)]
pub struct Heard {
    pub host: HostId,
    pub word: Word,
}

#[derive(Debug)]
pub enum Word {
    Heartbeat,
    Inventory(HostInventory),
    Report(Report),
}

/// The handles that the leader's loops need.
#[derive(Debug)]
pub struct Leader {
    pub raft: Handle,
    pub peers: Peers,
    pub clock: Clock,
    /// Silence after which a host is called disconnected.
    pub silence_max: Duration,
}

/// One spell of leadership.
struct Spell<'a> {
    leader: &'a Leader,
    fleet: Fleet,
    /// Per host: the session and generation that it was last told.
    told: BTreeMap<HostId, (u64, Generation)>,
}

impl Leader {
    /// Leads whenever this member is the leader; for ever.
    pub async fn run(self, mut heard: mpsc::Receiver<Heard>) {
        let mut status = self.raft.status();
        loop {
            let now = *status.borrow_and_update();
            if !now.ready {
                // An agent speaks to us because it was told that we lead, maybe before we may act
                // on it, and says nothing twice: its words wait until it is known who leads.
                let is_another = now.leader.is_some_and(|leader| leader != now.member);
                tokio::select! {
                    biased;
                    changed = status.changed() => if changed.is_err() {
                        return;
                    },
                    word = heard.recv(), if is_another => if word.is_none() {
                        return;
                    },
                }
                continue;
            }
            let spell = Spell {
                leader: &self,
                fleet: Fleet::new(self.clock.now(), self.silence_max),
                told: BTreeMap::new(),
            };
            spell.run(&mut heard, &mut status).await;
        }
    }
}

impl Spell<'_> {
    async fn run(
        mut self,
        heard: &mut mpsc::Receiver<Heard>,
        status: &mut watch::Receiver<Status>,
    ) {
        let mut states = self.leader.raft.state();
        let mut progress = self.leader.raft.progress();
        while status.borrow_and_update().ready {
            let state = states.borrow_and_update().clone();
            let pause = self.act(&state).await;
            tokio::select! {
                _ = tokio::time::sleep(pause) => {}
                _ = states.changed() => {}
                _ = progress.changed() => {}
                _ = status.changed() => {}
                word = heard.recv() => match word {
                    Some(word) => self.hear(word),
                    None => return,
                },
            }
            while let Ok(word) = heard.try_recv() {
                self.hear(word);
            }
        }
    }

    fn hear(&mut self, heard: Heard) {
        let now = self.leader.clock.now();
        match heard.word {
            Word::Heartbeat => self.fleet.handle_heartbeat(now, heard.host),
            Word::Inventory(inventory) => self.fleet.handle_inventory(now, heard.host, inventory),
            Word::Report(report) => self.fleet.handle_report(now, heard.host, report),
        }
    }

    /// Does all that is to be done now; how long until there is more without anything happening.
    async fn act(&mut self, state: &State) -> Duration {
        let clock = &self.leader.clock;
        self.tell_agents(state);
        self.step_membership(state);
        let commands = self.fleet.reconcile(clock.now(), clock.timestamp(), state);
        self.propose(commands).await;
        let next = self.fleet.poll_timeout(state).unwrap_or(Duration::MAX);
        next.saturating_sub(clock.now()).clamp(Duration::from_millis(10), LOOK_EVERY)
    }

    /// Proposes all at once, so that they share a flush, and waits until they show in the state.
    async fn propose(&self, commands: Vec<Command>) {
        let raft = &self.leader.raft;
        let proposals = commands.into_iter().map(|command| {
            let envelope = Envelope::system(self.leader.clock.timestamp(), command);
            let bytes = envelope.encode().expect("the loops' own bounds keep commands short");
            timeout(PROPOSAL_PATIENCE, raft.propose(bytes))
        });
        let mut last = LogIndex(0);
        for result in join_all(proposals).await {
            match result {
                Ok(Ok(written)) => {
                    last = last.max(written.index);
                    if let Err(refusal) = written.applied {
                        tracing::debug!(%refusal, "the state has moved on");
                    }
                }
                Ok(Err(error)) => tracing::debug!(%error, "not proposed"),
                Err(_) => tracing::debug!("a proposal takes long"),
            }
        }
        let mut shown = raft.state();
        let _ = timeout(PROPOSAL_PATIENCE, shown.wait_for(|state| state.applied() >= last)).await;
    }

    /// Sends the whole desired set to each connected host that has not been told the newest.
    fn tell_agents(&mut self, state: &State) {
        for session in self.leader.peers.sessions() {
            let Peer::Host(id) = session.peer() else { continue };
            let Some(host) = state.host(id) else { continue };
            let told = (session.stable_id(), host.generation);
            if self.told.get(&id) == Some(&told) {
                continue;
            }
            if tell(&session, state, id) {
                self.told.insert(id, told);
            }
        }
        self.told.retain(|id, _| state.host(*id).is_some());
    }

    fn step_membership(&self, state: &State) {
        let raft = &self.leader.raft;
        let own = raft.status().borrow().member;
        let group = raft.progress().borrow().clone();
        match membership::next_step(state, own, &group) {
            None => {}
            Some(Step::AddLearner(id)) => raft.change_membership(MembershipChange::AddLearner(id)),
            Some(Step::Promote(id)) => raft.change_membership(MembershipChange::Promote(id)),
            Some(Step::Remove(id)) => raft.change_membership(MembershipChange::Remove(id)),
            Some(Step::TransferLead(id)) => raft.transfer_lead(id),
        }
    }
}

/// Whether the set is on its way; a full queue is tried again at the next look.
fn tell(session: &Session, state: &State, host: HostId) -> bool {
    let Some(set) = state.desired_set(host) else { return false };
    match session.try_send(Class::Command, &ToAgent::Desired(set)) {
        Ok(()) => true,
        Err(error @ SessionError::TooLong(_)) => {
            tracing::error!(%host, %error, "the host cannot be told what it should have");
            true
        }
        Err(error) => {
            tracing::debug!(%host, %error, "desired set not sent");
            false
        }
    }
}
