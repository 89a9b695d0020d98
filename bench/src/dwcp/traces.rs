//! Line 5: links whose rate changes every second, as cellular and satellite links do.
//!
//! The traces are public measurements and not part of the project: `run,second,mbps` by line.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use novacron_link::trace::{self, Run};
use novacron_link::{LinkConfig, Loss};
use serde_json::json;

use super::bulk::{SLACK, micros};
use super::exchange::{Exchange, Plan};
use super::link::{Network, payload_mbps, window_bytes};
use super::runs::Medians;
use super::system::System;
use super::{Bench, say};

/// Of each file, runs that are far apart: neighbours were taken on the same drive.
pub(super) fn run(bench: &mut Bench) -> Result<()> {
    let Some(dir) = bench.traces.clone() else {
        bail!(
            "no traces: name a directory of CSV files (run,second,mbps) with --traces DIR, or \
             `make bench-dwcp TRACES=DIR`. The figures of docs/dwcp.md are of the downlink traces \
             of \"LEO Satellite vs. Cellular Networks\" (CoNEXT '23), from the public repository \
             Starlink-Project/Satellite-vs-Cellular"
        );
    };
    let (count, window) =
        if bench.quick { (1, Duration::from_secs(20)) } else { (5, Duration::from_secs(40)) };
    for file in files(&dir)? {
        let text = fs::read_to_string(&file).with_context(|| format!("read {}", file.display()))?;
        let runs = trace::parse(&text).with_context(|| format!("read {}", file.display()))?;
        let long: Vec<Run> =
            runs.into_iter().filter(|run| run.mbps.len() as u64 >= TRACE_SECONDS_MIN).collect();
        let name = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        for run in spread(&long, count) {
            measure(bench, &name, run, window)?;
        }
    }
    Ok(())
}

fn files(dir: &Path) -> Result<Vec<std::path::PathBuf>> {
    let entries = fs::read_dir(dir).with_context(|| format!("list {}", dir.display()))?;
    let mut files: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "csv"));
    files.sort();
    anyhow::ensure!(!files.is_empty(), "{} has no .csv file", dir.display());
    Ok(files)
}

/// `count` of `runs`, evenly spread.
fn spread(runs: &[Run], count: usize) -> Vec<&Run> {
    let step = runs.len().div_ceil(count.max(1)).max(1);
    runs.iter().skip(step / 2).step_by(step).take(count).collect()
}

fn measure(bench: &mut Bench, file: &str, trace: &Run, window: Duration) -> Result<()> {
    let case = json!({
        "name": "trace", "trace": file, "trace_run": trace.id, "rtt_ms": RTT.as_millis() as u64,
        "buffer_bdp": 1.0,
    });
    let mut medians = Medians::default();
    for (run, system) in bench.turns(&bench.systems()) {
        match once(bench, trace, window, system, run as u64) {
            Ok((mbps, share)) => {
                let who = system.as_str();
                say(&format!(
                    "trace {file} {}: {who} run {run}: {mbps:.1} Mbit/s, {share:.1} % of the offer",
                    trace.id
                ));
                medians.add(system, "goodput", mbps, "Mbit/s");
                medians.add(system, "share", share, "%");
            }
            Err(error) => medians.fail(system, "share", "%", &error),
        }
    }
    bench.report(&case, &medians);
    Ok(())
}

/// Goodput, and its share of what the link offered in the same time.
fn once(
    bench: &Bench,
    trace: &Run,
    window: Duration,
    system: System,
    seed: u64,
) -> Result<(f64, f64)> {
    let rate = trace.rate();
    let mean_mbps = rate.mean().unwrap_or_default() as f64 / 1e6;
    let network = Network::create(LinkConfig::path(rate.clone(), RTT, Loss::None, 1.0), seed)?;
    let windows = Some(window_bytes(mean_mbps, RTT, 4.0));
    let mut exchange = Exchange::start(bench, system, network.places(), windows)?;
    let length = WARM_UP + window;
    let began_us = exchange.send(bench, &Plan::bulk(1, Duration::ZERO, length + SLACK))?;
    let began = network.emulator.now();
    let told = exchange.finish(length + SLACK)?;
    let from_us = began_us + micros(WARM_UP);
    let (bytes, seconds) = told.received(0, from_us, from_us + micros(window));
    // What arrives now was sent half a round trip ago.
    let from = (began + WARM_UP).saturating_sub(RTT / 2);
    let offered = rate.bytes_between(from, from + Duration::from_secs_f64(seconds));
    let offered = payload_mbps(offered.unwrap_or_default() as f64);
    let mbps = bytes as f64 * 8.0 / 1e6 / seconds.max(f64::MIN_POSITIVE);
    Ok((mbps, bytes as f64 * 100.0 / offered.max(1.0)))
}

const RTT: Duration = Duration::from_millis(50);
const WARM_UP: Duration = Duration::from_secs(3);
/// Runs shorter than a measurement would begin again in it.
const TRACE_SECONDS_MIN: u64 = 60;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_taken_from_all_over_the_file() {
        let runs: Vec<Run> = (0..10).map(|id| Run { id, mbps: vec![1.0] }).collect();
        let ids: Vec<u32> = spread(&runs, 3).into_iter().map(|run| run.id).collect();
        assert_eq!(ids, [2, 6]);
        assert_eq!(spread(&runs, 20).len(), 10);
    }
}
