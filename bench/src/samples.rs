//! Durations, and what is told of many of them.

use std::time::Duration;

/// Durations of one kind of thing.
#[derive(Debug, Clone, Default)]
pub(crate) struct Samples {
    sorted: Vec<Duration>,
}

impl Samples {
    pub(crate) fn len(&self) -> usize {
        self.sorted.len()
    }

    pub(crate) fn max(&self) -> Duration {
        self.percentile(100)
    }

    /// The nearest rank: the smallest sample that at least `percent` of all do not exceed. No value
    /// is made up between two samples, so the 99th of 20 is the largest.
    pub(crate) fn percentile(&self, percent: usize) -> Duration {
        let rank = (self.sorted.len() * percent).div_ceil(100).max(1);
        self.sorted.get(rank - 1).copied().unwrap_or_default()
    }
}

impl FromIterator<Duration> for Samples {
    fn from_iter<I: IntoIterator<Item = Duration>>(samples: I) -> Self {
        let mut sorted: Vec<Duration> = samples.into_iter().collect();
        sorted.sort_unstable();
        Self { sorted }
    }
}

/// Milliseconds with their fraction.
pub(crate) fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(count: u64) -> Samples {
        (1..=count).rev().map(Duration::from_millis).collect()
    }

    #[test]
    fn percentiles_are_samples_of_the_nearest_rank() {
        let hundred = samples(100);
        assert_eq!(hundred.percentile(50), Duration::from_millis(50));
        assert_eq!(hundred.percentile(99), Duration::from_millis(99));
        assert_eq!(hundred.max(), Duration::from_millis(100));
        assert_eq!(samples(20).percentile(99), Duration::from_millis(20));
        assert_eq!(samples(5).percentile(50), Duration::from_millis(3));
    }

    #[test]
    fn no_samples_have_no_length() {
        assert_eq!(samples(0).percentile(99), Duration::ZERO);
    }
}
