//! Several runs of the same measurement, of which the median is told.

use std::collections::BTreeMap;

use super::say;
use super::system::System;

/// What was measured in each run, by system and metric.
#[derive(Debug, Default)]
pub(crate) struct Medians {
    samples: BTreeMap<(System, &'static str), Metric>,
}

#[derive(Debug)]
struct Metric {
    values: Vec<f64>,
    unit: &'static str,
}

/// The median of some runs.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Median {
    pub(crate) system: System,
    pub(crate) metric: &'static str,
    pub(crate) value: f64,
    pub(crate) unit: &'static str,
    pub(crate) runs: usize,
}

impl Medians {
    pub(super) fn add(
        &mut self,
        system: System,
        metric: &'static str,
        value: f64,
        unit: &'static str,
    ) {
        let empty = || Metric { values: Vec::new(), unit };
        self.samples.entry((system, metric)).or_insert_with(empty).values.push(value);
    }

    /// A run that came to nothing counts as nothing, and is told of.
    pub(super) fn fail(
        &mut self,
        system: System,
        metric: &'static str,
        unit: &'static str,
        error: &anyhow::Error,
    ) {
        say(&format!("{} failed: {error:#}", system.as_str()));
        self.add(system, metric, 0.0, unit);
    }

    pub(super) fn all(&self) -> Vec<Median> {
        let median = |(&(system, metric), samples): (&(System, &'static str), &Metric)| Median {
            system,
            metric,
            value: median(&samples.values),
            unit: samples.unit,
            runs: samples.values.len(),
        };
        self.samples.iter().map(median).collect()
    }
}

/// The middle one; of an even number the lower of the two in the middle, so that it was measured.
fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len().saturating_sub(1) / 2).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_a_value_that_was_measured() {
        assert!((median(&[3.0, 1.0, 2.0]) - 2.0).abs() < f64::EPSILON);
        assert!((median(&[4.0, 1.0]) - 1.0).abs() < f64::EPSILON);
        assert!(median(&[]).abs() < f64::EPSILON);
    }

    #[test]
    fn a_failed_run_counts_as_nothing() {
        let mut medians = Medians::default();
        medians.add(System::TcpBbr, "goodput", 5.0, "Mbit/s");
        medians.fail(System::TcpBbr, "goodput", "Mbit/s", &anyhow::anyhow!("it broke"));
        let all = medians.all();
        assert!(all[0].value.abs() < f64::EPSILON && all[0].runs == 2, "{all:?}");
    }
}
