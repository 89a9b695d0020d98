//! The figures that were written, as tables and plots for people.
//!
//! All of it is made of the JSON lines, so that it can be made again without measuring again.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::commands::PERCENTILES;
use super::plot::{self, Curve, Group};
use super::system::System;
use super::verdicts;
use crate::report::number;

/// One line of the file.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Record {
    pub(super) case: Map<String, Value>,
    pub(super) system: String,
    pub(super) metric: String,
    pub(super) value: f64,
}

impl Record {
    pub(super) fn is(&self, case: &str, metric: &str) -> bool {
        self.metric == metric && self.case.get("name").and_then(Value::as_str) == Some(case)
    }
}

/// A table: one metric of the cases of one name.
struct Topic {
    title: &'static str,
    case: &'static str,
    metric: &'static str,
    better: Better,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Better {
    More,
    Less,
}

const TOPICS: [Topic; 16] = [
    topic("Goodput, Mbit/s", "goodput", "goodput", Better::More),
    topic("Goodput, % of what packets of 1500 bytes can carry", "goodput", "share", Better::More),
    topic("Round trip beside the transfer, p95, ms", "goodput", "rtt_p95", Better::Less),
    topic("Goodput with long buffers, Mbit/s", "queueing", "goodput", Better::More),
    topic("Round trip with long buffers, p95, ms", "queueing", "rtt_p95", Better::Less),
    topic("Command, one way, idle, p99, ms", "command", "idle_one_way_p99", Better::Less),
    topic(
        "Command, one way, beside four bulk streams, p99, ms",
        "command",
        "one_way_p99",
        Better::Less,
    ),
    topic("Command and answer beside bulk, p99, ms", "command", "round_trip_p99", Better::Less),
    topic("Bulk alone, Mbit/s", "command", "bulk_alone", Better::More),
    topic("Bulk beside commands, Mbit/s", "command", "bulk_beside", Better::More),
    topic("Fairness, Jain's index", "fairness", "jain", Better::More),
    topic("Goodput of a flow, or of all, Mbit/s", "fairness", "goodput", Better::More),
    topic("A late joiner has its share after, s", "late joiner", "time_to_share", Better::Less),
    topic("Changing links, % of what they offered", "trace", "share", Better::More),
    topic("Loopback at MTU 1500, Mbit/s", "loopback", "goodput", Better::More),
    topic("Loopback at MTU 1500, CPU seconds per GB, both ends", "loopback", "cpu", Better::Less),
];

const fn topic(
    title: &'static str,
    case: &'static str,
    metric: &'static str,
    better: Better,
) -> Topic {
    Topic { title, case, metric, better }
}

/// Figures read back from where they were written.
#[derive(Debug)]
pub(super) struct Figures {
    records: Vec<Record>,
}

impl Figures {
    pub(super) fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path)
            .with_context(|| format!("read {}; measure first", path.display()))?;
        Self::parse(&text)
    }

    fn parse(text: &str) -> Result<Self> {
        let record = |line| serde_json::from_str(line).with_context(|| format!("read `{line}`"));
        Ok(Self { records: text.lines().map(record).collect::<Result<_>>()? })
    }

    /// Writes every plot that there are figures for into `dir`; gives the files' names.
    pub(super) fn plot(&self, dir: &Path) -> Result<Vec<String>> {
        fs::create_dir_all(dir).with_context(|| format!("make {}", dir.display()))?;
        let mut names = Vec::new();
        for (name, svg) in self.plots() {
            let path = dir.join(&name);
            fs::write(&path, svg).with_context(|| format!("write {}", path.display()))?;
            names.push(name);
        }
        Ok(names)
    }

    /// Which acceptances are met.
    pub(super) fn verdicts(&self) -> String {
        verdicts::table(&self.records)
    }

    /// The whole part of the page: plots, then tables.
    pub(super) fn page(&self, plots: &[String], plot_dir: &str) -> String {
        let mut page = String::new();
        if let Some(machine) = self.records.iter().find_map(|record| record.case.get("machine")) {
            let _ = writeln!(page, "Machine: {}.", shown(machine));
        }
        for plot in plots {
            let title = plot.trim_end_matches(".svg").replace('-', " ");
            let _ = writeln!(page, "\n![{title}]({plot_dir}/{plot})");
        }
        let _ = writeln!(page, "\n### What was asked\n\n{}", self.verdicts());
        for topic in &TOPICS {
            if let Some(table) = self.table(topic) {
                let _ = writeln!(page, "\n### {}\n\n{table}", topic.title);
            }
        }
        page
    }

    fn table(&self, topic: &Topic) -> Option<String> {
        let records = self.of(topic.case, topic.metric);
        let systems = systems(&records);
        let cases = cases(&records);
        if cases.is_empty() {
            return None;
        }
        let mut table = format!("| path | {} | ours to best peer |\n|---|", systems.join(" | "));
        table.push_str(&"--:|".repeat(systems.len() + 1));
        for case in cases {
            let value = |system: &str| {
                let mut found = records.iter().filter(|r| label(&r.case) == case);
                found.find(|record| record.system == system).map(|record| record.value)
            };
            let peers = systems.iter().filter(|system| *system != OURS).filter_map(|s| value(s));
            let best = match topic.better {
                Better::More => peers.max_by(f64::total_cmp),
                Better::Less => peers.filter(|value| *value > 0.0).min_by(f64::total_cmp),
            };
            let cell = |system: &String| match value(system) {
                Some(value) if Some(value) == best => format!("**{}**", number(value)),
                Some(value) => number(value),
                None => String::new(),
            };
            let cells: Vec<String> = systems.iter().map(cell).collect();
            let ratio = value(OURS).zip(best).map(|(ours, best)| format!("{:.2} x", ours / best));
            let _ = write!(
                table,
                "\n| {case} | {} | {} |",
                cells.join(" | "),
                ratio.unwrap_or_default()
            );
        }
        Some(table)
    }

    fn plots(&self) -> Vec<(String, String)> {
        let mut plots = Vec::new();
        for rate in self.rates("goodput") {
            let groups =
                self.groups("goodput", "share", |case| case.get("rate_mbps") == Some(&rate));
            let title = format!("Goodput at {} Mbit/s, % of what the link can carry", shown(&rate));
            plots.push((
                format!("goodput-{}.svg", shown(&rate)),
                plot::bars(&title, "%", 100.0, &groups),
            ));
        }
        let queueing = self.groups("queueing", "rtt_p95", |_| true);
        if !queueing.is_empty() {
            let title = "Round trip under one's own bulk, p95";
            plots.push(("queueing.svg".to_owned(), plot::bars(title, "ms", 500.0, &queueing)));
        }
        for (number, case) in cases(&self.of("command", "one_way_p50")).iter().enumerate() {
            let title = format!("Commands beside bulk, one way: {case}");
            let svg = plot::distribution(&title, &self.curves(case));
            plots.push((format!("command-{}.svg", number + 1), svg));
        }
        let loopback = self.groups("loopback", "goodput", |case| case.get("class").is_none());
        if !loopback.is_empty() {
            let max = loopback.iter().flat_map(|group| group.bars.iter().map(|(_, value)| *value));
            let max = (max.fold(1.0, f64::max) / 4_000.0).ceil() * 4_000.0;
            let title = "Loopback at MTU 1500, encrypted";
            plots.push(("loopback.svg".to_owned(), plot::bars(title, "Mbit/s", max, &loopback)));
        }
        plots
    }

    fn rates(&self, case: &str) -> Vec<Value> {
        let mut rates: Vec<Value> = Vec::new();
        for record in self.of(case, "share") {
            if let Some(rate) = record.case.get("rate_mbps")
                && !rates.contains(rate)
            {
                rates.push(rate.clone());
            }
        }
        rates
    }

    fn groups(
        &self,
        case: &str,
        metric: &str,
        wanted: impl Fn(&Map<String, Value>) -> bool,
    ) -> Vec<Group> {
        let mut records = self.of(case, metric);
        records.retain(|record| wanted(&record.case));
        let order = systems(&records);
        let group = |label: &String| {
            let here = records.iter().filter(|record| self::label(&record.case) == *label);
            let mut bars: Vec<(String, f64)> =
                here.map(|record| (record.system.clone(), record.value)).collect();
            bars.sort_by_key(|(name, _)| order.iter().position(|system| system == name));
            Group { label: label.replace(", ", "\n"), bars }
        };
        cases(&records).iter().map(group).collect()
    }

    fn curves(&self, case: &str) -> Vec<Curve> {
        let all = self.of("command", "one_way_p50");
        let curve = |system: String| {
            let point = |&(percent, metric): &(usize, &str)| {
                let records = self.of("command", metric);
                let of_system = |r: &&&Record| label(&r.case) == case && r.system == system;
                records.iter().find(of_system).map(|record| (record.value, percent as f64))
            };
            let points = PERCENTILES.iter().filter_map(point).collect();
            Curve { label: system.clone(), points }
        };
        systems(&all).into_iter().map(curve).collect()
    }

    fn of(&self, case: &str, metric: &str) -> Vec<&Record> {
        self.records.iter().filter(|record| record.is(case, metric)).collect()
    }
}

/// Systems of these records, ours first, the others in their usual order.
fn systems(records: &[&Record]) -> Vec<String> {
    let found: BTreeSet<&str> = records.iter().map(|record| record.system.as_str()).collect();
    let known = System::ALL.iter().map(|system| system.as_str());
    known.filter(|system| found.contains(system)).map(str::to_owned).collect()
}

/// Cases of these records, each once.
fn cases(records: &[&Record]) -> Vec<String> {
    let mut cases: Vec<String> = Vec::new();
    for record in records {
        let label = label(&record.case);
        if !cases.contains(&label) {
            cases.push(label);
        }
    }
    cases
}

/// `100 Mbit/s, 150 ms, loss 1 %, buffer 1 BDP`.
pub(super) fn label(case: &Map<String, Value>) -> String {
    let mut parts = Vec::new();
    let known = [
        ("rate_mbps", "", " Mbit/s"),
        ("rtt_ms", "", " ms"),
        ("loss_percent", "loss ", " %"),
        ("buffer_bdp", "buffer ", " BDP"),
        ("streams", "", " streams"),
        ("class", "", ""),
        ("against", "beside ", ""),
        ("flows", "", " flows"),
        ("trace", "", ""),
        ("trace_run", "run ", ""),
    ];
    for (key, before, after) in known {
        if let Some(value) = case.get(key) {
            parts.push(format!("{before}{}{after}", shown(value)));
        }
    }
    parts.join(", ")
}

fn shown(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(number) if number.as_f64().is_some_and(|number| number.fract() == 0.0) => {
            format!("{:.0}", number.as_f64().unwrap_or_default())
        }
        other => other.to_string(),
    }
}

const OURS: &str = "novacron";

/// Puts `figures` between the marks of a page; a page that has none gets them at its end.
pub(super) fn insert(page: &str, figures: &str) -> String {
    let part = format!("{BEGIN}\n\n{}\n\n{END}", figures.trim());
    match (page.find(BEGIN), page.find(END)) {
        (Some(begin), Some(end)) if begin < end => {
            format!("{}{part}{}", &page[..begin], &page[end + END.len()..])
        }
        _ => format!("{}\n\n{part}\n", page.trim_end()),
    }
}

const BEGIN: &str = "<!-- figures: written by `novacron-bench dwcp --write-docs` -->";
const END: &str = "<!-- end of figures -->";

#[cfg(test)]
mod tests {
    use super::*;

    const LINES: &str = r#"{"case":{"name":"goodput","rate_mbps":100.0,"rtt_ms":150,"loss_percent":1.0,"buffer_bdp":1.0,"runs":5},"system":"novacron","metric":"goodput","value":95.0,"unit":"Mbit/s"}
{"case":{"name":"goodput","rate_mbps":100.0,"rtt_ms":150,"loss_percent":1.0,"buffer_bdp":1.0,"runs":5},"system":"tcp-bbr","metric":"goodput","value":90.0,"unit":"Mbit/s"}
{"case":{"name":"goodput","rate_mbps":100.0,"rtt_ms":150,"loss_percent":1.0,"buffer_bdp":1.0,"runs":5},"system":"tcp-bbr","metric":"share","value":93.0,"unit":"%"}
"#;

    #[test]
    fn a_table_has_a_row_for_each_path_and_the_ratio() {
        let page = Figures::parse(LINES).unwrap().page(&[], "dwcp");
        let row = "| 100 Mbit/s, 150 ms, loss 1 %, buffer 1 BDP | 95 | **90** | 1.06 x |";
        assert!(page.contains(row), "{page}");
        assert!(!page.contains("Loopback"), "{page}");
    }

    #[test]
    fn there_is_a_plot_for_each_rate() {
        let plots = Figures::parse(LINES).unwrap().plots();
        assert_eq!(
            plots.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(),
            ["goodput-100.svg"]
        );
    }

    #[test]
    fn figures_replace_the_old_ones_and_nothing_else() {
        let first = insert("# Page\n\nText.\n", "one");
        assert!(first.starts_with("# Page\n\nText.\n\n<!--") && first.contains("\none\n"));
        let second = insert(&format!("{first}\nAfter."), "two");
        assert!(second.contains("\ntwo\n") && !second.contains("one\n"), "{second}");
        assert!(second.ends_with("After.") && second.starts_with("# Page\n\nText."));
    }
}
