//! Figures: a table for people, and a JSON line each for programs.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::samples::{Samples, ms};

/// One figure.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Figure {
    /// What was measured and under which circumstances.
    case: Map<String, Value>,
    /// `novacron`, or the peer.
    system: String,
    metric: String,
    value: f64,
    unit: Cow<'static, str>,
    #[serde(skip)]
    aim: Option<f64>,
}

/// All figures of a run, in the order in which they were taken.
#[derive(Debug, Default)]
pub(crate) struct Report {
    figures: Vec<Figure>,
}

/// Adds figures of one system in one case.
#[derive(Debug)]
pub(crate) struct Section<'a> {
    report: &'a mut Report,
    case: Map<String, Value>,
    system: String,
}

impl Report {
    /// `case` is an object; its `name` is what the table shows.
    pub(crate) fn section(&mut self, system: &str, case: Value) -> Section<'_> {
        let case = match case {
            Value::Object(case) => case,
            other => Map::from_iter([("name".to_owned(), other)]),
        };
        Section { report: self, case, system: system.to_owned() }
    }

    /// Begins with the figures of an earlier run. Those that are added again replace them.
    pub(crate) fn resume(&mut self, path: &Path) -> Result<()> {
        let text = fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
        for line in text.lines() {
            let figure = serde_json::from_str(line);
            self.figures.push(figure.with_context(|| format!("read {}", path.display()))?);
        }
        Ok(())
    }

    /// Writes one line per figure, whole or not at all.
    pub(crate) fn write(&self, path: &Path) -> Result<()> {
        let mut text = String::new();
        for figure in &self.figures {
            text.push_str(&serde_json::to_string(figure).context("write a figure")?);
            text.push('\n');
        }
        let fresh = path.with_extension("jsonl.new");
        fs::write(&fresh, text).with_context(|| format!("write {}", fresh.display()))?;
        fs::rename(&fresh, path).with_context(|| format!("write {}", path.display()))
    }

    pub(crate) fn table(&self) -> String {
        let mut table = row(["case", "system", "metric", "value", "unit", "aim"]);
        for figure in &self.figures {
            let aim = match figure.aim {
                Some(aim) if figure.value <= aim => format!("<= {} met", number(aim)),
                Some(aim) => format!("<= {} MISSED", number(aim)),
                None => String::new(),
            };
            table.push_str(&row([
                &label(&figure.case),
                &figure.system,
                &figure.metric,
                &number(figure.value),
                &figure.unit,
                &aim,
            ]));
        }
        table
    }
}

impl Section<'_> {
    pub(crate) fn add(&mut self, metric: &str, value: f64, unit: &'static str) {
        self.push(metric, value, unit, None);
    }

    /// A figure that should not be above `aim`.
    pub(crate) fn add_with_aim(&mut self, metric: &str, value: f64, unit: &'static str, aim: f64) {
        self.push(metric, value, unit, Some(aim));
    }

    /// Median, 99th percentile and worst, in milliseconds; the aim is for the 99th.
    pub(crate) fn add_latency(&mut self, metric: &str, samples: &Samples, p99_aim_ms: Option<f64>) {
        self.add(&format!("{metric}_p50"), ms(samples.percentile(50)), "ms");
        self.push(&format!("{metric}_p99"), ms(samples.percentile(99)), "ms", p99_aim_ms);
        self.add(&format!("{metric}_max"), ms(samples.max()), "ms");
    }

    fn push(&mut self, metric: &str, value: f64, unit: &'static str, aim: Option<f64>) {
        // Three decimals are below the noise of every one of them.
        let value = (value * 1000.0).round() / 1000.0;
        self.report.figures.retain(|figure| {
            figure.metric != metric
                || figure.system != self.system
                || !is_same_case(&figure.case, &self.case)
        });
        self.report.figures.push(Figure {
            case: self.case.clone(),
            system: self.system.clone(),
            metric: metric.to_owned(),
            value,
            unit: unit.into(),
            aim,
        });
    }
}

/// Whether two cases are the same but for how often they were measured.
fn is_same_case(one: &Map<String, Value>, other: &Map<String, Value>) -> bool {
    let what = |case: &Map<String, Value>| {
        let mut case = case.clone();
        case.remove("runs");
        case
    };
    what(one) == what(other)
}

/// `create via=any`: the name, then what sets it apart from cases of the same name.
fn label(case: &Map<String, Value>) -> String {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let mut label = case.get("name").map(text).unwrap_or_default();
    for key in ["via", "state", "clients"] {
        if let Some(value) = case.get(key) {
            label.push(' ');
            label.push_str(&text(value));
        }
    }
    label
}

/// Three digits or so.
pub(crate) fn number(value: f64) -> String {
    match value {
        value if value.fract() == 0.0 => format!("{value:.0}"),
        value if value >= 100.0 => format!("{value:.0}"),
        value if value >= 10.0 => format!("{value:.1}"),
        value => format!("{value:.2}"),
    }
}

fn row(cells: [&str; 6]) -> String {
    let [case, system, metric, value, unit, aim] = cells;
    let mut row = String::new();
    let _ = write!(row, "{case:<28} {system:<13} {metric:<30} {value:>9} {unit:<10} {aim}");
    format!("{}\n", row.trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn report() -> Report {
        let mut report = Report::default();
        let mut section = report.section("novacron", json!({ "name": "create", "via": "any" }));
        section.add_with_aim("p99", 120.0, "ms", 100.0);
        section.add_with_aim("p50", 12.3456, "ms", 100.0);
        section.add("failed", 0.0, "requests");
        report
    }

    #[test]
    fn a_line_has_the_case_the_system_and_the_figure() {
        let line: Value = serde_json::to_value(&report().figures[1]).unwrap();
        let expected = json!({
            "case": { "name": "create", "via": "any" },
            "system": "novacron", "metric": "p50", "value": 12.346, "unit": "ms",
        });
        assert_eq!(line, expected);
    }

    #[test]
    fn a_figure_replaces_the_one_of_the_same_case() {
        let mut report = report();
        let case = json!({ "name": "create", "via": "any", "runs": 3 });
        report.section("novacron", case).add("failed", 1.0, "requests");
        report.section("etcd", json!({ "name": "create", "via": "any" })).add("p50", 5.0, "ms");
        let values: Vec<f64> = report.figures.iter().map(|figure| figure.value).collect();
        assert_eq!(values, [120.0, 12.346, 1.0, 5.0]);
    }

    #[test]
    fn the_table_says_which_aims_are_met() {
        let table = report().table();
        let lines: Vec<&str> = table.lines().collect();
        assert!(lines[1].ends_with("ms         <= 100 MISSED"), "{table}");
        assert!(lines[2].ends_with("<= 100 met"), "{table}");
        assert!(lines[3].ends_with("requests"), "{table}");
    }
}
