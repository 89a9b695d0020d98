//! Caps hold in every second, and what they leave is used.

use std::time::Duration;

use novacron_protocol::Bitrate;
use novacron_protocol::wire::Class;
use novacron_transport_core::ass::Policy;
use proptest::prelude::*;

use crate::fluid::{Demand, divide};
use crate::link::{Dice, Link, SECOND};

fn cap() -> impl Strategy<Value = Option<u64>> {
    prop_oneof![Just(None), (64_u64..2_000).prop_map(Some), (2_000_u64..200_000).prop_map(Some)]
}

fn capped(caps: [Option<u64>; 7], site: Option<u64>) -> Policy {
    Class::ALL
        .into_iter()
        .zip(caps)
        .fold(Policy::default(), |policy, (class, cap)| {
            policy.with_cap(class, cap.map(Bitrate::kbit))
        })
        .with_site_cap(site.map(Bitrate::kbit))
}

fn assert_caps_hold(link: &Link, caps: [Option<u64>; 7], site: Option<u64>) {
    for (class, cap) in Class::ALL.into_iter().zip(caps) {
        let most = link.busiest_second(|other| other == class) as f64 * 8e-3;
        assert!(cap.is_none_or(|cap| most <= cap as f64 * 1.02), "{class}: {most} of {cap:?}");
    }
    let most = link.busiest_second(|_| true) as f64 * 8e-3;
    assert!(site.is_none_or(|site| most <= site as f64 * 1.02), "site: {most} of {site:?}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn no_second_of_any_traffic_exceeds_a_cap_by_over_two_percent(
        caps in prop::array::uniform7(cap()),
        site in cap(),
        turn_us in 200_u64..3_000,
        seed in any::<u64>(),
    ) {
        let mut dice = Dice::new(seed);
        let turn = Duration::from_micros(turn_us);
        let mut link = Link::new(capped(caps, site), Bitrate::mbit(100), turn);
        while link.now < 3 * SECOND {
            for class in Class::ALL {
                if dice.roll() < 0.01 {
                    let bytes = dice.between(1, 60_000);
                    let deadline = link.now + Duration::from_millis(dice.between(1, 100));
                    link.queue(class, bytes, Some(deadline));
                }
                if dice.roll() < 0.003 {
                    link.ass.handle_blocked(class);
                } else if dice.roll() < 0.01 {
                    link.ass.handle_unblocked(class);
                }
            }
            link.step();
        }
        assert_caps_hold(&link, caps, site);
    }

    /// Headers and retransmissions are known when they have left, so they make short debts.
    #[test]
    fn a_site_cap_holds_for_headers_and_retransmissions_too(
        site_kbit in 4_000_u64..80_000,
        overhead_percent in 3_u64..12,
        turn_us in 200_u64..1_500,
    ) {
        let site = Some(site_kbit);
        let rate = Bitrate::mbit(100);
        let mut link = Link::new(capped([None; 7], site), rate, Duration::from_micros(turn_us));
        while link.now < 3 * SECOND {
            Class::ALL[2..].iter().for_each(|class| link.saturate(*class));
            let before = link.log.len();
            link.step();
            let payload: u64 = link.log[before..].iter().map(|sent| sent.bytes).sum();
            link.overhead(payload * overhead_percent / 100);
        }
        assert_caps_hold(&link, [None; 7], site);
        let total: u64 = link.between(SECOND, 3 * SECOND).iter().sum();
        prop_assert!(total as f64 * 8e-3 >= 0.97 * 2.0 * site_kbit as f64, "{total} bytes");
    }

    #[test]
    fn busy_classes_use_what_caps_allow_and_share_it_by_weight(
        event in cap(), console in cap(), telemetry in cap(), migration in cap(), bulk in cap(),
        site in cap(),
        turn_us in 200_u64..1_500,
    ) {
        let caps = [None, None, event, console, telemetry, migration, bulk];
        let rate = Bitrate::mbit(100);
        let policy = capped(caps, site);
        let mut link = Link::new(policy.clone(), rate, Duration::from_micros(turn_us));
        while link.now < 3 * SECOND {
            Class::ALL[2..].iter().for_each(|class| link.saturate(*class));
            link.step();
        }
        assert_caps_hold(&link, caps, site);
        // Of the model: a cap below 600 kbit/s is filled slower (see bucket.rs).
        let most = |cap: Option<u64>| cap.map_or(f64::INFINITY, |kbit| {
            let bytes = kbit as f64 * 125.0;
            bytes.min(1.02 * bytes - (bytes / 100.0).max(1_500_f64.min(bytes / 4.0)))
        });
        let demands: Vec<_> = Class::ALL[2..].iter().map(|class| Demand {
            weight: policy.class(*class).weight.get().into(),
            most: most(caps[*class as usize]),
        }).collect();
        let capacity = most(site).min((rate * SECOND).0 as f64);
        let expected = divide(capacity, &demands);
        let sent = link.between(SECOND, 3 * SECOND);
        for (class, expected) in Class::ALL[2..].iter().zip(expected) {
            // A grain more or less at either end.
            let off = (sent[*class as usize] as f64 - 2.0 * expected).abs();
            prop_assert!(off <= 0.05 * 2.0 * expected + 1_500.0, "{class} is off by {off} bytes");
        }
        let total: u64 = sent.iter().sum();
        let possible: f64 = 2.0 * divide(capacity, &demands).iter().sum::<f64>();
        prop_assert!(total as f64 >= 0.98 * possible - 1_500.0, "{total} of {possible}");
    }
}
