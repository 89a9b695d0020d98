//! `predict`: how well PBA foresees bandwidth, beside simple predictors, on recorded links.
//!
//! ```text
//! traces ─> odd runs: each peer's parameters are tried out, the best are kept
//!        └> even runs: everybody predicts 1 s and 5 s ahead, and is judged
//! ```
//! PBA's own constants come from odd runs too (`--priors`), and are the same for every trace.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use novacron_tests::lab::binaries::{target_dir, workspace};
use novacron_transport_core::pba::{EXPERTS, HORIZONS, Pba};
use serde_json::{Value, json};

use crate::report::Report;

mod baseline;
mod plot;
mod score;
mod trace;

use baseline::Family;
use plot::Plot;
use score::Score;
use trace::Trace;

#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// Directory of recorded links, CSV files of `run,second,mbps` or of the dataset's
    /// `time,throughput,..` [default: the project's small made-up one]
    #[arg(long, env = "TRACES")]
    traces: Option<PathBuf>,
    /// Where the figures go [default: bench/predict.jsonl in the target directory]
    #[arg(long)]
    out: Option<PathBuf>,
    /// Only print what each expert lost on the odd runs: the prior that PBA begins with
    #[arg(long)]
    priors: bool,
    /// Also put the plot into the project's documentation
    #[arg(long)]
    write_docs: bool,
}

pub(crate) fn run(arguments: Arguments) -> Result<()> {
    let dir = arguments.traces.unwrap_or_else(|| {
        eprintln!("predict: {}", trace::WHERE_FROM);
        workspace().join("bench/traces")
    });
    let traces = trace::read(&dir)?;
    ensure!(!traces.is_empty(), "{} has no .csv file; {}", dir.display(), trace::WHERE_FROM);
    if arguments.priors {
        print_priors(&traces);
        return Ok(());
    }
    let out = match arguments.out {
        Some(out) => out,
        None => target_dir()?.join("bench/predict.jsonl"),
    };
    let mut report = Report::default();
    let mut plot = Plot::default();
    for trace in &traces {
        for ahead in HORIZONS {
            judge(&mut report, &mut plot, trace, ahead as usize);
        }
        plot.add_stretch(trace);
    }
    report.section("novacron", json!({ "name": "path" })).add(
        "memory",
        size_of::<Pba>() as f64,
        "bytes",
    );
    print!("{}", report.table());
    make_parent(&out)?;
    report.write(&out)?;
    let svg = out.with_extension("svg");
    write(&svg, &plot.draw())?;
    if arguments.write_docs {
        write(&workspace().join("docs/dwcp/prediction.svg"), &plot.draw())?;
    }
    println!("one JSON line per figure: {}\nplot: {}", out.display(), svg.display());
    Ok(())
}

fn write(path: &Path, text: &str) -> Result<()> {
    make_parent(path)?;
    fs::write(path, text).with_context(|| format!("write {}", path.display()))
}

fn make_parent(path: &Path) -> Result<()> {
    let Some(parent) = path.parent() else { return Ok(()) };
    fs::create_dir_all(parent).with_context(|| format!("make {}", parent.display()))
}

/// Everybody on one trace, so many seconds ahead.
fn judge(report: &mut Report, plot: &mut Plot, trace: &Trace, ahead: usize) {
    let ours = Score::of_novacron(trace.reported(), ahead);
    let peers = Family::ALL.map(|family| {
        let tuned = family.tune(trace.tuned(), ahead);
        let score = Score::of(trace.reported(), ahead, |run| tuned.forecasts(run, ahead));
        let hindsight = family.tune(trace.reported(), ahead);
        let hindsight = Score::of(trace.reported(), ahead, |run| hindsight.forecasts(run, ahead))
            .median_error();
        (family, tuned, score, hindsight)
    });
    let case = |more: Value| {
        let mut case = json!({
            "name": format!("{} {ahead} s", trace.name), "trace": trace.name, "ahead_s": ahead,
            "runs": trace.reported().len(), "predictions": ours.count(),
        });
        if let (Some(case), Value::Object(more)) = (case.as_object_mut(), more) {
            case.extend(more);
        }
        case
    };
    let best = peers.iter().map(|(.., score, _)| score.median_error()).fold(f64::MAX, f64::min);
    let mut section = report.section("novacron", case(json!({})));
    section.add_with_aim("median_absolute_error", ours.median_error(), "Mbit/s", best);
    section.add("mean_absolute_error", ours.mean_error(), "Mbit/s");
    section.add("band_coverage", ours.coverage_percent(), "%");
    let off = (ours.coverage_percent() - 80.0).abs();
    section.add_with_aim("band_coverage_off_80", off, "points", 5.0);
    section.add("band_width_mean", ours.band_width(), "Mbit/s");
    section.add("sample_and_predict", ours.cost_us(), "us");
    plot.add_error(trace, ahead, "novacron", ours.median_error());
    for (family, tuned, score, hindsight) in &peers {
        let mut section =
            report.section(family.as_str(), case(json!({ "parameters": tuned.to_string() })));
        section.add("median_absolute_error", score.median_error(), "Mbit/s");
        section.add("median_absolute_error_hindsight", *hindsight, "Mbit/s");
        section.add("mean_absolute_error", score.mean_error(), "Mbit/s");
        section.add("runs_where_novacron_is_better", ours.wins_percent(score), "%");
        plot.add_error(trace, ahead, family.as_str(), score.median_error());
    }
}

/// Mean over the traces of the mean over odd runs, so that a long trace weighs as a short one.
fn print_priors(traces: &[Trace]) {
    for (horizon, ahead) in HORIZONS.into_iter().enumerate() {
        let mut losses = [0.0; EXPERTS];
        for trace in traces {
            let runs = trace.tuned();
            for run in runs {
                let path = score::after(run);
                for (mean, loss) in losses.iter_mut().zip(path.losses()[horizon]) {
                    *mean += f64::from(loss) / (runs.len() * traces.len()) as f64;
                }
            }
        }
        let losses: Vec<String> = losses.iter().map(|loss| format!("{loss:.3}")).collect();
        println!("{ahead} s ahead: [{}]", losses.join(", "));
    }
}
