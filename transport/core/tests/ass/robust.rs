//! Whatever a driver does, counts stay right and grants stay within what was asked.

use std::time::Duration;

use novacron_protocol::Bitrate;
use novacron_protocol::wire::Class;
use novacron_transport_core::ass::{Ass, Policy, QUANTUM_ALONE_BYTES};
use proptest::prelude::*;

#[derive(Debug, Clone)]
enum Call {
    Queued(Class, u64, Option<u64>),
    Dropped(Class, u64),
    Blocked(Class),
    Unblocked(Class),
    Grant(u64, f64),
    Unasked(Class, u64),
    Overhead(u64),
    Cap(Class, Option<u64>),
    SiteCap(Option<u64>),
    Bandwidth(u64),
    Wait(u64),
}

fn calls() -> impl Strategy<Value = Vec<Call>> {
    let class = || proptest::sample::select(Class::ALL.to_vec());
    let bytes = || prop_oneof![0_u64..2_000, 0_u64..5_000_000];
    let rate = || proptest::option::of(prop_oneof![0_u64..1_000, 0_u64..u64::MAX]);
    let call = prop_oneof![
        4 => (class(), bytes(), proptest::option::of(0_u64..100_000))
            .prop_map(|(class, bytes, due)| Call::Queued(class, bytes, due)),
        1 => (class(), bytes()).prop_map(|(class, bytes)| Call::Dropped(class, bytes)),
        1 => class().prop_map(Call::Blocked),
        2 => class().prop_map(Call::Unblocked),
        8 => (bytes(), 0.0..=1.0_f64).prop_map(|(budget, part)| Call::Grant(budget, part)),
        1 => (class(), bytes()).prop_map(|(class, bytes)| Call::Unasked(class, bytes)),
        1 => bytes().prop_map(Call::Overhead),
        1 => (class(), rate()).prop_map(|(class, cap)| Call::Cap(class, cap)),
        1 => rate().prop_map(Call::SiteCap),
        1 => any::<u64>().prop_map(Call::Bandwidth),
        4 => (0_u64..200).prop_map(Call::Wait),
    ];
    proptest::collection::vec(call, 1..300)
}

proptest! {
    #[test]
    fn no_sequence_of_calls_panics_loses_a_byte_or_grants_too_much(calls in calls()) {
        let mut policy = Policy::default();
        let mut now = Duration::ZERO;
        let mut ass = Ass::new(policy.clone(), now);
        let (mut waiting, mut sent) = ([0_u64; 7], [0_u64; 7]);
        for call in calls {
            match call {
                Call::Queued(class, bytes, due) => {
                    ass.handle_queued(now, class, bytes, due.map(Duration::from_millis));
                    waiting[class as usize] += bytes;
                }
                Call::Dropped(class, bytes) => {
                    ass.handle_dropped(class, bytes);
                    let waits = &mut waiting[class as usize];
                    *waits = waits.saturating_sub(bytes);
                }
                Call::Blocked(class) => ass.handle_blocked(class),
                Call::Unblocked(class) => ass.handle_unblocked(class),
                Call::Grant(budget, part) => if let Some(grant) = ass.poll_grant(now, budget) {
                    let class = grant.class as usize;
                    prop_assert!(grant.bytes > 0 && grant.bytes <= budget);
                    prop_assert!(grant.bytes <= waiting[class] && grant.bytes <= QUANTUM_ALONE_BYTES);
                    let used = (grant.bytes as f64 * part) as u64;
                    ass.handle_sent(now, grant.class, used);
                    waiting[class] -= used;
                    sent[class] += used;
                },
                Call::Unasked(class, bytes) => {
                    ass.handle_sent(now, class, bytes);
                    sent[class as usize] += bytes;
                    let waits = &mut waiting[class as usize];
                    *waits = waits.saturating_sub(bytes);
                }
                Call::Overhead(bytes) => ass.handle_overhead(now, bytes),
                Call::Cap(class, cap) => {
                    policy = policy.with_cap(class, cap.map(Bitrate));
                    ass.handle_policy(now, policy.clone());
                }
                Call::SiteCap(cap) => {
                    policy = policy.with_site_cap(cap.map(Bitrate));
                    ass.handle_policy(now, policy.clone());
                }
                Call::Bandwidth(rate) => ass.handle_bandwidth(Bitrate(rate)),
                Call::Wait(ms) => now += Duration::from_millis(ms),
            }
            for class in Class::ALL {
                prop_assert_eq!(ass.backlog(class), waiting[class as usize], "{}", class);
                prop_assert_eq!(ass.sent(class), sent[class as usize], "{}", class);
            }
        }
    }
}
