//! `fleet`: how fast a VM runs, how fast a lost leader is replaced, what it all weighs.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use clap::ValueEnum;
use novacron_tests::lab::binaries::Binaries;
use serde_json::{Value, json};

use crate::FleetArguments;
use crate::machine;
use crate::report::{Report, Section};
use crate::samples::ms;
use crate::workspace::Workspace;

pub(crate) mod cluster;
mod creation;
pub(crate) mod failover;
mod footprint;
pub(crate) mod peer;

/// What can be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Case {
    /// Accepted request to running VM
    Create,
    /// `kill -9` of the leader to the next acknowledged write, beside etcd
    Failover,
    /// Memory and processor time of an agent, beside node_exporter
    Agent,
    /// Memory and processor time of members with 100 hosts and 1,000 VMs
    Members,
}

/// What every case works with.
#[derive(Debug)]
pub(crate) struct Bench {
    binaries: Binaries,
    workspace: Workspace,
    scale: Scale,
    variables: Vec<(String, String)>,
    report: Report,
}

/// How long to look.
#[derive(Debug, Clone, Copy)]
struct Scale {
    create_for: Duration,
    failover_rounds: usize,
    idle_for: Duration,
    telemetry_for: Duration,
}

const FULL: Scale = Scale {
    create_for: Duration::from_secs(60),
    failover_rounds: 20,
    idle_for: Duration::from_secs(60),
    telemetry_for: Duration::from_secs(300),
};
const QUICK: Scale = Scale {
    create_for: Duration::from_secs(20),
    failover_rounds: 5,
    idle_for: Duration::from_secs(30),
    telemetry_for: Duration::from_secs(60),
};

pub(crate) fn run(arguments: FleetArguments) -> Result<()> {
    let binaries = Binaries::obtain()?;
    let out = arguments.out.unwrap_or_else(|| binaries.target.join("bench/fleet.jsonl"));
    let workspace = Workspace::create(&binaries.target)?;
    let scale = if arguments.quick { QUICK } else { FULL };
    let variables = arguments.variables;
    let mut bench = Bench { binaries, workspace, scale, variables, report: Report::default() };
    bench.describe_machine()?;
    let all = [Case::Create, Case::Failover, Case::Agent, Case::Members];
    for case in
        all.into_iter().filter(|case| arguments.only.is_empty() || arguments.only.contains(case))
    {
        match case {
            Case::Create => creation::run(&mut bench)?,
            Case::Failover => failover::run(&mut bench)?,
            Case::Agent => footprint::agent(&mut bench)?,
            Case::Members => footprint::members(&mut bench)?,
        }
        // After each case: what was measured outlives a failure of what comes next.
        bench.report.write(&out)?;
    }
    println!("\n{}\n{}", machine::description(), bench.report.table());
    println!("one JSON line per figure: {}", out.display());
    Ok(())
}

impl Bench {
    /// For another benchmark than this: its programs, its files, its figures.
    pub(crate) fn begin(binaries: Binaries, variables: Vec<(String, String)>) -> Result<Self> {
        let workspace = Workspace::create(&binaries.target)?;
        let report = Report::default();
        let mut bench = Self { binaries, workspace, scale: QUICK, variables, report };
        bench.describe_machine()?;
        Ok(bench)
    }

    /// Figures of one system in one case.
    pub(crate) fn section(&mut self, system: &str, case: Value) -> Section<'_> {
        let case = self.case(case);
        self.report.section(system, case)
    }

    pub(crate) fn table(&self) -> String {
        self.report.table()
    }

    pub(crate) fn write(&self, out: &Path) -> Result<()> {
        self.report.write(out)
    }

    /// A case's circumstances: its own, and those of the whole run.
    fn case(&self, mut case: Value) -> Value {
        if let Value::Object(case) = &mut case {
            for (key, value) in &self.variables {
                case.insert(key.clone(), json!(value));
            }
        }
        case
    }

    fn describe_machine(&mut self) -> Result<()> {
        let syncs = machine::sync_latency(self.workspace.dir()).context("probe the disk")?;
        let case = json!({ "name": "machine", "machine": machine::description() });
        let mut section = self.report.section("machine", case);
        section.add("fdatasync_512b_p50", ms(syncs.percentile(50)), "ms");
        section.add("fdatasync_512b_p99", ms(syncs.percentile(99)), "ms");
        Ok(())
    }

    /// A directory of its own for something that is started.
    fn dir(&self, name: &str) -> Result<PathBuf> {
        let dir = self.workspace.dir().join(name);
        std::fs::create_dir_all(&dir).with_context(|| format!("make {}", dir.display()))?;
        Ok(dir)
    }
}

/// Says what goes on, on standard error.
pub(crate) fn say(text: &str) {
    eprintln!("bench: {text}");
}

fn text(path: impl AsRef<Path>) -> String {
    path.as_ref().to_string_lossy().into_owned()
}
