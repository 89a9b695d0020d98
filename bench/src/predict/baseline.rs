//! The simple predictors that PBA has to beat, each with its best parameters.

use std::fmt;

use super::score::Score;

/// A kind of predictor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    Last,
    Ewma,
    Harmonic,
    HoltWinters,
}

/// A predictor with its parameters.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Baseline {
    /// The last sample goes on.
    Last,
    /// Exponentially weighted moving average.
    Ewma { gain: f64 },
    /// Harmonic mean of the last samples, as adaptive video players use it (Jiang, Sekar and
    /// Zhang, "FESTIVE", CoNEXT '12).
    Harmonic { window: usize },
    /// Double, and with a season triple, exponential smoothing with additive terms (Winters 1960;
    /// for throughput: He, Dovrolis and Ammar, SIGCOMM '05).
    HoltWinters { level: f64, trend: f64, season: f64 },
}

/// Length of a season: Starlink moves its terminals between satellites every 15 s.
const SEASON_SECONDS: usize = 15;

impl Family {
    pub(super) const ALL: [Self; 4] = [Self::Last, Self::Ewma, Self::Harmonic, Self::HoltWinters];

    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Last => "last",
            Self::Ewma => "ewma",
            Self::Harmonic => "harmonic",
            Self::HoltWinters => "holt-winters",
        }
    }

    /// The parameters with the least median error on `runs`.
    pub(super) fn tune(self, runs: &[Vec<f64>], ahead: usize) -> Baseline {
        let error = |baseline: &Baseline| {
            Score::of(runs, ahead, |run| baseline.forecasts(run, ahead)).median_error()
        };
        let errors = self.grid().into_iter().map(|baseline| (error(&baseline), baseline));
        let best = errors.min_by(|(one, _), (other, _)| one.total_cmp(other));
        best.map_or(Baseline::Last, |(_, baseline)| baseline)
    }

    /// A trend or season of 0 is in it: Holt-Winters is never tuned to be worse than EWMA.
    fn grid(self) -> Vec<Baseline> {
        let gains = || (1..=20).map(|step| f64::from(step) / 20.0);
        match self {
            Self::Last => vec![Baseline::Last],
            Self::Ewma => gains().map(|gain| Baseline::Ewma { gain }).collect(),
            Self::Harmonic => (2..=20).map(|window| Baseline::Harmonic { window }).collect(),
            Self::HoltWinters => gains()
                .flat_map(|level| [0.0, 0.02, 0.05, 0.1, 0.2, 0.4].map(|trend| (level, trend)))
                .flat_map(|(level, trend)| {
                    [0.0, 0.05, 0.1, 0.2, 0.4].map(|season| (level, trend, season))
                })
                .map(|(level, trend, season)| Baseline::HoltWinters { level, trend, season })
                .collect(),
        }
    }
}

impl Baseline {
    /// After each sample of `run`, what it says for `ahead` samples later.
    pub(super) fn forecasts(&self, run: &[f64], ahead: usize) -> Vec<f64> {
        match *self {
            Self::Last => run.to_vec(),
            Self::Ewma { gain } => ewma(run, gain),
            Self::Harmonic { window } => harmonic(run, window),
            Self::HoltWinters { level, trend, season } => {
                holt_winters(run, ahead, level, trend, season)
            }
        }
    }
}

fn ewma(run: &[f64], gain: f64) -> Vec<f64> {
    let mut mean = run.first().copied().unwrap_or_default();
    run.iter()
        .map(|rate| {
            mean += gain * (rate - mean);
            mean
        })
        .collect()
}

fn harmonic(run: &[f64], window: usize) -> Vec<f64> {
    (0..run.len())
        .map(|at| {
            let seen = &run[(at + 1).saturating_sub(window)..=at];
            // One second of silence makes the harmonic mean 0.
            seen.len() as f64 / seen.iter().map(|rate| 1.0 / rate).sum::<f64>()
        })
        .collect()
}

fn holt_winters(
    run: &[f64],
    ahead: usize,
    level_gain: f64,
    trend_gain: f64,
    season_gain: f64,
) -> Vec<f64> {
    let mut seasons = [0.0; SEASON_SECONDS];
    let mut level = run.first().copied().unwrap_or_default();
    let mut trend = 0.0;
    run.iter()
        .enumerate()
        .map(|(at, rate)| {
            let season = &mut seasons[at % SEASON_SECONDS];
            if at > 0 {
                let before = level;
                level = level_gain * (rate - *season) + (1.0 - level_gain) * (level + trend);
                trend = trend_gain * (level - before) + (1.0 - trend_gain) * trend;
                *season = season_gain * (rate - level) + (1.0 - season_gain) * *season;
            }
            let then = seasons[(at + ahead) % SEASON_SECONDS];
            (level + ahead as f64 * trend + then).max(0.0)
        })
        .collect()
}

impl fmt::Display for Baseline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Last => f.write_str("none"),
            Self::Ewma { gain } => write!(f, "gain {gain}"),
            Self::Harmonic { window } => write!(f, "window {window} s"),
            Self::HoltWinters { level, trend, season } => {
                write!(f, "level {level}, trend {trend}, season of {SEASON_SECONDS} s {season}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_predictor_says_what_its_name_promises() {
        let run = [10.0, 20.0, 40.0];
        assert_eq!(Baseline::Last.forecasts(&run, 1), run);
        assert_eq!(Baseline::Ewma { gain: 0.5 }.forecasts(&run, 1), [10.0, 15.0, 27.5]);
        let harmonic = Baseline::Harmonic { window: 2 }.forecasts(&run, 1);
        assert!((harmonic[2] - 2.0 / (1.0 / 20.0 + 1.0 / 40.0)).abs() < 1e-9);
        assert_eq!(Baseline::Harmonic { window: 2 }.forecasts(&[0.0, 9.0], 1), [0.0, 0.0]);
    }

    #[test]
    fn holt_winters_follows_a_ramp_and_a_season() {
        let ramp: Vec<f64> = (0..100).map(|at| f64::from(at) * 2.0).collect();
        let holt = Baseline::HoltWinters { level: 0.5, trend: 0.4, season: 0.0 };
        let said = holt.forecasts(&ramp, 5);
        assert!((said[90] - ramp[95]).abs() < 0.1, "{}", said[90]);
        let waves: Vec<f64> = (0..600).map(|at| if at % 15 == 0 { 10.0 } else { 100.0 }).collect();
        let winters = Baseline::HoltWinters { level: 0.05, trend: 0.0, season: 0.4 };
        let said = winters.forecasts(&waves, 1);
        assert!((said[14 + 15 * 38] - 10.0).abs() < 10.0, "{}", said[14 + 15 * 38]);
    }

    #[test]
    fn tuning_finds_the_gain_that_fits() {
        // Around a level that never moves, a long memory is best.
        let noisy: Vec<f64> = (0..400_u32)
            .map(|at| 100.0 + f64::from(at.wrapping_mul(2_654_435_761) >> 27))
            .collect();
        let Baseline::Ewma { gain } = Family::Ewma.tune(&[noisy], 1) else {
            panic!("a family tunes its own kind")
        };
        assert!(gain <= 0.2, "{gain}");
    }
}
