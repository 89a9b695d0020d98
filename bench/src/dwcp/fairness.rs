//! Line 4: who gets how much of a path that several want.

use std::thread;
use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};

use super::bulk::{SLACK, micros};
use super::exchange::{Exchange, Plan, Told};
use super::link::{Network, Path};
use super::runs::Medians;
use super::system::System;
use super::{Bench, say};

const PATH: Path = Path { rate_mbps: 100.0, rtt_ms: 40, loss_percent: 0.0, buffer_bdp: 1.0 };
const LATE_PATH: Path = Path { rtt_ms: 100, ..PATH };

pub(super) fn run(bench: &mut Bench) -> Result<()> {
    if bench.wanted(vec![PATH]).is_empty() {
        return Ok(());
    }
    let case = with(PATH.case("fairness"), "against", json!("one tcp-cubic"));
    measure(bench, &case, against_cubic)?;
    let crowds: &[u8] = if bench.quick { &[2] } else { &[2, 8] };
    for &flows in crowds {
        let case = with(PATH.case("fairness"), "flows", json!(flows));
        measure(bench, &case, |bench, system, seed| among_themselves(bench, system, flows, seed))?;
    }
    measure(bench, &LATE_PATH.case("late joiner"), late_joiner)
}

fn with(mut case: Value, key: &str, value: Value) -> Value {
    case[key] = value;
    case
}

type Figures = Vec<(&'static str, f64, &'static str)>;

fn measure(
    bench: &mut Bench,
    case: &Value,
    once: impl Fn(&Bench, System, u64) -> Result<Figures>,
) -> Result<()> {
    let mut medians = Medians::default();
    let mut systems = bench.systems();
    if bench.quick {
        systems.retain(|system| QUICK.contains(system));
    }
    for (run, system) in bench.turns(&systems) {
        match once(bench, system, run as u64) {
            Ok(figures) => {
                for (metric, value, unit) in figures {
                    let who = system.as_str();
                    let about = super::table::heading(case);
                    say(&format!("{about}: {who} run {run}: {metric} {value:.3} {unit}"));
                    medians.add(system, metric, value, unit);
                }
            }
            Err(error) => say(&format!("{} failed: {error:#}", system.as_str())),
        }
    }
    bench.report(case, &medians);
    Ok(())
}

/// One flow of `system` and one of the kernel's CUBIC, begun together.
fn against_cubic(bench: &Bench, system: System, seed: u64) -> Result<Figures> {
    let length = if bench.quick { Duration::from_secs(15) } else { Duration::from_secs(60) };
    let network = Network::create(PATH.config(), seed)?;
    let windows = Some(PATH.window_bytes());
    let mut cubic = Exchange::start(bench, System::TcpCubic, network.places(), windows)?;
    let mut other = Exchange::start(bench, system, network.places(), windows)?;
    let plan = Plan::bulk(1, Duration::ZERO, length + SLACK);
    cubic.send(bench, &plan)?;
    let began_us = other.send(bench, &plan)?;
    let (cubic, other) = (cubic.finish(length + SLACK)?, other.finish(length + SLACK)?);
    let (from_us, to_us) = (began_us, began_us + micros(length));
    let (theirs, own) = (cubic.mbps(0, from_us, to_us), other.mbps(0, from_us, to_us));
    Ok(vec![
        ("jain", jain(&[own, theirs]), ""),
        ("goodput", own, "Mbit/s"),
        ("tcp_cubic_goodput", theirs, "Mbit/s"),
    ])
}

/// Flows of one system, begun one after the other; the second half counts.
fn among_themselves(bench: &Bench, system: System, flows: u8, seed: u64) -> Result<Figures> {
    let length = if bench.quick { Duration::from_secs(12) } else { Duration::from_secs(40) };
    let network = Network::create(PATH.config(), seed)?;
    let windows = Some(PATH.window_bytes());
    let mut exchange = Exchange::start(bench, system, network.places(), windows)?;
    let mut began_us = 0;
    for flow in 0..flows {
        let left = length.saturating_sub(STAGGER * u32::from(flow)) + SLACK;
        began_us = exchange.send(bench, &Plan { flow, ..Plan::bulk(1, Duration::ZERO, left) })?;
        thread::sleep(STAGGER);
    }
    let told = exchange.finish(length + SLACK)?;
    let to_us = began_us + micros(length.saturating_sub(STAGGER * u32::from(flows)));
    let from_us = to_us.saturating_sub(micros(length / 2));
    let shares: Vec<f64> = (0..flows).map(|flow| told.mbps(flow, from_us, to_us)).collect();
    Ok(vec![("jain", jain(&shares), ""), ("goodput", shares.iter().sum(), "Mbit/s")])
}

/// A second flow joins a first that has the path to itself: when it has its share.
fn late_joiner(bench: &Bench, system: System, seed: u64) -> Result<Figures> {
    let network = Network::create(LATE_PATH.config(), seed)?;
    let windows = Some(LATE_PATH.window_bytes());
    let mut exchange = Exchange::start(bench, system, network.places(), windows)?;
    let head_start = LATE_PATH.warm_up() + Duration::from_secs(4);
    let first = Plan::bulk(1, Duration::ZERO, head_start + LATE_FOR + SLACK);
    exchange.send(bench, &first)?;
    thread::sleep(head_start);
    let joined_us =
        exchange.send(bench, &Plan { flow: 1, ..Plan::bulk(1, Duration::ZERO, LATE_FOR) })?;
    let told = exchange.finish(LATE_FOR + SLACK)?;
    let after = time_to_share(&told, joined_us);
    let end_us = joined_us + micros(LATE_FOR);
    let tail_us = end_us.saturating_sub(micros(LATE_FOR / 2));
    let shares = [0, 1].map(|flow| told.mbps(flow, tail_us, end_us));
    Ok(vec![
        ("time_to_share", after.unwrap_or(LATE_FOR).as_secs_f64(), "s"),
        ("jain", jain(&shares), ""),
    ])
}

/// From joining until the joiner first has 80 % of half of what both get, over 300 ms.
fn time_to_share(told: &Told, joined_us: u64) -> Option<Duration> {
    let (first, late) = (told.arrivals(0), told.arrivals(1));
    let since = late.iter().filter(|(at, _)| *at >= joined_us).map(|(at, _)| *at);
    let sum = |arrivals: &[(u64, u64)], until: u64| -> u64 {
        let span = until.saturating_sub(SHARE_OVER_US)..until;
        arrivals.iter().filter(|(at, _)| span.contains(&(at - 1))).map(|(_, bytes)| *bytes).sum()
    };
    let has_share = |at: &u64| {
        let (own, other) = (sum(&late, *at), sum(&first, *at));
        own as f64 >= SHARE * (own + other) as f64 / 2.0 && own > 0
    };
    let reached = since.into_iter().find(has_share)?;
    Some(Duration::from_micros(reached - joined_us))
}

/// 1 when all have the same, 1/n when one has all.
fn jain(shares: &[f64]) -> f64 {
    let (sum, squares) = (shares.iter().sum::<f64>(), shares.iter().map(|x| x * x).sum::<f64>());
    if squares > 0.0 { sum * sum / (shares.len() as f64 * squares) } else { 0.0 }
}

/// In a hurry only those that fill a path.
const QUICK: [System; 3] = [System::Novacron, System::TcpBbr, System::QuinnBbr];
const STAGGER: Duration = Duration::from_millis(500);
const LATE_FOR: Duration = Duration::from_secs(10);
const SHARE: f64 = 0.8;
const SHARE_OVER_US: u64 = 300_000;

#[cfg(test)]
mod tests {
    use novacron_workload::Event;

    use super::*;

    #[test]
    fn jains_index_is_one_for_equal_shares_and_falls_to_one_over_n() {
        assert!((jain(&[5.0, 5.0]) - 1.0).abs() < 1e-9);
        assert!((jain(&[5.0, 0.0]) - 0.5).abs() < 1e-9);
        assert!((jain(&[1.0, 3.0]) - 0.8).abs() < 1e-9);
    }

    #[test]
    fn a_joiner_has_its_share_when_three_intervals_say_so() {
        let mut events = Vec::new();
        for tenth in 1..=20_u64 {
            let late = if tenth > 10 { 50 } else { 0 };
            let of = |flow, bytes| Event::Bytes { at_us: tenth * 100_000, flow, bytes };
            events.extend([of(0, 100 - late), of(1, late)]);
        }
        let told = Told { events };
        assert_eq!(time_to_share(&told, 500_000), Some(Duration::from_millis(800)));
        assert_eq!(time_to_share(&told, 3_000_000), None);
    }
}
