//! A case's figures for people: a row for each system, ours beside the best peer.

use std::fmt::Write as _;

use serde_json::Value;

use super::commands::PERCENTILES;
use super::runs::Median;
use super::system::System;
use crate::report::number;

/// Metrics of which less is better; of all others more is.
const LESS_IS_BETTER: [&str; 3] = ["ms", "CPU s/GB", "s"];

/// The case as a heading, then a row for each system.
pub(super) fn case(case: &Value, medians: &[Median]) -> String {
    let mut metrics: Vec<(&str, &str)> = Vec::new();
    let mut systems: Vec<System> = Vec::new();
    for median in medians.iter().filter(|median| is_shown(median.metric)) {
        if !metrics.contains(&(median.metric, median.unit)) {
            metrics.push((median.metric, median.unit));
        }
        if !systems.contains(&median.system) {
            systems.push(median.system);
        }
    }
    let find = |system: System, metric: &str| {
        medians.iter().find(|m| m.system == system && m.metric == metric).map(|m| m.value)
    };
    let mut text = format!("\n{}\n{:<14}", heading(case), "");
    for (metric, unit) in &metrics {
        let _ = write!(text, " {:>24}", format!("{metric} {unit}"));
    }
    for system in systems {
        let _ = write!(text, "\n{:<14}", system.as_str());
        for (metric, _) in &metrics {
            let shown = find(system, metric).map_or_else(|| "-".to_owned(), number);
            let _ = write!(text, " {shown:>24}");
        }
    }
    let ratio = |(metric, unit): &(&str, &str)| {
        let ours = find(System::Novacron, metric)?;
        let best = best_peer(medians, metric, unit)?;
        (best > 0.0).then(|| format!("{:.2} x", ours / best))
    };
    if metrics.iter().any(|metric| ratio(metric).is_some()) {
        let _ = write!(text, "\n{:<14}", "to best peer");
        for metric in &metrics {
            let _ = write!(text, " {:>24}", ratio(metric).unwrap_or_default());
        }
    }
    text
}

/// The rest of a distribution is for its plot.
fn is_shown(metric: &str) -> bool {
    let is_of_plot = PERCENTILES.iter().any(|(_, name)| *name == metric);
    !is_of_plot || ["one_way_p50", "one_way_p99"].contains(&metric)
}

fn best_peer(medians: &[Median], metric: &str, unit: &str) -> Option<f64> {
    let peers = medians.iter().filter(|m| m.metric == metric && m.system != System::Novacron);
    let values = peers.map(|median| median.value);
    if LESS_IS_BETTER.contains(&unit) {
        values.filter(|value| *value > 0.0).min_by(f64::total_cmp)
    } else {
        values.max_by(f64::total_cmp)
    }
}

/// `goodput rate_mbps=100 rtt_ms=50`.
pub(super) fn heading(case: &Value) -> String {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let mut heading = case.get("name").map(text).unwrap_or_default();
    for (key, value) in case.as_object().into_iter().flatten().filter(|(key, _)| *key != "name") {
        let _ = write!(heading, " {key}={}", text(value));
    }
    heading
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn ours_is_held_against_the_best_peer() {
        let median = |system, metric, value, unit| Median { system, metric, value, unit, runs: 1 };
        let medians = [
            median(System::Novacron, "goodput", 90.0, "Mbit/s"),
            median(System::Novacron, "latency", 10.0, "ms"),
            median(System::TcpBbr, "goodput", 100.0, "Mbit/s"),
            median(System::TcpBbr, "latency", 40.0, "ms"),
            median(System::TcpCubic, "goodput", 5.0, "Mbit/s"),
            median(System::TcpCubic, "latency", 20.0, "ms"),
        ];
        let text = case(&json!({ "name": "x", "rate_mbps": 100 }), &medians);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[1], "x rate_mbps=100");
        let ratios: Vec<&str> = lines.last().unwrap().split_whitespace().collect();
        assert_eq!(ratios, ["to", "best", "peer", "0.90", "x", "0.50", "x"]);
    }
}
