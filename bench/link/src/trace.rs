//! Recorded bandwidth, as text: lines `run,second,mbps` under a header of these names.
//!
//! A run is a stretch without gaps: its seconds count up by one. Everything else is refused, so a
//! trace that is read is a trace that can be played.

use std::time::Duration;

use crate::rate::Rate;

/// One run of a trace, a sample a second.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    pub id: u32,
    /// 10^6 bit/s.
    pub mbps: Vec<f64>,
}

/// A line that does not belong into a trace.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line} is not {expected}")]
pub struct TraceError {
    /// Counted from 1.
    pub line: usize,
    pub expected: &'static str,
}

impl Run {
    /// The run as the rate of a link, looped.
    pub fn rate(&self) -> Rate {
        Rate::Trace { mbps: self.mbps.clone(), step: Duration::from_secs(1) }
    }
}

/// Reads the runs of a trace, in their order.
pub fn parse(text: &str) -> Result<Vec<Run>, TraceError> {
    let mut lines = text.lines().enumerate().map(|(at, line)| (at + 1, line.trim()));
    if lines.next().is_none_or(|(_, header)| header != HEADER) {
        return Err(TraceError { line: 1, expected: "the header `run,second,mbps`" });
    }
    let mut runs: Vec<Run> = Vec::new();
    let mut last = (0, 0);
    for (line, text) in lines.filter(|(_, text)| !text.is_empty()) {
        let expected = "a sample `run,second,mbps` of numbers";
        let (id, second, mbps) = sample(text).ok_or(TraceError { line, expected })?;
        match runs.iter().position(|run| run.id == id) {
            None => runs.push(Run { id, mbps: vec![mbps] }),
            Some(run) if last == (id, second.wrapping_sub(1)) => runs[run].mbps.push(mbps),
            Some(_) => {
                return Err(TraceError { line, expected: "the second after the one before" });
            }
        }
        last = (id, second);
    }
    Ok(runs)
}

fn sample(line: &str) -> Option<(u32, u32, f64)> {
    let mut fields = line.split(',');
    let (run, second, mbps) = (fields.next()?, fields.next()?, fields.next()?);
    let mbps: f64 = mbps.parse().ok()?;
    let is_rate = fields.next().is_none() && (0.0..=MBPS_MAX).contains(&mbps);
    is_rate.then_some((run.parse().ok()?, second.parse().ok()?, mbps))
}

const HEADER: &str = "run,second,mbps";
/// A terabit a second: far above any link, and far from where numbers overflow.
const MBPS_MAX: f64 = 1e6;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_read_in_their_order() {
        let runs = parse("run,second,mbps\n3,0,93.7\n3,1,262\n7,5,0\n").expect("it is a trace");
        assert_eq!(runs, [Run { id: 3, mbps: vec![93.7, 262.0] }, Run { id: 7, mbps: vec![0.0] }]);
        assert_eq!(runs[0].rate().mean(), Some(177_850_000));
    }

    #[test]
    fn what_is_not_a_trace_is_refused_with_its_line() {
        let lines = |text: &str| parse(text).expect_err("it is no trace").line;
        for (text, line) in [
            ("", 1),
            ("second,mbps", 1),
            ("run,second,mbps\n0,0", 2),
            ("run,second,mbps\n0,0,1,2", 2),
            ("run,second,mbps\n0,0,-1", 2),
            ("run,second,mbps\n0,0,NaN", 2),
            ("run,second,mbps\n0,0,inf", 2),
            ("run,second,mbps\n0,0,1\n0,2,1", 3),
            ("run,second,mbps\n0,0,1\n1,0,1\n0,1,1", 4),
        ] {
            assert_eq!(lines(text), line, "{text}");
        }
    }
}
