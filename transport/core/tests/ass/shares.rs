//! Shares follow weights, for classes that are always busy and for those that come and go.

use std::num::NonZeroU16;
use std::time::Duration;

use novacron_protocol::Bitrate;
use novacron_protocol::wire::Class;
use novacron_transport_core::ass::{Policy, QUANTUM_BYTES};
use proptest::prelude::*;

use crate::fluid::{Demand, divide};
use crate::link::{Dice, Link, SECOND};

const SHARED: [Class; 5] =
    [Class::Event, Class::Console, Class::Telemetry, Class::Migration, Class::Bulk];

fn weighted(weights: [u16; 5]) -> Policy {
    SHARED.into_iter().zip(weights).fold(Policy::default(), |policy, (class, weight)| {
        policy.with_weight(class, NonZeroU16::new(weight).unwrap())
    })
}

fn subset() -> impl Strategy<Value = Vec<Class>> {
    proptest::sample::subsequence(SHARED.to_vec(), 1..=5)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn in_every_second_busy_classes_get_their_weights_within_five_percent(
        busy in subset(),
        weights in prop::array::uniform5(5_u16..=100),
        rate_mbit in prop_oneof![4_u64..20, 20_u64..1_000],
        turn_us in 100_u64..2_000,
    ) {
        let rate = Bitrate::mbit(rate_mbit);
        let mut link = Link::new(weighted(weights), rate, Duration::from_micros(turn_us));
        while link.now < 3 * SECOND {
            busy.iter().for_each(|class| link.saturate(*class));
            link.step();
        }
        let demands: Vec<_> = busy.iter().map(|class| Demand {
            weight: weighted(weights).class(*class).weight.get().into(),
            most: f64::INFINITY,
        }).collect();
        let expected = divide((rate * SECOND).0 as f64, &demands);
        for start_ms in (10..2_000).step_by(90).map(Duration::from_millis) {
            let sent = link.between(start_ms, start_ms + SECOND);
            for (class, expected) in busy.iter().zip(&expected) {
                // Five percent, or a packet where that is more.
                let off = (sent[*class as usize] as f64 - expected).abs();
                prop_assert!(off <= (0.05 * expected).max(1_400.0), "{class}: {off} of {expected}");
            }
        }
    }

    /// Beside it, the same arrivals in a fluid that is divided every 100 us.
    #[test]
    fn classes_that_come_and_go_are_never_rounds_behind_the_fluid(
        weights in prop::array::uniform5(5_u16..=100),
        rate_mbit in 5_u64..500,
        seed in any::<u64>(),
    ) {
        let rate = Bitrate::mbit(rate_mbit);
        let turn = Duration::from_micros(100);
        let per_turn = (rate * turn).0 as f64;
        let policy = weighted(weights);
        let mut link = Link::new(policy.clone(), rate, turn);
        let mut dice = Dice::new(seed);
        let mut waiting = [0.0_f64; 5];
        let mut served = [0.0_f64; 5];
        while link.now < 2 * SECOND {
            for (index, class) in SHARED.into_iter().enumerate() {
                // Bursts of about 60 turns of the whole link, a fifth of them by each: busy for
                // long, idle now and then.
                if dice.roll() < 1.0 / 300.0 {
                    let bytes = (per_turn * 110.0 * dice.roll()) as u64 + 1;
                    link.queue(class, bytes, None);
                    waiting[index] += bytes as f64;
                }
            }
            let demands: Vec<_> = SHARED.into_iter().zip(waiting).map(|(class, most)| Demand {
                weight: policy.class(class).weight.get().into(), most,
            }).collect();
            for (index, given) in divide(per_turn, &demands).into_iter().enumerate() {
                waiting[index] -= given;
                served[index] += given;
            }
            link.step();
            // A quantum of each, and a turn for the pacer's rounding: with no step in between,
            // a class is behind the fluid by what the others got first.
            let bound = (5 * QUANTUM_BYTES) as f64 + 2.0 * per_turn;
            for (index, class) in SHARED.into_iter().enumerate() {
                let behind = served[index] - link.ass.sent(class) as f64;
                prop_assert!(behind <= bound, "{class} is {behind} bytes behind at {:?}", link.now);
            }
        }
    }
}
