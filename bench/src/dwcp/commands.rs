//! Line 2: how long a small command takes beside four saturating bulk streams of the same
//! connection, and what that costs the bulk.
//!
//! One sender does it all: commands on the idle connection, then bulk alone, then both.

use std::time::Duration;

use anyhow::Result;
use novacron_workload::Span;
use novacron_workload::arguments::Bulk;

use super::bulk::{SLACK, micros};
use super::exchange::{Commands, Exchange, Plan};
use super::link::{Network, Path};
use super::runs::Medians;
use super::system::System;
use super::{Bench, say};
use crate::samples::{Samples, ms};

pub(super) fn run(bench: &mut Bench) -> Result<()> {
    let path = |&(rate_mbps, rtt_ms, loss_percent, buffer_bdp): &(f64, u64, f64, f64)| Path {
        rate_mbps,
        rtt_ms,
        loss_percent,
        buffer_bdp,
    };
    let cells = if bench.quick { &CELLS[..1] } else { &CELLS[..] };
    for path in bench.wanted(cells.iter().map(path).collect()) {
        measure(bench, path)?;
    }
    Ok(())
}

fn measure(bench: &mut Bench, path: Path) -> Result<()> {
    let case = path.case("command");
    let mut medians = Medians::default();
    for (run, system) in bench.turns(&bench.systems()) {
        match once(bench, system, path, run as u64) {
            Ok(seen) => {
                let p99 = |commands: &Commands| ms(commands.one_way.percentile(99));
                say(&format!(
                    "{}: {} run {run}: one-way p99 {:.1} ms idle, {:.1} ms beside bulk; bulk {:.1} then {:.1} Mbit/s",
                    super::table::heading(&case),
                    system.as_str(),
                    p99(&seen.idle),
                    p99(&seen.beside),
                    seen.bulk_alone_mbps,
                    seen.bulk_beside_mbps,
                ));
                seen.add_to(&mut medians, system);
            }
            Err(error) => medians.fail(system, "bulk_beside", "Mbit/s", &error),
        }
    }
    bench.report(&case, &medians);
    Ok(())
}

/// What was seen of one system in one run.
struct Seen {
    idle: Commands,
    beside: Commands,
    bulk_alone_mbps: f64,
    bulk_beside_mbps: f64,
}

fn once(bench: &Bench, system: System, path: Path, seed: u64) -> Result<Seen> {
    let network = Network::create(path.config(), seed)?;
    let window = if bench.quick { QUICK_BESIDE } else { BESIDE };
    let bulk_from = IDLE;
    let alone_from = bulk_from + path.warm_up();
    let beside_from = alone_from + ALONE;
    let end = beside_from + SETTLE + window;
    let plan = Plan {
        bulk: Some(Bulk { streams: 4, span: Span::new(bulk_from, end + SLACK) }),
        // Some time after the last command no new one is idle any more.
        commands: vec![Span::new(Duration::ZERO, IDLE), Span::new(beside_from, end)],
        ..Plan::default()
    };
    let mut exchange = Exchange::start(bench, system, network.places(), Some(path.window_bytes()))?;
    let began_us = exchange.send(bench, &plan)?;
    let told = exchange.finish(end + SLACK)?;
    let at = |since: Duration| began_us + micros(since);
    Ok(Seen {
        idle: told.commands(at(SETTLE), at(IDLE - path.rtt())),
        beside: told.commands(at(beside_from + SETTLE), at(end)),
        bulk_alone_mbps: told.mbps(0, at(alone_from), at(beside_from)),
        bulk_beside_mbps: told.mbps(0, at(beside_from + SETTLE), at(end)),
    })
}

impl Seen {
    fn add_to(&self, medians: &mut Medians, system: System) {
        let p99 = |samples: &Samples| ms(samples.percentile(99));
        medians.add(system, "idle_one_way_p99", p99(&self.idle.one_way), "ms");
        for (percent, metric) in PERCENTILES {
            medians.add(system, metric, ms(self.beside.one_way.percentile(percent)), "ms");
        }
        let added = p99(&self.beside.one_way) - p99(&self.idle.one_way);
        medians.add(system, "added_one_way_p99", added, "ms");
        medians.add(system, "round_trip_p99", p99(&self.beside.round_trip), "ms");
        medians.add(system, "unanswered", self.beside.unanswered as f64, "commands");
        medians.add(system, "bulk_alone", self.bulk_alone_mbps, "Mbit/s");
        medians.add(system, "bulk_beside", self.bulk_beside_mbps, "Mbit/s");
    }
}

/// Enough of the distribution to draw it.
pub(super) const PERCENTILES: [(usize, &str); 8] = [
    (5, "one_way_p05"),
    (25, "one_way_p25"),
    (50, "one_way_p50"),
    (75, "one_way_p75"),
    (90, "one_way_p90"),
    (95, "one_way_p95"),
    (99, "one_way_p99"),
    (100, "one_way_max"),
];

/// Rate, round trip, loss, buffer. The first says the most.
const CELLS: [(f64, u64, f64, f64); 6] = [
    (100.0, 40, 0.0, 1.0),
    (100.0, 40, 1.0, 1.0),
    (100.0, 40, 0.0, 10.0),
    (20.0, 40, 0.0, 1.0),
    (100.0, 150, 0.0, 1.0),
    (100.0, 150, 1.0, 1.0),
];
const IDLE: Duration = Duration::from_secs(3);
const ALONE: Duration = Duration::from_secs(3);
/// A thousand commands, so that a p99 stands on ten; in a hurry on three.
const BESIDE: Duration = Duration::from_secs(20);
const QUICK_BESIDE: Duration = Duration::from_secs(6);
/// The first commands open streams, and in TCP's case connections.
const SETTLE: Duration = Duration::from_secs(1);
