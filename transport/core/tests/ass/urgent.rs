//! Urgent messages wait for next to nothing, and floods of them starve nobody.

use std::time::Duration;

use novacron_protocol::wire::Class;
use novacron_protocol::{Bitrate, ByteCount};
use novacron_transport_core::ass::{Policy, QUANTUM_BYTES, URGENT_RUN_BYTES};
use proptest::prelude::*;

use crate::link::{Dice, Link, SECOND};

fn is_urgent(class: Class) -> bool {
    matches!(class, Class::Lease | Class::Command)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn an_urgent_message_waits_for_the_next_turn_and_no_longer(
        rate_mbit in 5_u64..1_000,
        turn_us in 200_u64..2_000,
        seed in any::<u64>(),
    ) {
        let rate = Bitrate::mbit(rate_mbit);
        let turn = Duration::from_micros(turn_us);
        let mut dice = Dice::new(seed);
        let mut link = Link::new(Policy::default(), rate, turn);
        while link.now < 2 * SECOND {
            Class::ALL[2..].iter().for_each(|class| link.saturate(*class));
            for class in [Class::Lease, Class::Command] {
                if dice.roll() < 0.02 {
                    link.queue(class, dice.between(50, 400), None);
                }
            }
            link.step();
        }
        for message in link.delivered.iter().filter(|message| is_urgent(message.class)) {
            // Beside the turn, the time that 1,000 bytes of its own kind may take.
            let bound = 2 * turn + ByteCount(1_000) / rate;
            let waited = message.out_at - message.queued_at;
            prop_assert!(waited <= bound, "{} waited {waited:?}", message.class);
        }
    }

    #[test]
    fn a_lease_waits_for_one_grant_beside_a_flood_of_commands(
        rate_mbit in 5_u64..1_000,
        seed in any::<u64>(),
    ) {
        let rate = Bitrate::mbit(rate_mbit);
        let turn = Duration::from_micros(500);
        let mut dice = Dice::new(seed);
        let mut link = Link::new(Policy::default(), rate, turn);
        while link.now < 2 * SECOND {
            [Class::Command, Class::Bulk].iter().for_each(|class| link.saturate(*class));
            if dice.roll() < 0.02 {
                link.queue(Class::Lease, dice.between(50, 400), None);
            }
            link.step();
        }
        for message in link.delivered.iter().filter(|message| message.class == Class::Lease) {
            let bound = 2 * turn + ByteCount(QUANTUM_BYTES + 1_000) / rate;
            let waited = message.out_at - message.queued_at;
            prop_assert!(waited <= bound, "waited {waited:?}");
        }
    }

    #[test]
    fn a_flood_of_urgent_bytes_leaves_the_others_a_fifth_and_a_turn_every_64_kib(
        rate_mbit in 5_u64..1_000,
        turn_us in 200_u64..2_000,
        flood in proptest::sample::subsequence(vec![Class::Lease, Class::Command], 1..=2),
        others in proptest::sample::subsequence(Class::ALL[2..].to_vec(), 1..=5),
    ) {
        let rate = Bitrate::mbit(rate_mbit);
        let mut link = Link::new(Policy::default(), rate, Duration::from_micros(turn_us));
        while link.now < 2 * SECOND {
            flood.iter().chain(&others).for_each(|class| link.saturate(*class));
            link.step();
        }
        let mut row = 0;
        for sent in &link.log {
            row = if is_urgent(sent.class) { row + sent.bytes } else { 0 };
            prop_assert!(row <= URGENT_RUN_BYTES);
        }
        let sent = link.between(SECOND / 2, 2 * SECOND);
        let total = sent.iter().sum::<u64>() as f64;
        let part = |class: Class| sent[class as usize] as f64 / total;
        let others_part: f64 = others.iter().map(|class| part(*class)).sum();
        prop_assert!(others_part >= 0.19, "the others got {others_part}");
        for class in others {
            prop_assert!(part(class) >= 0.02, "{class} got {}", part(class));
        }
        if flood.len() == 2 {
            prop_assert!(part(Class::Command) >= 0.15, "command got {}", part(Class::Command));
        }
    }
}
