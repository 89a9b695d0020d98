//! Stories of paths and sites, and what holds for every path.

use std::fmt::Write as _;
use std::time::Duration;

use novacron_protocol::api::time::UtcTime;
use novacron_protocol::wire::Class;
use novacron_protocol::{Bitrate, ByteCount, Timestamp};
use proptest::prelude::*;

use super::*;
use crate::ass::Policy;

const SECOND: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3600);

/// A repeatable stand-in for noise, from -1 to 1 (a hash of its argument by Steele, Lea and Flood,
/// "Fast splittable pseudorandom number generators", 2014).
fn noise(at: u64) -> f64 {
    let mut x = at.wrapping_mul(0x9E37_79B9_7F4A_7C15);
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    ((x ^ (x >> 31)) >> 11) as f64 / (1_u64 << 52) as f64 - 1.0
}

fn mbit(mbps: f64) -> Bitrate {
    Bitrate((mbps.max(0.0) * 1e6) as u64)
}

/// A path of a site with its clock, which starts at 2026-11-30T00:00:00Z, a Monday.
struct Site {
    now: Duration,
    path: Pba,
    week: SiteDay,
    caps: Caps,
    shown: String,
}

impl Site {
    fn new(caps: &str) -> Self {
        let caps = caps.parse().unwrap();
        let week = SiteDay::new(UtcOffset::UTC);
        Self { now: Duration::ZERO, path: Pba::new(), week, caps, shown: String::new() }
    }

    fn at(&self) -> Timestamp {
        let monday: UtcTime = "2026-11-30T00:00:00Z".parse().unwrap();
        Timestamp(monday.0.0 + self.now.as_millis() as u64)
    }

    /// Goes on by `seconds`, one sample in each.
    fn measure(&mut self, seconds: u64, limit: Limit, mbps: impl Fn(u64) -> f64) {
        for _ in 0..seconds {
            self.now += SECOND;
            let rate = mbit(mbps(self.now.as_secs()));
            self.path.handle_sample(self.now, rate, limit);
            if limit == Limit::Network {
                self.week.handle_sample(self.at(), rate);
            }
        }
    }

    fn show(&mut self, what: &str) {
        let [near, far, later] =
            [1, 5, 600].map(|ahead| self.path.predict(self.now, Duration::from_secs(ahead)));
        writeln!(self.shown, "{} {what}", UtcTime(self.at())).unwrap();
        writeln!(self.shown, "    in 1 s: {near}\n    in 5 s: {far}\n    in 10 min: {later}")
            .unwrap();
    }

    fn show_plans(&mut self) {
        let near = self.path.predict(self.now, SECOND);
        let cap = self.caps.cap_at(self.at());
        let mut demand = [ByteCount::ZERO; Class::ALL.len()];
        demand[Class::Command as usize] = ByteCount(20_000);
        demand[Class::Telemetry as usize] = ByteCount(200_000);
        demand[Class::Migration as usize] = ByteCount::gib(1);
        let budgets = Budgets::new(&near, SECOND, &demand, &Policy::default(), cap);
        let usual = self.week.usual_at(self.at());
        let time = TransferTime::new(
            ByteCount::gib(1),
            self.at(),
            &self.path.predict(self.now, Duration::from_secs(5)),
            usual.as_ref(),
            &self.caps,
        );
        let cap = cap.map_or("none".to_owned(), |cap| cap.to_string());
        writeln!(self.shown, "    cap: {cap}").unwrap();
        for class in [Class::Command, Class::Telemetry, Class::Migration] {
            let (expected, assured) = (budgets.expected(class), budgets.assured(class));
            writeln!(self.shown, "    {class}: {expected} expected, {assured} assured").unwrap();
        }
        let seconds = |time: Option<Duration>| {
            time.map_or("never".to_owned(), |time| format!("{:.0} s", time.as_secs_f64()))
        };
        let [early, likely, late] = [time.early, time.likely, time.late].map(seconds);
        writeln!(self.shown, "    1 GiB: {likely}, {early} to {late}").unwrap();
    }
}

#[test]
fn a_day_at_a_site_is_as_told() {
    let mut site = Site::new("mon-fri 08:00-18:00 20Mbit/s; else 100Mbit/s");
    site.show("nothing is known");
    site.measure(1, Limit::App, |_| 3.0);
    site.show("a heartbeat went through");
    site.measure(600, Limit::Network, |at| 90.0 + 5.0 * noise(at));
    site.show("a backup fills the link");
    site.measure(1, Limit::Network, |_| 45.0);
    site.show("one bad second");
    site.measure(120, Limit::Network, |at| 45.0 + 2.0 * noise(at));
    site.show("a neighbour took half of the link two minutes ago");
    site.measure(30, Limit::Network, |_| 0.0);
    site.show("the link is down for 30 s");
    site.measure(60, Limit::Network, |at| 90.0 + 5.0 * noise(at));
    site.show("and up again for a minute");
    site.measure(600, Limit::App, |at| 2.0 + noise(at));
    site.show("the backup has ended 10 min ago");
    site.measure(1, Limit::App, |_| 97.0);
    site.show("a burst shows that there is more");

    site.now = 9 * HOUR;
    site.path.handle_usual(site.week.usual_at(site.at()));
    site.show("the office is busy, which nobody has told the path");
    site.measure(1_200, Limit::Network, |at| 25.0 + 5.0 * noise(at));
    site.show("a migration runs");
    site.show_plans();

    site.now = 33 * HOUR;
    site.path.handle_usual(site.week.usual_at(site.at()));
    site.show("the next morning the site remembers");
    site.show_plans();
    insta::assert_snapshot!(site.shown);
}

#[test]
fn a_path_stays_within_its_bytes() {
    assert!(size_of::<Pba>() <= PATH_BYTES_MAX, "{}", size_of::<Pba>());
}

/// Misses of the band, and median errors of the prediction and of the last sample, over a link
/// that wanders and dips.
fn judge(ahead: u64, seconds: u64) -> (f64, f64, f64) {
    let mut path = Pba::new();
    let mut level = 100.0;
    let rates: Vec<f64> = (0..seconds)
        .map(|at| {
            level = (level + 2.0 * noise(at)).clamp(20.0, 200.0);
            let dip = if noise(at + 1_000_000) > 0.8 { 0.5 } else { 1.0 };
            dip * level + 10.0 * noise(at + 2_000_000)
        })
        .collect();
    let (mut missed, mut errors, mut errors_of_last) = (0.0, Vec::new(), Vec::new());
    for (at, rate) in rates.iter().enumerate() {
        let now = Duration::from_secs(at as u64);
        path.handle_sample(now, mbit(*rate), Limit::Network);
        let Some(actual) = rates.get(at + ahead as usize) else { continue };
        let prediction = path.predict(now, Duration::from_secs(ahead));
        let inside = (prediction.low..=prediction.high).contains(&mbit(*actual));
        missed += if inside { 0.0 } else { 1.0 / rates.len() as f64 };
        errors.push((prediction.bandwidth.0 as f64 / 1e6 - actual).abs());
        errors_of_last.push((rate - actual).abs());
    }
    let median = |errors: &mut Vec<f64>| {
        errors.sort_by(f64::total_cmp);
        errors[errors.len() / 2]
    };
    (missed, median(&mut errors), median(&mut errors_of_last))
}

#[test]
fn four_outcomes_of_five_lie_in_the_band_and_errors_are_below_the_last_samples() {
    for ahead in [1, 5] {
        let (missed, error, error_of_last) = judge(ahead, 4_000);
        assert!((0.17..=0.23).contains(&missed), "{ahead} s ahead {missed} are missed");
        assert!(error < 0.8 * error_of_last, "{ahead} s ahead: {error} of {error_of_last}");
    }
}

#[test]
fn ten_samples_a_second_predict_what_one_does() {
    let (mut often, mut seldom) = (Pba::new(), Pba::new());
    for second in 0..200_u64 {
        let rate = mbit(100.0 + 30.0 * noise(second));
        for tenth in 1..=10 {
            let now = Duration::from_millis(second * 1_000 + tenth * 100);
            often.handle_sample(now, rate, Limit::Network);
        }
        seldom.handle_sample(Duration::from_secs(second + 1), rate, Limit::Network);
    }
    let now = Duration::from_secs(200);
    for ahead in [1, 5] {
        let ahead = Duration::from_secs(ahead);
        let [often, seldom] = [&often, &seldom].map(|path| path.predict(now, ahead).bandwidth.0);
        assert!(often.abs_diff(seldom) < seldom / 20, "{often} and {seldom}");
    }
}

#[test]
fn an_idle_application_does_not_make_a_path_look_slow() {
    let mut path = Pba::new();
    for second in 0..60 {
        path.handle_sample(Duration::from_secs(second), Bitrate::mbit(80), Limit::Network);
    }
    for second in 60..4_000 {
        path.handle_sample(Duration::from_secs(second), Bitrate::kbit(10), Limit::App);
    }
    let prediction = path.predict(Duration::from_secs(4_000), SECOND);
    assert!(prediction.bandwidth.0.abs_diff(80_000_000) < 1_000_000, "{prediction}");
    assert_eq!(prediction.reason, Reason::Usual);
}

fn limit() -> impl Strategy<Value = Limit> {
    prop_oneof![Just(Limit::App), Just(Limit::Network)]
}

fn hostile_rate() -> impl Strategy<Value = u64> {
    prop_oneof![any::<u64>(), 0..200_000_000_u64, Just(0), Just(u64::MAX)]
}

/// Steps of the clock in ms, some of which go back.
fn step() -> impl Strategy<Value = i64> {
    prop_oneof![Just(1_000_i64), 50..2_000_i64, -5_000..500_000_i64, 0..i64::MAX / 1_000]
}

proptest! {
    #[test]
    fn bands_are_in_order_whatever_the_samples_and_clocks(
        samples in prop::collection::vec((step(), hostile_rate(), limit()), 0..200),
        ahead_ms in prop_oneof![0..10_000_u64, any::<u64>()],
        usual in prop::option::of(prop::array::uniform3(any::<u64>())),
    ) {
        let mut path = Pba::new();
        path.handle_usual(usual.map(|mut usual| {
            usual.sort_unstable();
            let [low, median, high] = usual.map(Bitrate);
            Usual { low, median, high }
        }));
        let mut now_ms = 0_u64;
        for (step_ms, rate, limit) in samples {
            now_ms = now_ms.saturating_add_signed(step_ms);
            let now = Duration::from_millis(now_ms);
            path.handle_sample(now, Bitrate(rate), limit);
            let prediction = path.predict(now, Duration::from_millis(ahead_ms));
            prop_assert!(prediction.low <= prediction.bandwidth, "{:?}", prediction);
            prop_assert!(prediction.bandwidth <= prediction.high, "{:?}", prediction);
            prop_assert!(path.losses().iter().flatten().all(|loss| (0.0..=1.0).contains(loss)));
        }
        path.predict(Duration::MAX, Duration::MAX);
    }
}
