//! Lines 1 and 3: how much of a path one bulk transfer fills, and what it does to the round trip.

use std::time::Duration;

use anyhow::Result;

use super::bulk::{self, Transfer};
use super::link::Path;
use super::runs::Medians;
use super::{Bench, say};
use crate::samples::ms;

/// Line 1: every rate, round trip and loss, with a buffer of one bandwidth-delay product.
pub(super) fn run(bench: &mut Bench) -> Result<()> {
    let path = |&(rate_mbps, rtt_ms, loss_percent): &(f64, u64, f64)| Path {
        rate_mbps,
        rtt_ms,
        loss_percent,
        buffer_bdp: 1.0,
    };
    let paths: Vec<Path> = if bench.quick {
        QUICK.iter().map(path).collect()
    } else {
        let cells = RATES_MBPS.iter().flat_map(|rate| {
            RTTS_MS.iter().flat_map(|rtt| LOSSES_PERCENT.iter().map(|loss| (*rate, *rtt, *loss)))
        });
        cells.map(|cell| path(&cell)).collect()
    };
    let window = if bench.quick { QUICK_WINDOW } else { WINDOW };
    for path in bench.wanted(paths) {
        measure(bench, "goodput", path, window)?;
    }
    Ok(())
}

/// Line 3: long buffers, in which a greedy sender waits behind itself.
pub(super) fn queueing(bench: &mut Bench) -> Result<()> {
    let mut paths = Vec::new();
    let (rtts, buffers, losses): (&[u64], &[f64], &[f64]) = if bench.quick {
        (&[40], &[10.0], &[0.0])
    } else {
        (&[10, 40, 150], &[2.0, 10.0], &[0.0, 1.0])
    };
    for &rtt_ms in rtts {
        for &buffer_bdp in buffers {
            paths.extend(losses.iter().map(|&loss_percent| Path {
                rate_mbps: 100.0,
                rtt_ms,
                loss_percent,
                buffer_bdp,
            }));
        }
    }
    let window = if bench.quick { QUICK_WINDOW } else { WINDOW };
    for path in bench.wanted(paths) {
        measure(bench, "queueing", path, window)?;
    }
    Ok(())
}

fn measure(bench: &mut Bench, name: &str, path: Path, window: Duration) -> Result<()> {
    let mut medians = Medians::default();
    let case = path.case(name);
    for (run, system) in bench.turns(&bench.systems()) {
        // A hole in the stream holds back a round trip's bytes, which the window's ends may cut.
        let window = window.max(path.rtt() * if bench.quick { 30 } else { 40 });
        match bulk::transfer(bench, system, path, window, run as u64) {
            Ok(transfer) => {
                let (who, what) = (system.as_str(), transfer.summary());
                say(&format!("{}: {who} run {run}: {what}", super::table::heading(&case)));
                let Transfer { mbps, rtt } = &transfer;
                medians.add(system, "goodput", *mbps, "Mbit/s");
                medians.add(system, "share", path.share(*mbps) * 100.0, "%");
                medians.add(system, "rtt_p50", ms(rtt.percentile(50)), "ms");
                medians.add(system, "rtt_p95", ms(rtt.percentile(95)), "ms");
            }
            Err(error) => {
                medians.fail(system, "goodput", "Mbit/s", &error);
                medians.add(system, "share", 0.0, "%");
            }
        }
    }
    bench.report(&case, &medians);
    Ok(())
}

const RATES_MBPS: [f64; 3] = [20.0, 100.0, 500.0];
const RTTS_MS: [u64; 4] = [2, 50, 150, 300];
const LOSSES_PERCENT: [f64; 4] = [0.0, 0.1, 1.0, 5.0];
/// Where systems part: the clean path, the bad path that the product is for, and worse.
const QUICK: [(f64, u64, f64); 3] = [(100.0, 50, 0.0), (100.0, 150, 1.0), (100.0, 50, 5.0)];
const WINDOW: Duration = Duration::from_secs(8);
const QUICK_WINDOW: Duration = Duration::from_secs(3);
