//! A link is as it was asked to be, whatever the numbers and however it is driven.

use std::time::Duration;

use novacron_link::{Counters, Link, LinkConfig, Loss, Queue, Rate, Reorder};
use proptest::prelude::*;

const MS: fn(u64) -> Duration = Duration::from_millis;

/// Sends `count` packets of 1,500 bytes at once, and gives the times at which they arrive.
fn saturate(config: LinkConfig, seed: u64, count: usize) -> (Vec<Duration>, Counters) {
    let queue = Queue::DropTail { bytes_max: usize::MAX };
    let mut link = Link::new(LinkConfig { queue, ..config }, seed);
    for _ in 0..count {
        link.handle_packet(Duration::ZERO, 1_500, ());
    }
    let mut arrivals = Vec::new();
    while let Some(now) = link.poll_timeout() {
        arrivals.extend(std::iter::from_fn(|| link.poll_delivery(now)).map(|()| now));
    }
    (arrivals, link.counters())
}

fn is_within(measured: f64, asked: f64, share: f64) -> bool {
    (measured - asked).abs() <= asked * share
}

/// Everything at once, and when packets of which size enter.
fn any_config() -> impl Strategy<Value = LinkConfig> {
    let rate = prop_oneof![
        Just(Rate::Unlimited),
        (1_u64..2_000_000_000).prop_map(Rate::Constant),
        prop::collection::vec(0.0..500.0_f64, 1..5)
            .prop_map(|mbps| Rate::Trace { mbps, step: MS(7) }),
    ];
    let queue = prop_oneof![
        (0_usize..200_000).prop_map(|bytes_max| Queue::DropTail { bytes_max }),
        (0_usize..200_000).prop_map(Queue::codel),
    ];
    let loss = prop_oneof![
        Just(Loss::None),
        (0.0..0.5).prop_map(|probability| Loss::Random { probability }),
        (0.01..0.3, 1.0..9.0).prop_map(|(mean, packets)| Loss::burst(mean, packets)),
    ];
    let times = (0_u64..50, 0_u64..20, 0_u64..30, 0_u64..100);
    (rate, queue, loss, times, 0.0..0.3, 0.0..0.3).prop_map(
        |(rate, queue, loss, (delay, jitter, by, dark), duplicate, probability)| LinkConfig {
            rate,
            queue,
            loss,
            delay: MS(delay),
            jitter: MS(jitter),
            reorder: Reorder { probability, by: MS(by) },
            duplicate,
            blackouts: vec![MS(dark)..MS(dark + 10)],
            mtu_bytes: 1_400,
        },
    )
}

fn any_packets() -> impl Strategy<Value = Vec<(u64, usize)>> {
    prop::collection::vec((0_u64..2_000, 40_usize..1_500), 1..200)
}

/// What arrives and when, and the counters after all.
fn drive(config: &LinkConfig, packets: &[(u64, usize)], polls: u64) -> (Vec<usize>, Counters) {
    let mut link = Link::new(config.clone(), 3);
    let (mut now, mut arrived) = (Duration::ZERO, Vec::new());
    for (number, (pause_us, bytes)) in packets.iter().enumerate() {
        let next = now + Duration::from_micros(*pause_us);
        for poll in 1..=polls {
            let at = now + (next - now) * poll as u32 / polls as u32;
            arrived.extend(std::iter::from_fn(|| link.poll_delivery(at)));
        }
        now = next;
        link.handle_packet(now, *bytes, number);
    }
    let end = now + Duration::from_secs(3_600);
    arrived.extend(std::iter::from_fn(|| link.poll_delivery(end)));
    (arrived, link.counters())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_saturated_link_carries_its_rate(mbps in 1.0..2_000.0_f64, delay in 0_u64..400) {
        let config = LinkConfig { rate: Rate::mbps(mbps), delay: MS(delay), ..LinkConfig::default() };
        let (arrivals, _) = saturate(config, 1, 2_001);
        let span = arrivals[2_000] - arrivals[0];
        let measured = 2_000.0 * 1_500.0 * 8.0 / span.as_secs_f64() / 1e6;
        prop_assert!(is_within(measured, mbps, 0.001), "{measured} of {mbps}");
    }

    #[test]
    fn a_trace_carries_what_it_offers(mbps in prop::collection::vec(1.0..400.0_f64, 1..8)) {
        let rate = Rate::Trace { mbps, step: MS(50) };
        let config = LinkConfig { rate: rate.clone(), ..LinkConfig::default() };
        let (arrivals, _) = saturate(config, 1, 4_000);
        let offered = rate.bytes_between(Duration::ZERO, arrivals[3_999]).expect("it is limited");
        prop_assert!(is_within(offered as f64, 4_000.0 * 1_500.0, 0.001), "{offered}");
    }

    #[test]
    fn a_lone_packet_takes_its_delay(delay in 0_u64..500, jitter in 0_u64..50, seed: u64) {
        let config = LinkConfig { delay: MS(delay), jitter: MS(jitter), ..LinkConfig::default() };
        let mut link = Link::new(config, seed);
        link.handle_packet(MS(3), 100, ());
        let arrival = link.poll_timeout().expect("it is under way");
        prop_assert!(link.poll_delivery(arrival - Duration::from_nanos(1)).is_none());
        let due = link.poll_timeout().expect("it is under way");
        prop_assert!(link.poll_delivery(due).is_some());
        prop_assert!((MS(3 + delay)..=MS(3 + delay + jitter)).contains(&due));
    }

    #[test]
    fn the_share_that_was_asked_for_is_lost(probability in 0.001..0.2_f64, seed: u64) {
        let config = LinkConfig {
            rate: Rate::mbps(100.0),
            loss: Loss::Random { probability },
            ..LinkConfig::default()
        };
        let (_, counters) = saturate(config, seed, 50_000);
        let sent = (counters.lost + counters.delivered) as f64;
        // Five standard deviations of the binomial.
        let band = 5.0 * (probability * (1.0 - probability) / sent).sqrt();
        let lost = counters.lost as f64 / sent;
        prop_assert!((lost - probability).abs() < band, "{lost} of {probability}");
    }

    #[test]
    fn every_packet_is_accounted_for(config in any_config(), packets in any_packets()) {
        let (arrived, counters) = drive(&config, &packets, 1);
        let c = counters;
        prop_assert_eq!(arrived.len() as u64, c.delivered);
        prop_assert_eq!(c.entered, packets.len() as u64);
        prop_assert_eq!(
            c.entered + c.duplicated,
            c.delivered + c.lost + c.dropped + c.too_big + c.blacked_out + c.queue_packets
                + c.in_flight
        );
    }

    #[test]
    fn how_often_it_is_polled_changes_nothing(config in any_config(), packets in any_packets()) {
        prop_assert_eq!(drive(&config, &packets, 1), drive(&config, &packets, 7));
    }

    #[test]
    fn without_reordering_the_order_is_kept(config in any_config(), packets in any_packets()) {
        let config = LinkConfig { reorder: Reorder::default(), ..config };
        let (arrived, _) = drive(&config, &packets, 3);
        prop_assert!(arrived.is_sorted(), "{arrived:?}");
    }
}

#[test]
fn codel_keeps_the_wait_near_its_target_and_the_link_full() {
    // A sender that offers what it may, 5 % too much, and backs off by 30 % when it sees a drop.
    let mut link = Link::new(
        LinkConfig {
            rate: Rate::mbps(20.0),
            queue: Queue::codel(10_000_000),
            ..LinkConfig::default()
        },
        1,
    );
    let (mut now, mut offered_mbps, mut dropped) = (Duration::ZERO, 20.0, 0);
    let mut waits = Vec::new();
    while now < Duration::from_secs(30) {
        while let Some(sent) = link.poll_delivery(now) {
            waits.push(now - sent);
        }
        link.handle_packet(now, 1_500, now);
        let seen = link.counters().dropped;
        offered_mbps = if seen > dropped { offered_mbps * 0.7 } else { offered_mbps + 0.01 };
        dropped = seen;
        now += Duration::from_secs_f64(1_500.0 * 8.0 / offered_mbps / 1e6);
    }
    waits.sort();
    let median = waits[waits.len() / 2];
    assert!(median < MS(15), "half of the packets wait {median:?}");
    let busy = link.counters().busy.as_secs_f64() / 30.0;
    assert!(busy > 0.85, "busy {busy}");
}

#[test]
fn a_rate_that_changes_takes_effect_on_the_packet_being_sent() {
    let mut link = Link::new(LinkConfig { rate: Rate::Constant(0), ..LinkConfig::default() }, 1);
    link.handle_packet(Duration::ZERO, 1_500, ());
    assert_eq!(link.poll_timeout(), None, "at no rate it never arrives");
    link.set_config(MS(10), LinkConfig { rate: Rate::mbps(12.0), ..LinkConfig::default() });
    assert_eq!(link.poll_timeout(), Some(MS(11)));
    let doubled = LinkConfig { rate: Rate::mbps(24.0), ..LinkConfig::default() };
    link.set_config(Duration::from_micros(10_500), doubled);
    assert_eq!(link.poll_timeout(), Some(Duration::from_micros(10_750)), "half was sent");
}

#[test]
fn a_packet_above_the_mtu_vanishes() {
    let mut link = Link::new(LinkConfig::default(), 1);
    link.handle_packet(Duration::ZERO, 1_501, 1);
    link.handle_packet(Duration::ZERO, 1_500, 2);
    assert_eq!(link.poll_delivery(Duration::ZERO), Some(2));
    assert_eq!(link.counters().too_big, 1);
}
