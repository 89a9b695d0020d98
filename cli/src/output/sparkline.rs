//! A row of bars: the shape of a series in one line of text.

const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// At most `width` bars for `samples`, oldest first; each is the mean of its share of samples.
/// `top` is the value of a full bar; `None` takes the largest mean, for quantities without a limit.
pub(crate) fn sparkline(samples: &[f64], width: usize, top: Option<f64>) -> String {
    let width = width.min(samples.len());
    let mean = |at: usize| {
        let (from, to) = (at * samples.len() / width, (at + 1) * samples.len() / width);
        samples[from..to].iter().sum::<f64>() / (to - from) as f64
    };
    let means: Vec<f64> = (0..width).map(mean).collect();
    let top = top.unwrap_or_else(|| means.iter().copied().fold(0.0, f64::max));
    let bar = |mean: &f64| {
        let share = if top > 0.0 { (mean / top).clamp(0.0, 1.0) } else { 0.0 };
        BARS[(share * (BARS.len() - 1) as f64).round() as usize]
    };
    means.iter().map(bar).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_follow_the_values() {
        let ramp: Vec<f64> = (0..8).map(f64::from).collect();
        assert_eq!(sparkline(&ramp, 8, None), "▁▂▃▄▅▆▇█");
        assert_eq!(sparkline(&ramp, 4, Some(14.0)), "▁▂▃▄");
        assert_eq!(sparkline(&[0.0, 0.0], 30, None), "▁▁");
        assert_eq!(sparkline(&[], 30, None), "");
    }
}
