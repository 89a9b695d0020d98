//! Recorded links: files of runs, halved into those that peers are tuned on and those that count.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use novacron_link::trace;

/// Where there are traces, for whoever has none.
pub(super) const WHERE_FROM: &str = "traces that tell something are public: the UDP downlink \
    measurements (3-Thrpt-Comp/UDP/Downlink) of \"LEO Satellite vs. Cellular Networks\" (CoNEXT \
    '23), repository Starlink-Project/Satellite-vs-Cellular. Name their directory with \
    `make bench-predict TRACES=DIR`";

/// Shorter runs tell more of a beginning than of a link.
const RUN_SECONDS_MIN: usize = 60;

/// One file: rates in Mbit/s, a second each, in runs without gaps.
#[derive(Debug)]
pub(super) struct Trace {
    pub(super) name: String,
    tuned: Vec<Vec<f64>>,
    reported: Vec<Vec<f64>>,
}

/// All `.csv` files of a directory, by name.
pub(super) fn read(dir: &Path) -> Result<Vec<Trace>> {
    let entries =
        fs::read_dir(dir).with_context(|| format!("list {}; {WHERE_FROM}", dir.display()))?;
    let mut paths: Vec<_> = entries.filter_map(|entry| Some(entry.ok()?.path())).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "csv"));
    paths.sort();
    paths
        .iter()
        .map(|path| {
            let text =
                fs::read_to_string(path).with_context(|| format!("read {}", path.display()))?;
            let name = path.file_stem().unwrap_or_default().to_string_lossy();
            Trace::parse(&name, &text).with_context(|| format!("read {}", path.display()))
        })
        .collect()
}

impl Trace {
    /// Odd runs are for tuning, even ones for reporting.
    pub(super) fn parse(name: &str, text: &str) -> Result<Self> {
        let runs: Vec<(u32, Vec<f64>)> = match text.lines().next() {
            Some(header) if header.starts_with("time,throughput") => timed(text)?,
            _ => trace::parse(text)?.into_iter().map(|run| (run.id, run.mbps)).collect(),
        };
        let (mut tuned, mut reported) = (Vec::new(), Vec::new());
        for (id, mbps) in runs.into_iter().filter(|(_, mbps)| mbps.len() >= RUN_SECONDS_MIN) {
            if id % 2 == 1 { tuned.push(mbps) } else { reported.push(mbps) }
        }
        anyhow::ensure!(
            !tuned.is_empty() && !reported.is_empty(),
            "it takes two runs of {RUN_SECONDS_MIN} s, of an odd and of an even number"
        );
        Ok(Self { name: name.to_owned(), tuned, reported })
    }

    pub(super) fn tuned(&self) -> &[Vec<f64>] {
        &self.tuned
    }

    pub(super) fn reported(&self) -> &[Vec<f64>] {
        &self.reported
    }
}

/// The public dataset's own format: `2023-04-04 10:07:13 CDT,81.4,..`. A run ends where the clock
/// does not go on by a second; rows without a number are gaps. Runs are numbered by the long ones.
fn timed(text: &str) -> Result<Vec<(u32, Vec<f64>)>> {
    let mut runs: Vec<Vec<f64>> = Vec::new();
    let mut last = None;
    for (line, row) in text.lines().enumerate().skip(1) {
        let Some((time, rest)) = row.split_once(',') else { continue };
        let mbps = rest.split(',').next().unwrap_or_default().trim().parse::<f64>();
        let Ok(mbps) = mbps.map(|mbps| mbps.clamp(0.0, 1e6)) else { continue };
        let second = second_of(time).with_context(|| format!("line {} has no time", line + 1))?;
        match runs.last_mut() {
            Some(run) if last == second.checked_sub(1) => run.push(mbps),
            _ => runs.push(vec![mbps]),
        }
        last = Some(second);
    }
    runs.retain(|run| run.len() >= RUN_SECONDS_MIN);
    Ok((0..).zip(runs).collect())
}

/// A number that grows by one from second to second within a day.
fn second_of(time: &str) -> Option<u64> {
    let numbers: Option<Vec<u64>> =
        time.get(..19)?.split(['-', ' ', ':']).map(|part| part.parse().ok()).collect();
    let [year, month, day, hour, minute, second] = numbers?[..] else { return None };
    Some((((year * 12 + month) * 31 + day) * 24 + hour) * 3600 + minute * 60 + second)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_of_the_dataset_end_at_gaps() {
        let mut text = String::from("time,throughput,speed\n");
        for (minute, rate) in [(7, 10.0), (8, 11.0), (30, 12.0)] {
            for second in 0..60 {
                text.push_str(&format!("2023-04-04 10:{minute:02}:{second:02} CDT,{rate},1.0\n"));
            }
        }
        let trace = Trace::parse("drive", &text).unwrap();
        assert_eq!(trace.reported()[0].len(), 120);
        assert_eq!(trace.tuned(), [vec![12.0; 60]]);
    }

    #[test]
    fn the_projects_own_trace_has_both_halves() {
        let text = include_str!("../../traces/made-up.csv");
        let trace = Trace::parse("made-up", text).unwrap();
        assert_eq!((trace.tuned().len(), trace.reported().len()), (2, 2));
    }

    #[test]
    fn a_trace_that_cannot_be_halved_is_refused() {
        assert!(Trace::parse("short", "run,second,mbps\n0,0,1\n1,0,2\n").is_err());
        assert!(Trace::parse("odd", "nonsense").is_err());
    }
}
