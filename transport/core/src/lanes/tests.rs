//! Lanes against a model of a transfer whose best number is known.

use std::fmt::Write as _;

use proptest::prelude::*;

use super::*;

const REPORT: Duration = Duration::from_millis(100);

/// A path, and cores that seal packets: each lane brings so much until the path or the cores are
/// used up, and what is more costs a little.
#[derive(Debug, Clone, Copy)]
struct Model {
    path: f64,
    per_lane: f64,
    cores: u32,
    cost_per_extra: f64,
    /// What a core could seal; with the path as the limit, more than a lane brings.
    per_core: f64,
    /// Each report is off by up to this part.
    noise: f64,
}

impl Model {
    fn goodput(&self, lanes: u32) -> f64 {
        let able = self.per_lane * f64::from(lanes.min(self.cores));
        let extra = lanes.saturating_sub(self.best()).min(8);
        able.min(self.path) * (1.0 - self.cost_per_extra * f64::from(extra))
    }

    /// The fewest lanes that bring the most.
    fn best(&self) -> u32 {
        (1..=self.cores)
            .find(|lanes| self.per_lane * f64::from(*lanes) >= self.path)
            .unwrap_or(self.cores)
    }
}

struct Run {
    lanes: Lanes,
    now: Duration,
    bytes: f64,
    /// Comes up to the model's goodput as lanes do, in about half a second.
    speed: f64,
    noise: u64,
    counts: Vec<u32>,
    changes: Vec<(Duration, u32, LaneReason)>,
}

impl Run {
    fn new(policy: LanePolicy) -> Self {
        Self {
            lanes: Lanes::new(policy, Duration::ZERO, Duration::from_millis(20)),
            now: Duration::ZERO,
            bytes: 0.0,
            speed: 0.0,
            noise: 1,
            counts: Vec::new(),
            changes: Vec::new(),
        }
    }

    fn until(&mut self, end: Duration, model: Model) {
        while self.now < end {
            self.now += REPORT;
            let aim = model.goodput(self.lanes.count());
            self.speed += (aim - self.speed) * 0.5;
            self.noise = self.noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(99);
            let off =
                ((self.noise >> 33) as f64 / f64::from(1_u32 << 31) * 2.0 - 1.0) * model.noise;
            self.bytes += self.speed * (1.0 + off) * REPORT.as_secs_f64();
            let per_lane = aim / f64::from(self.lanes.count());
            let busy = (per_lane / model.per_core).min(1.0);
            let before = (self.lanes.count(), self.lanes.reason());
            let bytes_total = self.bytes as u64;
            self.lanes.handle_progress(self.now, Progress { bytes_total, busy });
            let after = (self.lanes.count(), self.lanes.reason());
            if after != before {
                self.changes.push((self.now, after.0, after.1));
            }
            self.counts.push(self.lanes.count());
        }
    }

    fn part_of_time_at(&self, from: usize, count: u32) -> f64 {
        let counts = &self.counts[from..];
        counts.iter().filter(|other| **other == count).count() as f64 / counts.len() as f64
    }
}

fn model(path: f64, per_lane: f64, cores: u32) -> Model {
    Model { path, per_lane, cores, cost_per_extra: 0.05, per_core: per_lane, noise: 0.03 }
}

#[test]
fn the_way_to_the_best_number_is_as_printed() {
    let mut table = String::new();
    for (name, model) in [
        ("one lane fills the path", model(1e9, 2e9, 4)),
        ("a lane is half of the path", model(2e9, 1e9, 4)),
        ("four cores, a faster path", model(9e9, 1e9, 4)),
    ] {
        writeln!(table, "{name}").unwrap();
        let mut run = Run::new(LanePolicy::STREAMS);
        run.until(Duration::from_secs(60), model);
        for (at, count, reason) in &run.changes {
            writeln!(table, "  {:>5.1} s  {count}: {reason}", at.as_secs_f64()).unwrap();
        }
    }
    insta::assert_snapshot!(table);
}

#[test]
fn connections_are_not_added_where_the_path_is_the_limit() {
    // A second connection would take its rate from others.
    let shared_path = Model { per_core: 2e9, ..model(2e9, 1e9, 4) };
    let mut run = Run::new(LanePolicy::CONNECTIONS);
    run.until(Duration::from_secs(60), shared_path);
    assert!(run.counts.iter().all(|count| *count == 1));
    let slow_cores = Model { per_core: 1e9, ..shared_path };
    let mut run = Run::new(LanePolicy::CONNECTIONS);
    run.until(Duration::from_secs(60), slow_cores);
    assert_eq!(run.lanes.count(), 2);
}

#[test]
fn a_transfer_without_data_is_not_judged() {
    let mut run = Run::new(LanePolicy::STREAMS);
    for second in 1..60 {
        run.lanes.handle_starved(run.now);
        run.until(Duration::from_secs(second), model(9e9, 1e9, 4));
    }
    assert!(run.counts.iter().all(|count| *count == 1));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_best_number_is_found_and_kept_most_of_the_time(
        best in proptest::sample::select(vec![1_u32, 2, 4]),
        per_lane in 1e7..2e9_f64,
        headroom in 1.0..1.5_f64,
        cost_per_extra in 0.0..0.1_f64,
        noise in 0.0..0.04_f64,
    ) {
        let cores = if best == 4 { 4 } else { 6 };
        let path = match best {
            4 => 10.0 * per_lane,
            best => per_lane * f64::from(best) / headroom,
        };
        // A path that one lane fewer would fill as well has another best number.
        prop_assume!(best == 1 || path > 1.12 * per_lane * f64::from(best - 1));
        let model = Model { path, per_lane, cores, cost_per_extra, per_core: per_lane, noise };
        prop_assert_eq!(model.best(), best);
        let mut run = Run::new(LanePolicy::STREAMS);
        run.until(Duration::from_secs(120), model);
        let part = run.part_of_time_at(300, best);
        prop_assert!(part >= 0.75, "{part} of the time at {best}: {:?}", run.changes);
        let possible = model.goodput(best) * 120.0;
        prop_assert!(run.bytes >= 0.9 * possible, "{} of {possible}", run.bytes);
        prop_assert!(run.changes.len() <= 50, "{} changes", run.changes.len());
    }

    #[test]
    fn a_path_that_changes_is_followed(
        before in proptest::sample::select(vec![1_u32, 2, 4]),
        after in proptest::sample::select(vec![1_u32, 2, 4]),
    ) {
        let of = |best| model(f64::from(best) * 1e9 * 0.97, 1e9, 8);
        let mut run = Run::new(LanePolicy::STREAMS);
        run.until(Duration::from_secs(60), of(before));
        run.until(Duration::from_secs(300), of(after));
        let part = run.part_of_time_at(2_000, after);
        prop_assert!(part >= 0.75, "{part} of the time at {after}: {:?}", run.changes);
    }

    #[test]
    fn no_report_leads_beyond_the_bound(
        max in 1_u32..9,
        reports in proptest::collection::vec((0_u64..5_000, 0_u64..1_000_000_000, -1.0..2.0_f64), 1..300),
    ) {
        let mut lanes = Lanes::new(LanePolicy { max, busy_min: 0.5 }, Duration::ZERO, REPORT);
        let mut now = Duration::ZERO;
        for (wait_ms, bytes_total, busy) in reports {
            now += Duration::from_millis(wait_ms);
            lanes.handle_progress(now, Progress { bytes_total, busy });
            prop_assert!((1..=max).contains(&lanes.count()));
            prop_assert!(lanes.poll_timeout() > now);
        }
    }
}
