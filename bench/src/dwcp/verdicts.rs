//! Which acceptances the figures meet: of each the worst cell decides, and is named.

use std::fmt::Write as _;

use serde_json::{Map, Value};

use super::figures::{Record, label};
use super::system::System;
use crate::report::number;

/// A bound, and the cell that comes closest to it or breaks it most.
#[derive(Debug, Clone, PartialEq)]
struct Verdict {
    what: &'static str,
    measured: f64,
    bound: Bound,
    unit: &'static str,
    cell: String,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Bound {
    AtLeast(f64),
    AtMost(f64),
}

impl Bound {
    /// How much of it is left; below 0 it is broken.
    fn slack(self, measured: f64) -> f64 {
        match self {
            Self::AtLeast(bound) => measured - bound,
            Self::AtMost(bound) => bound - measured,
        }
    }
}

/// A table of every acceptance that there are figures of ours for.
pub(super) fn table(records: &[Record]) -> String {
    let mut table =
        "| line | what | worst cell | measured | asked | |\n|---|---|---|--:|--:|---|".to_owned();
    for (line, verdict) in all(&Cells { records }) {
        let (sign, bound) = match verdict.bound {
            Bound::AtLeast(bound) => (">=", bound),
            Bound::AtMost(bound) => ("<=", bound),
        };
        let met = if verdict.bound.slack(verdict.measured) >= 0.0 { "met" } else { "**missed**" };
        let Verdict { what, cell, measured, unit, .. } = &verdict;
        let (measured, bound) = (number(*measured), number(bound));
        let _ = write!(
            table,
            "\n| {line} | {what} | {cell} | {measured} {unit} | {sign} {bound} {unit} | {met} |"
        );
    }
    table
}

fn all(cells: &Cells<'_>) -> Vec<(u8, Verdict)> {
    use Bound::{AtLeast, AtMost};
    let rtt = |case: &Map<String, Value>| get(case, "rtt_ms");
    let lossless = |case: &Map<String, Value>| get(case, "loss_percent") == 0.0;
    let queue_bound = |case: &Map<String, Value>| {
        AtMost(1.25 * rtt(case) + if rtt(case) < 20.0 { 5.0 } else { 0.0 })
    };
    let verdicts = [
        (
            1,
            cells.worst("share of the link, loss up to 1 %", "%", "goodput", "share", |case| {
                (get(case, "loss_percent") <= 1.0).then_some(AtLeast(95.0))
            }),
        ),
        (
            1,
            cells.worst("share of the link, loss 5 %", "%", "goodput", "share", |case| {
                (get(case, "loss_percent") > 1.0).then_some(AtLeast(90.0))
            }),
        ),
        (
            1,
            cells.worst_ratio("goodput to the best peer", "goodput", "goodput", &PEERS, |_| {
                Some(AtLeast(0.97))
            }),
        ),
        (
            1,
            cells.worst_ratio(
                "goodput to TCP CUBIC",
                "goodput",
                "goodput",
                &["tcp-cubic"],
                |case| {
                    let is_it = rtt(case) == 150.0 && get(case, "loss_percent") == 1.0;
                    (is_it && get(case, "rate_mbps") == 100.0).then_some(AtLeast(20.0))
                },
            ),
        ),
        (
            2,
            cells.worst(
                "added to a command by bulk, p99",
                "ms",
                "command",
                "added_one_way_p99",
                |case| lossless(case).then_some(AtMost(10.0)),
            ),
        ),
        (
            2,
            cells.worst("command and answer, p99", "ms", "command", "round_trip_p99", |case| {
                (get(case, "loss_percent") == 1.0).then(|| AtMost(2.5 * rtt(case) + 10.0))
            }),
        ),
        (
            2,
            cells.worst_of_itself(
                "bulk beside commands",
                "command",
                "bulk_beside",
                "bulk_alone",
                0.95,
            ),
        ),
        (
            3,
            cells.worst("round trip under bulk, p95", "ms", "queueing", "rtt_p95", |case| {
                Some(queue_bound(case))
            }),
        ),
        (
            4,
            cells.worst("Jain's index beside TCP CUBIC", "", "fairness", "jain", |case| {
                case.contains_key("against").then_some(AtLeast(0.85))
            }),
        ),
        (
            4,
            cells.worst("Jain's index among ourselves", "", "fairness", "jain", |case| {
                case.contains_key("flows").then_some(AtLeast(0.95))
            }),
        ),
        (
            4,
            cells.worst(
                "a late joiner has its share after",
                "s",
                "late joiner",
                "time_to_share",
                |case| Some(AtMost(rtt(case) / 100.0)),
            ),
        ),
        (
            5,
            cells.worst("share of what a recorded link offered", "%", "trace", "share", |_| {
                Some(AtLeast(90.0))
            }),
        ),
        (
            7,
            cells.worst_ratio("loopback goodput to quinn", "loopback", "goodput", &QUINN, |case| {
                (!case.contains_key("class")).then_some(AtLeast(1.5))
            }),
        ),
        (
            7,
            cells.worst_ratio("loopback CPU per GB to quinn", "loopback", "cpu", &QUINN, |case| {
                (!case.contains_key("class")).then_some(AtMost(1.0))
            }),
        ),
    ];
    verdicts.into_iter().filter_map(|(line, verdict)| Some((line, verdict?))).collect()
}

struct Cells<'a> {
    records: &'a [Record],
}

impl Cells<'_> {
    fn ours<'b>(&'b self, case: &'b str, metric: &'b str) -> impl Iterator<Item = &'b Record> {
        self.of(System::Novacron.as_str(), case, metric)
    }

    fn of<'b>(
        &'b self,
        system: &'b str,
        case: &'b str,
        metric: &'b str,
    ) -> impl Iterator<Item = &'b Record> {
        self.records.iter().filter(move |record| record.system == system && record.is(case, metric))
    }

    /// The worst of our figures among those that `bound` has one for.
    fn worst(
        &self,
        what: &'static str,
        unit: &'static str,
        case: &str,
        metric: &str,
        bound: impl Fn(&Map<String, Value>) -> Option<Bound>,
    ) -> Option<Verdict> {
        let judged = self.ours(case, metric).filter_map(|record| {
            let cell = label(&record.case);
            Some(Verdict { what, measured: record.value, bound: bound(&record.case)?, unit, cell })
        });
        worst_of(judged)
    }

    /// The same for the ratio to the best of some peers in the same cell.
    fn worst_ratio(
        &self,
        what: &'static str,
        case: &str,
        metric: &str,
        peers: &[&str],
        bound: impl Fn(&Map<String, Value>) -> Option<Bound>,
    ) -> Option<Verdict> {
        let judged = self.ours(case, metric).filter_map(|record| {
            let (bound, cell) = (bound(&record.case)?, label(&record.case));
            let theirs = peers.iter().filter_map(|peer| {
                let mut found = self.of(peer, case, metric);
                found.find(|other| label(&other.case) == cell).map(|other| other.value)
            });
            let best = match bound {
                Bound::AtLeast(_) => theirs.max_by(f64::total_cmp)?,
                Bound::AtMost(_) => theirs.min_by(f64::total_cmp)?,
            };
            let measured = record.value / best.max(f64::MIN_POSITIVE);
            Some(Verdict { what, measured, bound, unit: "x", cell })
        });
        worst_of(judged)
    }

    /// The same for one of our own metrics over another.
    fn worst_of_itself(
        &self,
        what: &'static str,
        case: &str,
        metric: &str,
        of: &str,
        bound: f64,
    ) -> Option<Verdict> {
        let judged = self.ours(case, metric).filter_map(|record| {
            let cell = label(&record.case);
            let whole = self.ours(case, of).find(|other| label(&other.case) == cell)?;
            let measured = record.value / whole.value.max(f64::MIN_POSITIVE);
            Some(Verdict { what, measured, bound: Bound::AtLeast(bound), unit: "x", cell })
        });
        worst_of(judged)
    }
}

/// Bounds differ from cell to cell, so what is left is compared relative to them.
fn worst_of(judged: impl Iterator<Item = Verdict>) -> Option<Verdict> {
    let left = |verdict: &Verdict| match verdict.bound {
        Bound::AtLeast(bound) | Bound::AtMost(bound) => {
            verdict.bound.slack(verdict.measured) / bound
        }
    };
    judged.min_by(|one, other| left(one).total_cmp(&left(other)))
}

fn get(case: &Map<String, Value>, key: &str) -> f64 {
    case.get(key).and_then(Value::as_f64).unwrap_or_default()
}

const PEERS: [&str; 8] = [
    "tcp-cubic",
    "tcp-bbr",
    "grpc-cubic",
    "grpc-bbr",
    "quinn-cubic",
    "quinn-bbr",
    "s2n-cubic",
    "s2n-bbr",
];
const QUINN: [&str; 2] = ["quinn-cubic", "quinn-bbr"];

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn record(system: &str, rtt_ms: u64, metric: &str, value: f64) -> Record {
        let line = json!({
            "case": { "name": "goodput", "rate_mbps": 100.0, "rtt_ms": rtt_ms, "loss_percent": 1.0 },
            "system": system, "metric": metric, "value": value, "unit": "x",
        });
        serde_json::from_value(line).unwrap()
    }

    #[test]
    fn the_worst_cell_decides_and_is_named() {
        let records = [
            record("novacron", 50, "share", 97.0),
            record("novacron", 150, "share", 94.0),
            record("tcp-bbr", 150, "share", 10.0),
        ];
        let table = table(&records);
        let row = "| 1 | share of the link, loss up to 1 % | 100 Mbit/s, 150 ms, loss 1 % | 94 % | >= 95 % | **missed** |";
        assert!(table.contains(row), "{table}");
        assert_eq!(table.lines().count(), 3, "{table}");
    }

    #[test]
    fn ratios_are_to_the_best_peer_of_the_same_cell() {
        let records = [
            record("novacron", 150, "goodput", 90.0),
            record("tcp-bbr", 150, "goodput", 45.0),
            record("tcp-cubic", 150, "goodput", 3.0),
            record("quinn-bbr", 50, "goodput", 1000.0),
        ];
        let found = all(&Cells { records: &records });
        let ratios: Vec<f64> = found.iter().map(|(_, verdict)| verdict.measured).collect();
        assert_eq!(ratios, [2.0, 30.0]);
    }
}
