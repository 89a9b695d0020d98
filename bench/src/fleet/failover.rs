//! From the loss of the leader to the next acknowledged write: it is killed with `kill -9`, or it is
//! stopped with `SIGSTOP`, which leaves its connections open and its peers without a word.
//!
//! From the moment of the loss a write is tried every [`PROBE_EVERY`] at the surviving members in
//! turn, each on its own: the first acknowledgement ends the round. So neither how long a client
//! waits before it tries again, nor a request that was lost with the leader, is part of the figure,
//! for either system. The killed member is back and even before the next round.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use rustix::process::Signal;
use serde_json::json;

use super::cluster::{Cluster, host_name};
use super::peer::etcd::Etcd;
use super::{Bench, say};
use crate::program::Program;
use crate::samples::{Samples, ms};
use crate::usage::Disturbance;

/// Three members of which one leads.
pub(crate) trait Quorum {
    fn leader(&self) -> Result<usize>;
    fn program(&mut self, at: usize) -> &mut Program;
    /// Returns once all members are even.
    fn wait_even(&self) -> Result<()>;
    /// What makes a write at member `at` and returns once it is acknowledged.
    fn writer(&self, at: usize) -> Box<dyn Fn(u64) -> Result<()> + Send>;
    fn pids(&self) -> Vec<u32>;
}

impl Quorum for Cluster {
    fn leader(&self) -> Result<usize> {
        Self::leader(self)
    }

    fn program(&mut self, at: usize) -> &mut Program {
        &mut self.members[at]
    }

    fn wait_even(&self) -> Result<()> {
        Self::wait_even(self)
    }

    fn writer(&self, at: usize) -> Box<dyn Fn(u64) -> Result<()> + Send> {
        let api = self.api.clone();
        Box::new(move |number| api.write(at, &host_name(1), number))
    }

    fn pids(&self) -> Vec<u32> {
        Self::pids(self)
    }
}

/// How a leader is lost.
#[derive(Debug, Clone, Copy)]
enum Loss {
    Killed,
    Stopped,
}

pub(super) fn run(bench: &mut Bench) -> Result<()> {
    say("failover: starting 3 members");
    let mut cluster = Cluster::start(bench, "failover", 1)?;
    let ours = [Loss::Killed, Loss::Stopped]
        .map(|loss| measure(bench, &mut cluster, "novacron", None, loss));
    drop(cluster);
    let [ours, _] = ours;
    let ours = ours?;
    let Some(mut etcd) = Etcd::start(bench)? else { return Ok(()) };
    let version = etcd.version.clone();
    let theirs = measure(bench, &mut etcd, "etcd", Some(&version), Loss::Killed)?;
    let case = bench.case(json!({ "name": "failover", "rounds": ours.len(), "peer": "etcd" }));
    let mut section = bench.report.section("novacron", case);
    let ratio = |percent| ms(ours.percentile(percent)) / ms(theirs.percentile(percent));
    section.add("p50_over_etcd", ratio(50), "x");
    section.add("max_over_etcd", ratio(100), "x");
    Ok(())
}

impl Loss {
    fn name(self) -> &'static str {
        match self {
            Self::Killed => "killed",
            Self::Stopped => "stopped",
        }
    }

    fn inflict(self, program: &mut Program) -> Result<()> {
        match self {
            Self::Killed => program.kill(),
            Self::Stopped => program.signal(Signal::STOP),
        }
    }

    fn undo(self, program: &mut Program) -> Result<()> {
        match self {
            Self::Killed => program.restart(),
            Self::Stopped => program.signal(Signal::CONT),
        }
    }
}

fn measure(
    bench: &mut Bench,
    quorum: &mut impl Quorum,
    system: &str,
    version: Option<&str>,
    loss: Loss,
) -> Result<Samples> {
    let rounds = bench.scale.failover_rounds;
    let mut outages = Vec::new();
    let disturbance = Disturbance::begin(&quorum.pids())?;
    for round in 1..=rounds {
        // Members that came back connect to all others within this; both systems get it.
        thread::sleep(SETTLE);
        let outage = one_round(quorum, round as u64, loss)?;
        let how = loss.name();
        say(&format!("failover: {system} {how}, round {round} of {rounds}: {:.0} ms", ms(outage)));
        outages.push(outage);
    }
    let foreign = disturbance.percent(&quorum.pids())?;
    let outages: Samples = outages.into_iter().collect();
    let mut case =
        json!({ "name": "failover", "via": loss.name(), "rounds": rounds, "members": 3 });
    if let Some(version) = version {
        case["version"] = json!(version);
    }
    let case = bench.case(case);
    let mut section = bench.report.section(system, case);
    section.add_latency("loss_to_write", &outages, (system == "novacron").then_some(AIM_MS));
    section.add("other_work", foreign, "% of machine");
    Ok(outages)
}

fn one_round(quorum: &mut impl Quorum, round: u64, loss: Loss) -> Result<Duration> {
    let leader = quorum.leader()?;
    let survivors: Vec<usize> = (0..3).filter(|at| *at != leader).collect();
    for at in &survivors {
        quorum.writer(*at)(round)?;
    }
    let lost = Instant::now();
    loss.inflict(quorum.program(leader))?;
    let outage = probe(quorum, &survivors, lost, round);
    loss.undo(quorum.program(leader))?;
    quorum.wait_even()?;
    outage
}

/// Tries writes until one is acknowledged; how long after `lost` that was.
fn probe(quorum: &impl Quorum, survivors: &[usize], lost: Instant, round: u64) -> Result<Duration> {
    let (acknowledged_tx, acknowledged) = channel();
    let mut probes: Vec<JoinHandle<()>> = Vec::new();
    let mut first = None;
    for number in 0..PROBES_MAX {
        let at = survivors[number as usize % survivors.len()];
        let writer = quorum.writer(at);
        let unique = round * u64::from(PROBES_MAX) + u64::from(number);
        probes.push(start_probe(writer, unique, acknowledged_tx.clone()));
        let next = lost + PROBE_EVERY * (number + 1);
        first = first_by(&acknowledged, next);
        if first.is_some() {
            break;
        }
    }
    for probe in probes {
        let _ = probe.join();
    }
    match first.or_else(|| acknowledged.try_iter().min()) {
        Some(at) => Ok(at - lost),
        None => bail!("no write was acknowledged within {:?}", PROBE_EVERY * PROBES_MAX),
    }
}

fn start_probe(
    writer: Box<dyn Fn(u64) -> Result<()> + Send>,
    number: u64,
    acknowledged_tx: Sender<Instant>,
) -> JoinHandle<()> {
    thread::spawn(move || {
        if writer(number).is_ok() {
            let _ = acknowledged_tx.send(Instant::now());
        }
    })
}

fn first_by(acknowledged: &Receiver<Instant>, deadline: Instant) -> Option<Instant> {
    acknowledged.recv_timeout(deadline.saturating_duration_since(Instant::now())).ok()
}

const PROBE_EVERY: Duration = Duration::from_millis(20);
/// 15 s of them: several elections of either system.
const PROBES_MAX: u32 = 750;
const SETTLE: Duration = Duration::from_secs(2);
/// Issue 4, acceptance 2.
const AIM_MS: f64 = 500.0;
