//! From `kill -9` of the leader to the next acknowledged write.
//!
//! From the moment of the kill a write is tried every [`PROBE_EVERY`] at the surviving members in
//! turn, each on its own: the first acknowledgement ends the round. So neither how long a client
//! waits before it tries again, nor a request that was lost with the leader, is part of the figure,
//! for either system. The killed member is back and even before the next round.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use serde_json::json;

use super::cluster::{Cluster, host_name};
use super::peer::etcd::Etcd;
use super::{Bench, say};
use crate::samples::{Samples, ms};
use crate::usage::Disturbance;

/// Three members of which one leads.
pub(super) trait Quorum {
    fn leader(&self) -> Result<usize>;
    fn kill(&mut self, at: usize) -> Result<()>;
    /// Starts a killed member again; returns once all members are even.
    fn restore(&mut self, at: usize) -> Result<()>;
    /// What makes a write at member `at` and returns once it is acknowledged.
    fn writer(&self, at: usize) -> Box<dyn Fn(u64) -> Result<()> + Send>;
    fn pids(&self) -> Vec<u32>;
}

impl Quorum for Cluster {
    fn leader(&self) -> Result<usize> {
        Self::leader(self)
    }

    fn kill(&mut self, at: usize) -> Result<()> {
        self.members[at].kill()
    }

    fn restore(&mut self, at: usize) -> Result<()> {
        self.members[at].restart()?;
        self.wait_even()
    }

    fn writer(&self, at: usize) -> Box<dyn Fn(u64) -> Result<()> + Send> {
        let api = self.api.clone();
        Box::new(move |number| api.write(at, &host_name(1), number))
    }

    fn pids(&self) -> Vec<u32> {
        Self::pids(self)
    }
}

pub(super) fn run(bench: &mut Bench) -> Result<()> {
    say("failover: starting 3 members");
    let mut cluster = Cluster::start(bench, "failover", 1)?;
    let ours = measure(bench, &mut cluster, "novacron", None)?;
    drop(cluster);
    let Some(mut etcd) = Etcd::start(bench)? else { return Ok(()) };
    let version = etcd.version.clone();
    let theirs = measure(bench, &mut etcd, "etcd", Some(&version))?;
    let case = bench.case(json!({ "name": "failover", "rounds": ours.len(), "peer": "etcd" }));
    let mut section = bench.report.section("novacron", case);
    let ratio = |percent| ms(ours.percentile(percent)) / ms(theirs.percentile(percent));
    section.add("p50_over_etcd", ratio(50), "x");
    section.add("max_over_etcd", ratio(100), "x");
    Ok(())
}

fn measure(
    bench: &mut Bench,
    quorum: &mut impl Quorum,
    system: &str,
    version: Option<&str>,
) -> Result<Samples> {
    let rounds = bench.scale.failover_rounds;
    let mut outages = Vec::new();
    let disturbance = Disturbance::begin(&quorum.pids())?;
    for round in 1..=rounds {
        // Members that came back connect to all others within this; both systems get it.
        thread::sleep(SETTLE);
        let outage = one_round(quorum, round as u64)?;
        say(&format!("failover: {system} round {round} of {rounds}: {:.0} ms", ms(outage)));
        outages.push(outage);
    }
    let foreign = disturbance.percent(&quorum.pids())?;
    let outages: Samples = outages.into_iter().collect();
    let mut case = json!({ "name": "failover", "rounds": rounds, "members": 3 });
    if let Some(version) = version {
        case["version"] = json!(version);
    }
    let case = bench.case(case);
    let mut section = bench.report.section(system, case);
    section.add_latency("kill_to_write", &outages, (system == "novacron").then_some(AIM_MS));
    section.add("other_work", foreign, "% of machine");
    Ok(outages)
}

fn one_round(quorum: &mut impl Quorum, round: u64) -> Result<Duration> {
    let leader = quorum.leader()?;
    let survivors: Vec<usize> = (0..3).filter(|at| *at != leader).collect();
    for at in &survivors {
        quorum.writer(*at)(round)?;
    }
    let killed = Instant::now();
    quorum.kill(leader)?;
    let outage = probe(quorum, &survivors, killed, round);
    quorum.restore(leader)?;
    outage
}

/// Tries writes until one is acknowledged; how long after `killed` that was.
fn probe(
    quorum: &impl Quorum,
    survivors: &[usize],
    killed: Instant,
    round: u64,
) -> Result<Duration> {
    let (acknowledged_tx, acknowledged) = channel();
    let mut probes: Vec<JoinHandle<()>> = Vec::new();
    let mut first = None;
    for number in 0..PROBES_MAX {
        let at = survivors[number as usize % survivors.len()];
        let writer = quorum.writer(at);
        let unique = round * u64::from(PROBES_MAX) + u64::from(number);
        probes.push(start_probe(writer, unique, acknowledged_tx.clone()));
        let next = killed + PROBE_EVERY * (number + 1);
        first = first_by(&acknowledged, next);
        if first.is_some() {
            break;
        }
    }
    for probe in probes {
        let _ = probe.join();
    }
    match first.or_else(|| acknowledged.try_iter().min()) {
        Some(at) => Ok(at - killed),
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

const PROBE_EVERY: Duration = Duration::from_millis(50);
/// 15 s of them: several elections of either system.
const PROBES_MAX: u32 = 300;
const SETTLE: Duration = Duration::from_secs(2);
/// Issue 2, acceptance 5.
const AIM_MS: f64 = 2000.0;
