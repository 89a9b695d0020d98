//! Telemetry is fresh at 95 % load, and beside traffic without end.

use std::time::Duration;

use novacron_protocol::Bitrate;
use novacron_protocol::wire::Class;
use novacron_transport_core::ass::Policy;
use proptest::prelude::*;

use crate::link::{Dice, Link, SECOND};

/// A class that sends messages of `bytes` on average, `load` of the link in all.
struct Source {
    class: Class,
    per_second: f64,
    bytes: u64,
    next_at: Duration,
}

impl Source {
    fn new(class: Class, rate: Bitrate, load: f64, bytes: u64) -> Self {
        let per_second = (rate * SECOND).0 as f64 * load / bytes as f64;
        Self { class, per_second, bytes, next_at: Duration::ZERO }
    }

    fn step(&mut self, link: &mut Link, dice: &mut Dice, freshness: Option<Duration>) {
        while self.next_at <= link.now {
            let bytes = dice.between(self.bytes / 2, self.bytes * 3 / 2).max(1);
            link.queue(self.class, bytes, freshness.map(|freshness| link.now + freshness));
            self.next_at += dice.gap(self.per_second);
        }
    }
}

/// Late messages with a deadline, and all of them.
fn late(link: &Link) -> (usize, usize) {
    let due = || link.delivered.iter().filter(|message| message.deadline.is_some());
    (due().filter(|message| Some(message.out_at) > message.deadline).count(), due().count())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    /// The load is 95 % in all; telemetry is up to half of it, over three times its share.
    #[test]
    fn telemetry_deadlines_are_kept_at_95_percent_load(
        telemetry in 0.05..0.5_f64,
        rate_mbit in 10_u64..500,
        turn_us in 200_u64..2_000,
        freshness_ms in 50_u64..1_000,
        seed in any::<u64>(),
    ) {
        let rate = Bitrate::mbit(rate_mbit);
        let mut dice = Dice::new(seed);
        let turn = Duration::from_micros(turn_us);
        let mut link = Link::new(Policy::default(), rate, turn);
        let freshness = Duration::from_millis(freshness_ms);
        // Sizes in proportion to the link: 1 ms of it for telemetry, bursts of 200 ms for others.
        let ms = (rate * SECOND).0 / 1_000;
        let mut fresh = Source::new(Class::Telemetry, rate, telemetry, ms);
        let rest = (0.95 - telemetry - 0.05) / 3.0;
        let mut others = [
            Source::new(Class::Command, rate, 0.05, 500),
            Source::new(Class::Event, rate, rest, 50 * ms),
            Source::new(Class::Migration, rate, rest, 200 * ms),
            Source::new(Class::Bulk, rate, rest, 200 * ms),
        ];
        while link.now < 5 * SECOND {
            fresh.step(&mut link, &mut dice, Some(freshness));
            others.iter_mut().for_each(|source| source.step(&mut link, &mut dice, None));
            link.step();
        }
        let (late, all) = late(&link);
        prop_assert_eq!(late, 0, "late of {}", all);
        let counted = link.ass.deadlines(Class::Telemetry);
        prop_assert_eq!(counted.missed, 0);
        prop_assert!(counted.kept > 0);
    }

    /// Harder: the others never end, so the link is full, and telemetry with commands is 85 % of it.
    #[test]
    fn telemetry_deadlines_are_kept_beside_bulk_without_end(
        telemetry in 0.1..0.8_f64,
        rate_mbit in 10_u64..500,
        freshness_ms in 150_u64..2_000,
        seed in any::<u64>(),
    ) {
        let rate = Bitrate::mbit(rate_mbit);
        let mut dice = Dice::new(seed);
        let mut link = Link::new(Policy::default(), rate, Duration::from_micros(500));
        let freshness = Duration::from_millis(freshness_ms);
        let ms = (rate * SECOND).0 / 1_000;
        let mut fresh = Source::new(Class::Telemetry, rate, telemetry, ms);
        let mut commands = Source::new(Class::Command, rate, 0.05, 500);
        while link.now < 5 * SECOND {
            fresh.step(&mut link, &mut dice, Some(freshness));
            commands.step(&mut link, &mut dice, None);
            [Class::Bulk, Class::Migration].iter().for_each(|class| link.saturate(*class));
            link.step();
        }
        let (late, all) = late(&link);
        prop_assert_eq!(late, 0, "late of {}", all);
    }

    #[test]
    fn impossible_deadlines_do_not_starve_the_others(rate_mbit in 10_u64..500) {
        let rate = Bitrate::mbit(rate_mbit);
        let mut link = Link::new(Policy::default(), rate, Duration::from_micros(500));
        while link.now < 3 * SECOND {
            if link.ass.backlog(Class::Telemetry) < 4 << 20 {
                link.queue(Class::Telemetry, 1 << 20, Some(link.now));
            }
            link.saturate(Class::Bulk);
            link.step();
        }
        let sent = link.between(SECOND, 3 * SECOND);
        let part = sent[Class::Bulk as usize] as f64 / sent.iter().sum::<u64>() as f64;
        prop_assert!((0.04..0.15).contains(&part), "bulk got {part}");
    }
}
