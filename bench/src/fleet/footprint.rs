//! Memory and processor time at rest.

use std::time::{Duration, Instant};
use std::{iter, thread};

use anyhow::{Context, Result};
use novacron_tests::wait;
use serde_json::{Value, json};

use super::cluster::Cluster;
use super::peer::node_exporter::NodeExporter;
use super::{Bench, say};
use crate::load::Load;
use crate::program::Program;
use crate::report::Section;
use crate::usage::{Cpu, Disturbance, Memory};

/// One agent, idle and with 100 VMs, beside node_exporter.
pub(super) fn agent(bench: &mut Bench) -> Result<()> {
    say("agent: starting 3 members and a host");
    let cluster = Cluster::start(bench, "agent", 1)?;
    let exporter = NodeExporter::start(bench)?;
    thread::sleep(SETTLE);
    let programs: Vec<&Program> = cluster.agents.iter().chain(&cluster.members).collect();
    let idle_for = bench.scale.idle_for;
    say(&format!("agent: idle for {idle_for:?}"));
    let watch = Watch::begin(&programs)?;
    thread::sleep(idle_for);
    let per_minute = watch.seconds_per_minute(&programs)?;
    let foreign = watch.foreign(&programs)?;
    let [agent, members @ ..] = &per_minute[..] else { unreachable!("one agent was started") };

    let mut section = section(bench, "agent", "idle", json!({ "hosts": 1, "vms": 0 }));
    add_memory(&mut section, "agent", cluster.agents[0].memory()?, Some(15.0));
    section.add("agent_cpu", *agent, "s/min");
    section.add("member_cpu_max", largest(members), "s/min");
    section.add("other_work", foreign, "% of machine");
    if let Some(exporter) = &exporter {
        let memory = exporter.program.memory()?;
        let case = json!({ "name": "agent", "state": "idle", "version": exporter.version });
        let case = bench.case(case);
        let mut section = bench.report.section("node_exporter", case);
        add_memory(&mut section, "agent", memory, None);
        exporter.scrape_a_while()?;
        section.add("agent_rss_after_scrapes", mib(exporter.program.memory()?.rss_bytes), "MiB");
    }
    drop(exporter);

    say("agent: 100 VMs");
    create(&cluster, 100)?;
    thread::sleep(SETTLE);
    let memory = cluster.agents[0].memory()?;
    let watch = Watch::begin(&programs)?;
    thread::sleep(idle_for);
    let per_minute = watch.seconds_per_minute(&programs)?;
    let mut section = self::section(bench, "agent", "100 VMs", json!({ "hosts": 1, "vms": 100 }));
    add_memory(&mut section, "agent", memory, Some(25.0));
    section.add("agent_cpu", per_minute[0], "s/min");
    Ok(())
}

/// Three members with 100 hosts and 1,000 VMs.
pub(super) fn members(bench: &mut Bench) -> Result<()> {
    say(&format!("members: starting 3 members and {HOSTS} hosts"));
    let cluster = Cluster::start(bench, "members", HOSTS)?;
    let leader = cluster.leader()?;
    say(&format!("members: creating {VMS} VMs"));
    let began = Instant::now();
    create(&cluster, VMS)?;
    let created_in = began.elapsed();
    thread::sleep(SETTLE);
    let size = json!({ "hosts": HOSTS, "vms": VMS });
    let mut settled = section(bench, "members", "settled", size.clone());
    settled.add("create_all", created_in.as_secs_f64(), "s");
    add_members(&mut settled, &cluster, leader)?;

    let programs: Vec<&Program> = cluster.members.iter().chain(&cluster.agents).collect();
    let telemetry_for = bench.scale.telemetry_for;
    say(&format!("members: {telemetry_for:?} of telemetry"));
    let watch = Watch::begin(&programs)?;
    thread::sleep(telemetry_for);
    let per_minute = watch.seconds_per_minute(&programs)?;
    let foreign = watch.foreign(&programs)?;
    let (members, agents) = per_minute.split_at(cluster.members.len());
    let mut later = section(bench, "members", "telemetry", {
        let mut case = size;
        case["seconds"] = json!(telemetry_for.as_secs());
        case
    });
    add_members(&mut later, &cluster, leader)?;
    later.add("leader_cpu", members[leader], "s/min");
    later.add("member_cpu_max", largest(members), "s/min");
    later.add("agent_cpu_mean", agents.iter().sum::<f64>() / agents.len() as f64, "s/min");
    let agent_rss: Result<Vec<f64>> =
        cluster.agents.iter().map(|agent| Ok(mib(agent.memory()?.rss_bytes))).collect();
    later.add("agent_10_vms_rss_max", largest(&agent_rss?), "MiB");
    later.add("other_work", foreign, "% of machine");
    Ok(())
}

/// Creates VMs through all members and waits until they run.
fn create(cluster: &Cluster, vms: u32) -> Result<()> {
    let load = Load { per_second: CREATES_PER_SECOND, count: vms as usize };
    let creates = load.run(|number| {
        let at = number % cluster.api.count();
        cluster.api.create_vm(at, &format!("vm-{number}"), cluster.image)
    });
    for create in creates {
        create.answer.context("create a VM")?;
    }
    wait::for_true("the VMs to run", RUN_WITHIN, || {
        Ok(cluster.api.cluster(0)?.counts.vms_running == vms)
    })
}

fn section<'a>(bench: &'a mut Bench, name: &str, state: &str, size: Value) -> Section<'a> {
    let mut case = size;
    case["name"] = json!(name);
    case["state"] = json!(state);
    let case = bench.case(case);
    bench.report.section("novacron", case)
}

fn add_members(section: &mut Section<'_>, cluster: &Cluster, leader: usize) -> Result<()> {
    let memory = cluster.members.iter().map(Program::memory).collect::<Result<Vec<_>>>()?;
    let worst =
        memory.iter().copied().max_by_key(|memory| memory.rss_bytes).context("no member")?;
    add_memory(section, "member_max", worst, Some(60.0));
    section.add("leader_rss", mib(memory[leader].rss_bytes), "MiB");
    Ok(())
}

fn add_memory(section: &mut Section<'_>, who: &str, memory: Memory, rss_aim_mib: Option<f64>) {
    let rss = mib(memory.rss_bytes);
    match rss_aim_mib {
        Some(aim) => section.add_with_aim(&format!("{who}_rss"), rss, "MiB", aim),
        None => section.add(&format!("{who}_rss"), rss, "MiB"),
    }
    section.add(&format!("{who}_pss"), mib(memory.pss_bytes), "MiB");
    section.add(&format!("{who}_anonymous"), mib(memory.anonymous_bytes), "MiB");
}

/// Processor time of some programs from a moment on.
struct Watch {
    began: Instant,
    counters: Vec<Cpu>,
    disturbance: Disturbance,
}

impl Watch {
    fn begin(programs: &[&Program]) -> Result<Self> {
        Ok(Self {
            began: Instant::now(),
            counters: programs.iter().map(|program| program.cpu()).collect::<Result<_>>()?,
            disturbance: Disturbance::begin(&pids(programs))?,
        })
    }

    fn seconds_per_minute(&self, programs: &[&Program]) -> Result<Vec<f64>> {
        let minutes = self.began.elapsed().as_secs_f64() / 60.0;
        let used =
            |(program, then): (&&Program, &Cpu)| Ok(program.cpu()?.seconds_since(*then) / minutes);
        iter::zip(programs, &self.counters).map(used).collect()
    }

    fn foreign(&self, programs: &[&Program]) -> Result<f64> {
        self.disturbance.percent(&pids(programs))
    }
}

fn pids(programs: &[&Program]) -> Vec<u32> {
    programs.iter().filter_map(|program| program.pid().ok()).collect()
}

fn largest(values: &[f64]) -> f64 {
    values.iter().copied().fold(0.0, f64::max)
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

const HOSTS: u32 = 100;
const VMS: u32 = 1_000;
const CREATES_PER_SECOND: u32 = 50;
/// For connections and first telemetry to be over.
const SETTLE: Duration = Duration::from_secs(15);
const RUN_WITHIN: Duration = Duration::from_secs(120);
