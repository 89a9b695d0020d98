//! `hde`: how long content takes over links, beside every fixed choice; deltas, telemetry, noise.
//!
//! Links of a given rate are virtual time made of measured processor times (see [`pipeline`]), the
//! last column is a real TCP connection over loopback. The best fixed choice of each cell is found in
//! hindsight, in the same run.

use std::path::PathBuf;

use anyhow::{Context, Result};
use novacron_hde::{Choice, Options};
use novacron_tests::lab::binaries::workspace as tree;
use serde_json::json;

use crate::fleet::say;
use crate::machine;
use crate::report::Report;
use crate::workspace::Workspace;

mod corpus;
mod fixed;
mod image;
mod loopback;
mod pipeline;
mod samples;

use corpus::Corpus;
use fixed::Fixed;
use pipeline::{Block, Outcome};

#[derive(Debug, clap::Args)]
pub(crate) struct HdeArguments {
    /// Smaller contents and fewer levels
    #[arg(long)]
    quick: bool,
    /// Where the figures go [default: bench/hde.jsonl in the target directory]
    #[arg(long)]
    out: Option<PathBuf>,
}

/// How much to look at.
#[derive(Debug, Clone, Copy)]
struct Scale {
    content_bytes_max: usize,
    levels: &'static [i32],
    rounds: usize,
    image_bytes: usize,
}

const FULL: Scale = Scale {
    content_bytes_max: 32 << 20,
    levels: &[
        -7, -6, -5, -4, -3, -2, -1, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18,
        19,
    ],
    rounds: 3,
    image_bytes: 1 << 30,
};
const QUICK: Scale = Scale {
    content_bytes_max: 8 << 20,
    levels: &[-7, -3, -1, 1, 2, 3, 4, 6, 9, 12, 15, 19],
    rounds: 3,
    image_bytes: 1 << 30,
};
/// Links of the acceptance, in Mbit/s.
const LINKS: [u32; 3] = [5, 50, 500];
/// A content that takes longer than this to code is not coded again for a better measurement.
const REPEATED_SECONDS_MAX: f64 = 1.5;
/// The aim: time of ours over that of the best fixed choice.
const AIM: f64 = 1.05;

pub(crate) fn run(arguments: HdeArguments) -> Result<()> {
    let target =
        std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| tree().join("target"), PathBuf::from);
    let out = arguments.out.unwrap_or_else(|| target.join("bench/hde.jsonl"));
    let workspace = Workspace::create(&target)?;
    let scale = if arguments.quick { QUICK } else { FULL };
    let mut report = Report::default();
    image::pass_through(&mut report, 512 << 20).context("send noise")?;
    image::delta(&mut report, scale.image_bytes).context("send a delta")?;
    samples::run(&mut report, samples::COUNT).context("send telemetry")?;
    report.write(&out)?;
    let cache = target.join("lab/guest");
    let corpora = corpus::make(&cache, workspace.dir(), scale.content_bytes_max)?;
    for corpus in &corpora {
        say(&format!("sends {}", corpus.name));
        over_links(&mut report, corpus, scale).with_context(|| format!("send {}", corpus.name))?;
        over_loopback(&mut report, corpus, scale)?;
        report.write(&out)?;
    }
    println!("\n{}\n{}", machine::description(), report.table());
    println!("one JSON line per figure: {}", out.display());
    Ok(())
}

fn over_links(report: &mut Report, corpus: &Corpus, scale: Scale) -> Result<()> {
    let mut measured: Vec<(String, Vec<Block>)> = Vec::new();
    for fixed in Fixed::all(scale.levels) {
        let blocks = quietest(&corpus.content, fixed, scale.rounds)
            .with_context(|| format!("code with {}", fixed.name()))?;
        measured.push((fixed.name(), blocks));
    }
    for mbit in LINKS {
        let bytes_per_s = f64::from(mbit) * 1e6 / 8.0;
        let outcomes: Vec<(String, Outcome)> = measured
            .iter()
            .map(|(name, blocks)| (name.clone(), pipeline::replay(blocks, bytes_per_s)))
            .collect();
        let ours = least(scale.rounds, || pipeline::ours(&corpus.content, bytes_per_s))?;
        compare(report, corpus, &format!("{mbit} Mbit/s"), &outcomes, ours);
    }
    Ok(())
}

/// Each block's least processor time of a few rounds: what else the machine did is not the choice's.
fn quietest(content: &bytes::Bytes, fixed: Fixed, rounds: usize) -> Result<Vec<Block>> {
    let mut best = fixed.measure(content)?;
    for _ in 1..rounds {
        if best.iter().map(|block| block.coding_seconds).sum::<f64>() > REPEATED_SECONDS_MAX {
            break;
        }
        for (block, again) in best.iter_mut().zip(fixed.measure(content)?) {
            block.coding_seconds = block.coding_seconds.min(again.coding_seconds);
            block.expanding_seconds = block.expanding_seconds.min(again.expanding_seconds);
        }
    }
    Ok(best)
}

fn over_loopback(report: &mut Report, corpus: &Corpus, scale: Scale) -> Result<()> {
    // Slower levels code below a tenth of what loopback carries.
    let choices = Choice::all().filter(|choice| !matches!(choice, Choice::Zstd(4..)));
    let mut outcomes = Vec::new();
    for choice in choices {
        let options = Options { fixed: Some(choice), ..Options::default() };
        let run = || loopback::run(&corpus.content, options);
        outcomes.push((choice.to_string(), least(2 * scale.rounds, run)?));
    }
    let ours = least(2 * scale.rounds, || loopback::run(&corpus.content, Options::default()))?;
    compare(report, corpus, "loopback", &outcomes, ours);
    Ok(())
}

/// The quickest of a few rounds.
fn least(rounds: usize, run: impl Fn() -> Result<Outcome>) -> Result<Outcome> {
    let mut best = run()?;
    for _ in 1..rounds {
        if best.processor_seconds > REPEATED_SECONDS_MAX {
            break;
        }
        let again = run()?;
        if again.seconds < best.seconds {
            best = again;
        }
    }
    Ok(best)
}

fn compare(
    report: &mut Report,
    corpus: &Corpus,
    link: &str,
    fixed: &[(String, Outcome)],
    ours: Outcome,
) {
    let case = |best: Option<&str>| json!({ "name": corpus.name, "via": link, "bytes": corpus.content.len(), "best": best });
    let mut add = |system: &str, best: Option<&str>, outcome: Outcome| {
        let mut section = report.section(system, case(best));
        section.add("time", outcome.seconds * 1e3, "ms");
        section.add("wire", outcome.wire_bytes as f64, "bytes");
        section.add("processor", outcome.processor_seconds * 1e3, "ms");
    };
    let mut best: Option<&(String, Outcome)> = None;
    for entry in fixed {
        add(&entry.0, None, entry.1);
        if best.is_none_or(|(_, outcome)| entry.1.seconds < outcome.seconds) {
            best = Some(entry);
        }
    }
    let Some((name, best)) = best else { return };
    add("novacron", Some(name), ours);
    let mut section = report.section("novacron", case(Some(name)));
    section.add_with_aim("time_over_best_fixed", ours.seconds / best.seconds, "x", AIM);
}
