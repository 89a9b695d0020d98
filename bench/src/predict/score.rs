//! Errors of predictions, by run and over all.

use std::time::{Duration, Instant};

use novacron_protocol::Bitrate;
use novacron_transport_core::pba::{Limit, Pba, Prediction};

/// How one predictor did on the runs of a trace.
#[derive(Debug)]
pub(super) struct Score {
    /// Absolute errors of each run, in Mbit/s.
    runs: Vec<Vec<f64>>,
    band: Band,
    spent: Duration,
}

#[derive(Debug, Default)]
struct Band {
    inside: usize,
    width_sum: f64,
}

impl Score {
    /// `forecast` gives, after each sample of a run, what it expects `ahead` samples later.
    pub(super) fn of(
        runs: &[Vec<f64>],
        ahead: usize,
        forecast: impl Fn(&[f64]) -> Vec<f64>,
    ) -> Self {
        let errors = |run: &Vec<f64>| {
            let said = forecast(run);
            run.iter().skip(ahead).zip(said).map(|(rate, said)| (rate - said).abs()).collect()
        };
        Self {
            runs: runs.iter().map(errors).collect(),
            band: Band::default(),
            spent: Duration::ZERO,
        }
    }

    /// A path of its own for each run: nothing is carried over.
    pub(super) fn of_novacron(runs: &[Vec<f64>], ahead: usize) -> Self {
        let started_at = Instant::now();
        let said: Vec<Vec<Prediction>> = runs.iter().map(|run| predictions(run, ahead)).collect();
        let spent = started_at.elapsed();
        let mut band = Band::default();
        let mut errors = Vec::new();
        for (run, said) in runs.iter().zip(said) {
            let outcomes = run.iter().skip(ahead).zip(said);
            errors.push(outcomes.map(|(rate, said)| band.error(*rate, &said)).collect());
        }
        Self { runs: errors, band, spent }
    }

    pub(super) fn count(&self) -> usize {
        self.runs.iter().map(Vec::len).sum()
    }

    pub(super) fn median_error(&self) -> f64 {
        median(self.runs.concat())
    }

    pub(super) fn mean_error(&self) -> f64 {
        self.runs.iter().flatten().sum::<f64>() / self.count() as f64
    }

    /// Runs in which the median error is below the other's; equal ones count half.
    pub(super) fn wins_percent(&self, other: &Self) -> f64 {
        let won = |(ours, theirs): (&Vec<f64>, &Vec<f64>)| match median(ours.clone())
            .total_cmp(&median(theirs.clone()))
        {
            std::cmp::Ordering::Less => 1.0,
            std::cmp::Ordering::Equal => 0.5,
            std::cmp::Ordering::Greater => 0.0,
        };
        let wins: f64 = self.runs.iter().zip(&other.runs).map(won).sum();
        wins / self.runs.len() as f64 * 100.0
    }

    pub(super) fn coverage_percent(&self) -> f64 {
        self.band.inside as f64 / self.count() as f64 * 100.0
    }

    pub(super) fn band_width(&self) -> f64 {
        self.band.width_sum / self.count() as f64
    }

    /// Time for one sample and one prediction.
    pub(super) fn cost_us(&self) -> f64 {
        self.spent.as_secs_f64() * 1e6 / self.count() as f64
    }
}

impl Band {
    fn error(&mut self, rate: f64, said: &Prediction) -> f64 {
        let [low, mbps, high] =
            [said.low, said.bandwidth, said.high].map(|rate| rate.0 as f64 / 1e6);
        // Rates are whole bits a second on our side.
        let tolerance = 1e-6;
        self.inside += usize::from((low - tolerance..=high + tolerance).contains(&rate));
        self.width_sum += high - low;
        (rate - mbps).abs()
    }
}

/// What a path says after each sample of `run`, one sample a second.
pub(super) fn predictions(run: &[f64], ahead: usize) -> Vec<Prediction> {
    let mut path = Pba::new();
    let ahead = Duration::from_secs(ahead as u64);
    (0..)
        .map(Duration::from_secs)
        .zip(run)
        .map(|(now, mbps)| {
            path.handle_sample(now, Bitrate((mbps * 1e6).round() as u64), Limit::Network);
            path.predict(now, ahead)
        })
        .collect()
}

/// The path after all of `run`.
pub(super) fn after(run: &[f64]) -> Pba {
    let mut path = Pba::new();
    for (now, mbps) in (0..).map(Duration::from_secs).zip(run) {
        path.handle_sample(now, Bitrate((mbps * 1e6).round() as u64), Limit::Network);
    }
    path
}

/// The middle value; the mean of both of an even number, and NaN of none.
fn median(mut values: Vec<f64>) -> f64 {
    let middle = values.len() / 2;
    if values.is_empty() {
        return f64::NAN;
    }
    let (below, upper, _) = values.select_nth_unstable_by(middle, f64::total_cmp);
    let upper = *upper;
    match below.iter().copied().max_by(f64::total_cmp) {
        Some(lower) if below.len() == middle && middle * 2 == values.len() => (lower + upper) / 2.0,
        _ => upper,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_is_the_middle_of_odd_and_the_mean_of_two_of_even_numbers() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0, 3.0, 2.0]), 2.5);
        assert_eq!(median(vec![7.0]), 7.0);
        assert!(median(vec![]).is_nan());
    }

    #[test]
    fn errors_are_taken_between_a_forecast_and_what_came_that_much_later() {
        let run = vec![1.0, 2.0, 4.0, 8.0];
        let score = Score::of(&[run], 2, <[f64]>::to_vec);
        assert_eq!(score.runs, [vec![3.0, 6.0]]);
        assert_eq!((score.median_error(), score.mean_error()), (4.5, 4.5));
    }

    #[test]
    fn who_errs_less_in_a_run_has_won_it() {
        let runs = [vec![10.0; 9], vec![20.0; 9]];
        let good = Score::of(&runs, 1, <[f64]>::to_vec);
        let bad =
            Score::of(&runs, 1, |run| if run[0] > 15.0 { vec![0.0; 9] } else { run.to_vec() });
        assert_eq!(good.wins_percent(&bad), 75.0);
        assert_eq!(bad.wins_percent(&good), 25.0);
    }
}
