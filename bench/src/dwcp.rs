//! `dwcp`: NovaCron's transport beside its peers, on links that all of them see alike.
//!
//! ```text
//!  lines ──> exchanges: a serving end, its senders, a link in between ──> medians ──> figures
//! ```
//! Each line is one acceptance of what the transport must show. All systems do the same work (see
//! `novacron-workload`) in the same run, taking turns, so that a change of the machine's mood hits
//! all of them.

use std::cell::Cell;
use std::fs;
use std::path::{Path as FilePath, PathBuf};

use anyhow::{Context, Result, bail};
use clap::ValueEnum;
use serde_json::{Value, json};

use crate::machine;
use crate::report::Report;
use crate::workspace::Workspace;

mod bulk;
mod commands;
mod exchange;
mod fairness;
mod figures;
mod goodput;
mod link;
mod loopback;
pub(crate) mod own;
pub(crate) mod ping;
mod place;
mod plot;
mod programs;
mod runs;
mod system;
mod table;
mod traces;
mod verdicts;

use figures::Figures;
use link::Path;
use programs::Programs;
use runs::Medians;
use system::System;

/// What can be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Line {
    /// 1: goodput of one bulk transfer over rate, round trip and loss
    Goodput,
    /// 2: one-way time of a command beside four bulk streams
    Command,
    /// 3: round trip under one's own bulk with long buffers
    Queueing,
    /// 4: shares among several, and with TCP CUBIC
    Fairness,
    /// 5: goodput on recorded links; needs --traces
    Trace,
    /// 7: goodput and processor time on loopback at MTU 1500
    Loopback,
}

/// One cell in 15 seconds: `--only goodput --rate 100 --rtt 150 --loss 1 --systems novacron,tcp-bbr
/// --runs 1 --quick`. Without --quick the path is taken from the filters only if it is on the grid;
/// a path that is not is measured when rate, rtt and loss are all given.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// A telling subset in under ten minutes
    #[arg(long)]
    quick: bool,
    /// Only these lines
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Line>,
    /// Only these systems
    #[arg(long, value_enum, value_delimiter = ',')]
    systems: Vec<System>,
    /// Only paths of these rates, Mbit/s
    #[arg(long, value_delimiter = ',')]
    rate: Vec<f64>,
    /// Only paths of these round trips, ms
    #[arg(long, value_delimiter = ',')]
    rtt: Vec<u64>,
    /// Only paths of these random losses, both ways, %
    #[arg(long, value_delimiter = ',')]
    loss: Vec<f64>,
    /// Only paths of these buffers, bandwidth-delay products
    #[arg(long, value_delimiter = ',')]
    buffer: Vec<f64>,
    /// Times that each is measured; the median is told [default: 5, or 1 with --quick]
    #[arg(long)]
    runs: Option<usize>,
    /// Directory of recorded links, CSV files of `run,second,mbps`
    #[arg(long, env = "TRACES")]
    traces: Option<PathBuf>,
    /// Where the figures go [default: bench/dwcp.jsonl in the target directory]
    #[arg(long)]
    out: Option<PathBuf>,
    /// Keep the figures that are there and are not measured anew
    #[arg(long)]
    merge: bool,
    /// Measure nothing: write the figures that are there into docs/dwcp.md
    #[arg(long)]
    write_docs: bool,
}

/// What every line works with.
#[derive(Debug)]
pub(crate) struct Bench {
    programs: Programs,
    workspace: Workspace,
    report: Report,
    systems: Vec<System>,
    runs: usize,
    quick: bool,
    filter: Filter,
    traces: Option<PathBuf>,
    dirs: Cell<usize>,
}

/// The paths that were asked for; all when none was.
#[derive(Debug, Default)]
struct Filter {
    rates_mbps: Vec<f64>,
    rtts_ms: Vec<u64>,
    losses_percent: Vec<f64>,
    buffers_bdp: Vec<f64>,
}

pub(crate) fn run(arguments: Arguments) -> Result<()> {
    let target = novacron_tests::lab::binaries::target_dir()?;
    let out = arguments.out.clone().unwrap_or_else(|| target.join("bench/dwcp.jsonl"));
    if arguments.write_docs {
        return write_docs(&out);
    }
    place::require_root()?;
    let mut bench = Bench::new(&arguments, &target)?;
    if arguments.merge && out.exists() {
        bench.report.resume(&out)?;
    }
    bench.describe_machine();
    for line in chosen(Line::value_variants(), &arguments.only) {
        match line {
            Line::Goodput => goodput::run(&mut bench)?,
            Line::Command => commands::run(&mut bench)?,
            Line::Queueing => goodput::queueing(&mut bench)?,
            Line::Fairness => fairness::run(&mut bench)?,
            Line::Trace if arguments.only.is_empty() && bench.traces.is_none() => {
                say("no recorded links: name their directory with --traces");
            }
            Line::Trace => traces::run(&mut bench)?,
            Line::Loopback => loopback::run(&mut bench)?,
        }
        // After each line: what was measured outlives a failure of what comes next.
        bench.report.write(&out)?;
    }
    let figures = Figures::read(&out)?;
    let plots = figures.plot(&target.join("bench/dwcp"))?;
    println!("\n{}\n", figures.verdicts());
    println!("one JSON line per figure: {}", out.display());
    println!("{} plots: {}", plots.len(), target.join("bench/dwcp").display());
    Ok(())
}

/// Tables and plots of what was measured last.
fn write_docs(out: &FilePath) -> Result<()> {
    let figures = Figures::read(out)?;
    let docs = novacron_tests::lab::binaries::workspace().join("docs");
    let plots = figures.plot(&docs.join("dwcp"))?;
    let page = docs.join("dwcp.md");
    let text = match fs::read_to_string(&page) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => "# DWCP\n".to_owned(),
        Err(error) => bail!("read {}: {error}", page.display()),
    };
    let text = figures::insert(&text, &figures.page(&plots, "dwcp"));
    fs::write(&page, text).with_context(|| format!("write {}", page.display()))?;
    println!("{} plots and {}", plots.len(), page.display());
    Ok(())
}

/// Those of `all` that were asked for; all when none was.
fn chosen<T: Copy + PartialEq>(all: &[T], asked: &[T]) -> Vec<T> {
    all.iter().copied().filter(|one| asked.is_empty() || asked.contains(one)).collect()
}

impl Filter {
    fn takes(&self, path: &Path) -> bool {
        let takes = |asked: &[f64], value: f64| asked.is_empty() || asked.contains(&value);
        takes(&self.rates_mbps, path.rate_mbps)
            && takes(&self.losses_percent, path.loss_percent)
            && takes(&self.buffers_bdp, path.buffer_bdp)
            && (self.rtts_ms.is_empty() || self.rtts_ms.contains(&path.rtt_ms))
    }

    /// The paths that the filter itself names, if it names whole ones.
    fn named(&self, buffer_bdp: f64) -> Vec<Path> {
        let buffers =
            if self.buffers_bdp.is_empty() { vec![buffer_bdp] } else { self.buffers_bdp.clone() };
        let mut paths = Vec::new();
        for &rate_mbps in &self.rates_mbps {
            for &rtt_ms in &self.rtts_ms {
                for &loss_percent in &self.losses_percent {
                    let path = |&buffer_bdp| Path { rate_mbps, rtt_ms, loss_percent, buffer_bdp };
                    paths.extend(buffers.iter().map(path));
                }
            }
        }
        paths
    }
}

impl Bench {
    fn new(arguments: &Arguments, target: &FilePath) -> Result<Self> {
        Ok(Self {
            programs: Programs::obtain()?,
            workspace: Workspace::create(target)?,
            report: Report::default(),
            systems: chosen(&System::ALL, &arguments.systems),
            runs: arguments.runs.unwrap_or(if arguments.quick { 1 } else { 5 }),
            quick: arguments.quick,
            filter: Filter {
                rates_mbps: arguments.rate.clone(),
                rtts_ms: arguments.rtt.clone(),
                losses_percent: arguments.loss.clone(),
                buffers_bdp: arguments.buffer.clone(),
            },
            traces: arguments.traces.clone(),
            dirs: Cell::new(0),
        })
    }

    /// Once is enough, also when figures are added to those of an earlier run.
    fn describe_machine(&mut self) {
        let machine = machine::description();
        println!("{machine}");
        let case = json!({ "name": "machine", "machine": machine });
        let processors = std::thread::available_parallelism().map_or(0, usize::from);
        self.report.section("machine", case).add("processors", processors as f64, "processors");
    }

    fn systems(&self) -> Vec<System> {
        self.systems.clone()
    }

    /// For what only NovaCron has.
    fn only_ours(&self) -> Vec<System> {
        self.systems.iter().copied().filter(|system| *system == System::Novacron).collect()
    }

    /// Of a line's paths those that were asked for, or just the ones that were asked for when the
    /// line has none of them.
    fn wanted(&self, paths: Vec<Path>) -> Vec<Path> {
        let buffer = paths.first().map_or(1.0, |path| path.buffer_bdp);
        let wanted: Vec<Path> = paths.into_iter().filter(|path| self.filter.takes(path)).collect();
        if wanted.is_empty() { self.filter.named(buffer) } else { wanted }
    }

    /// Every run of every system: one after the other, each run beginning with another.
    fn turns(&self, systems: &[System]) -> Vec<(usize, System)> {
        let turn = |run: usize| {
            let mut turn = systems.to_vec();
            turn.rotate_left(run % systems.len().max(1));
            turn.into_iter().map(move |system| (run + 1, system))
        };
        (0..self.runs).flat_map(turn).collect()
    }

    /// A directory that nothing else uses.
    fn new_dir(&self, name: &str) -> Result<PathBuf> {
        let number = self.dirs.replace(self.dirs.get() + 1);
        let dir = self.workspace.dir().join(format!("{number:04}-{name}"));
        fs::create_dir_all(&dir).with_context(|| format!("make {}", dir.display()))?;
        Ok(dir)
    }

    /// Keeps the figures of a case, and shows them.
    fn report(&mut self, case: &Value, medians: &Medians) {
        let medians = medians.all();
        for median in &medians {
            let mut case = case.clone();
            case["runs"] = median.runs.into();
            let mut section = self.report.section(median.system.as_str(), case);
            section.add(median.metric, median.value, median.unit);
        }
        println!("{}", table::case(case, &medians));
    }
}

/// Says what goes on, on standard error.
fn say(text: &str) {
    eprintln!("bench: {text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_picks_paths_and_names_those_that_no_line_has() {
        let path = |rtt_ms| Path { rate_mbps: 20.0, rtt_ms, loss_percent: 0.0, buffer_bdp: 1.0 };
        let filter = Filter { rtts_ms: vec![50], ..Filter::default() };
        assert!(filter.takes(&path(50)) && !filter.takes(&path(2)));
        assert_eq!(filter.named(1.0), []);
        let whole = Filter { rates_mbps: vec![20.0], losses_percent: vec![0.0], ..filter };
        assert_eq!(whole.named(1.0), [path(50)]);
    }
}
