//! The simple forecasts that are mixed: each is right on some links, and none on all.
//!
//! All look at whole seconds. None knows how far ahead it is asked for: links wander, and the
//! mixture of each horizon finds out whom to believe that far ahead.

use std::fmt;

/// Forecasts that are made every second.
pub const EXPERTS: usize = 14;

/// Seconds that are remembered one by one.
const WINDOW: usize = 60;

/// A forecast of each expert, in Mbit/s.
pub(super) type Forecasts = [f32; EXPERTS];

/// Chance that an expert is too far off to count, one second and five seconds ahead, as it was on
/// the tuning half of the traces (`docs/dwcp/prediction.md`): what a path that is new believes.
pub(super) const PRIOR_LOSS: [[f32; EXPERTS]; 2] = [
    [0.616, 0.62, 0.619, 0.629, 0.65, 0.694, 0.641, 0.673, 0.698, 0.764, 0.686, 0.736, 0.69, 0.622],
    [
        0.623, 0.622, 0.623, 0.626, 0.635, 0.658, 0.632, 0.646, 0.662, 0.709, 0.66, 0.693, 0.648,
        0.631,
    ],
];

/// How a forecast sees the link; the reason that a prediction gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pattern {
    /// The last second goes on.
    Last,
    /// The last few seconds' mean goes on.
    Mean,
    /// The median of recent seconds goes on, whatever the last one was.
    Median,
    /// The link comes back to the level at which it is most often.
    Level,
    /// The last change goes on.
    Trend,
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Last => "the last second goes on",
            Self::Mean => "the mean of the last seconds goes on",
            Self::Median => "the median of the last seconds goes on",
            Self::Level => "comes back to its usual level",
            Self::Trend => "the last change goes on",
        })
    }
}

/// In the order of [`Experts::forecasts`].
pub(super) const PATTERNS: [Pattern; EXPERTS] = [
    Pattern::Last,
    Pattern::Last,
    Pattern::Mean,
    Pattern::Mean,
    Pattern::Mean,
    Pattern::Mean,
    Pattern::Median,
    Pattern::Median,
    Pattern::Median,
    Pattern::Median,
    Pattern::Level,
    Pattern::Level,
    Pattern::Level,
    Pattern::Trend,
];

/// Gains of the moving averages. Each second's value enters with this part.
const GAINS: [f64; 4] = [0.8, 0.6, 0.4, 0.2];

/// What the experts remember of one path.
#[derive(Debug, Clone)]
pub(super) struct Experts {
    window: [f32; WINDOW],
    /// Values in the window, at most [`WINDOW`].
    len: u8,
    /// Where the next value goes.
    next: u8,
    means: [f32; GAINS.len()],
}

impl Experts {
    pub(super) fn new() -> Self {
        Self { window: [0.0; WINDOW], len: 0, next: 0, means: [0.0; GAINS.len()] }
    }

    /// The link carried `mbps` in a second that ended `seconds` after the one before.
    pub(super) fn handle_second(&mut self, mbps: f32, seconds: u32) {
        if seconds as usize > WINDOW {
            // What was before says less about now than nothing.
            self.len = 0;
        }
        let first = self.len == 0;
        for (mean, gain) in self.means.iter_mut().zip(GAINS) {
            let gain = 1.0 - (1.0 - gain).powi(seconds.min(WINDOW as u32) as i32);
            *mean = if first { mbps } else { *mean + gain as f32 * (mbps - *mean) };
        }
        self.window[usize::from(self.next)] = mbps;
        self.next = (self.next + 1) % WINDOW as u8;
        self.len = (self.len + 1).min(WINDOW as u8);
    }

    /// What each expert expects; `spread_mbps` is how far seconds usually lie apart.
    pub(super) fn forecasts(&self, spread_mbps: f32) -> Forecasts {
        let last = self.recent(1)[0];
        let [mean_8, mean_6, mean_4, mean_2] = self.means;
        let (mut buffer_15, mut buffer_60) = ([0.0; WINDOW], [0.0; WINDOW]);
        let last_15 = self.sorted(15, &mut buffer_15);
        let last_60 = self.sorted(WINDOW, &mut buffer_60);
        let median_60 = median(last_60);
        [
            last,
            0.85 * last + 0.15 * mean_2,
            mean_8,
            mean_6,
            mean_4,
            mean_2,
            median(self.sorted(3, &mut [0.0; WINDOW])),
            median(self.sorted(9, &mut [0.0; WINDOW])),
            median(last_15),
            median_60,
            mode(last_15, spread_mbps),
            mode(last_60, spread_mbps),
            0.7 * mean_6 + 0.3 * median_60,
            (last + 0.5 * (last - mean_8)).max(0.0),
        ]
    }

    /// A mean over about two seconds: what the link does now.
    pub(super) fn level(&self) -> f32 {
        self.means[1]
    }

    /// The last `count` values, newest first; what there is when there are less.
    fn recent(&self, count: usize) -> [f32; WINDOW] {
        let mut values = [0.0; WINDOW];
        let mut at = usize::from(self.next);
        for value in values.iter_mut().take(count.min(usize::from(self.len))) {
            at = (at + WINDOW - 1) % WINDOW;
            *value = self.window[at];
        }
        values
    }

    /// The last `count` values in ascending order.
    fn sorted<'a>(&self, count: usize, buffer: &'a mut [f32; WINDOW]) -> &'a [f32] {
        *buffer = self.recent(count);
        let values = &mut buffer[..count.min(usize::from(self.len))];
        values.sort_unstable_by(f32::total_cmp);
        values
    }
}

/// The middle of ascending values; 0 of none.
fn median(sorted: &[f32]) -> f32 {
    let middle = sorted.len() / 2;
    match sorted {
        [] => 0.0,
        values if values.len() % 2 == 1 => values[middle],
        values => (values[middle - 1] + values[middle]) / 2.0,
    }
}

/// Where ascending values lie densest, seen through a window that reaches `spread` to both sides
/// (the kernel of Epanechnikov, 1969), and the mean of what is seen there; 0 of none.
fn mode(sorted: &[f32], spread: f32) -> f32 {
    let (mut best, mut best_density) = (0.0, 0.0);
    let mut start = 0;
    for centre in sorted {
        while sorted[start] < centre - spread {
            start += 1;
        }
        let (mut density, mut sum) = (0.0, 0.0);
        for value in sorted[start..].iter().take_while(|value| **value <= centre + spread) {
            let weight = kernel((value - centre) / spread);
            density += weight;
            sum += weight * value;
        }
        if density >= best_density {
            (best, best_density) = (sum / density, density);
        }
    }
    best
}

/// Epanechnikov's kernel, not normed.
pub(super) fn kernel(distance: f32) -> f32 {
    (1.0 - distance * distance).max(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(seconds: &[f32]) -> Experts {
        let mut experts = Experts::new();
        for mbps in seconds {
            experts.handle_second(*mbps, 1);
        }
        experts
    }

    #[test]
    fn a_steady_link_is_forecast_as_it_is_by_all() {
        assert_eq!(after(&[50.0; 70]).forecasts(1.0), [50.0; EXPERTS]);
        assert_eq!(after(&[50.0]).forecasts(1.0), [50.0; EXPERTS]);
        assert_eq!(after(&[0.0; 70]).forecasts(0.001), [0.0; EXPERTS]);
    }

    #[test]
    fn experts_differ_about_a_dip() {
        let mut seconds = vec![150.0; 30];
        seconds.push(80.0);
        let forecasts = after(&seconds).forecasts(5.0);
        let of = |pattern| {
            let index = PATTERNS.iter().rposition(|other| *other == pattern);
            forecasts[index.unwrap()]
        };
        assert_eq!(of(Pattern::Median), 150.0);
        assert_eq!(forecasts[0], 80.0);
        assert!(of(Pattern::Trend) < 80.0);
        assert!((100.0..140.0).contains(&of(Pattern::Level)));
        assert_eq!(forecasts[11], 150.0);
    }

    #[test]
    fn the_mode_is_where_most_values_are_and_not_their_middle() {
        let sorted = [1.0, 2.0, 10.0, 20.0, 30.0, 90.0, 91.0, 92.0];
        assert_eq!(mode(&sorted, 3.0), 91.0);
        assert_eq!(median(&sorted), 25.0);
        assert_eq!((mode(&[], 1.0), median(&[])), (0.0, 0.0));
    }

    #[test]
    fn what_lies_more_than_a_minute_back_is_forgotten() {
        let mut experts = after(&[50.0; 60]);
        experts.handle_second(10.0, 61);
        assert_eq!(experts.forecasts(1.0), [10.0; EXPERTS]);
        let mut experts = after(&[50.0; 60]);
        experts.handle_second(10.0, 2);
        assert_eq!(experts.forecasts(1.0)[9], 50.0);
        assert!((experts.level() - 16.4).abs() < 1e-4, "two seconds weigh as two");
    }
}
