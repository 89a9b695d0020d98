//! Short stories of packets on a link, told to the microsecond.

use std::fmt::Write;
use std::time::Duration;

use novacron_link::{Counters, Link, LinkConfig, Loss, Queue, Rate, Reorder};

const US: fn(u64) -> Duration = Duration::from_micros;
const MS: fn(u64) -> Duration = Duration::from_millis;

/// Sends packets `1..` of 1,500 bytes at `times` and tells when each arrives.
fn tell(config: LinkConfig, times: impl IntoIterator<Item = Duration>) -> String {
    let mut link = Link::new(config, 7);
    let mut story = String::new();
    for (at, number) in times.into_iter().zip(1..) {
        deliver_until(&mut link, at, &mut story);
        link.handle_packet(at, 1_500, number);
        writeln!(story, "{:>9}  {number} enters", shown(at)).expect("a string takes it");
    }
    deliver_until(&mut link, MS(10_000), &mut story);
    write!(story, "{}", ended(&link.counters())).expect("a string takes it");
    story
}

fn deliver_until(link: &mut Link<u32>, until: Duration, story: &mut String) {
    while let Some(at) = link.poll_timeout().filter(|at| *at <= until) {
        while let Some(number) = link.poll_delivery(at) {
            writeln!(story, "{:>9}             {number} arrives", shown(at))
                .expect("a string takes it");
        }
    }
}

fn shown(at: Duration) -> String {
    format!("{:.3} ms", at.as_secs_f64() * 1e3)
}

fn ended(counters: &Counters) -> String {
    let Counters { entered, delivered, lost, dropped, blacked_out, .. } = counters;
    format!(
        "entered {entered}, delivered {delivered}, lost {lost}, dropped {dropped}, \
         blacked out {blacked_out}, busy {:?}",
        counters.busy
    )
}

/// 12 Mbit/s: a full packet takes 1 ms. 5 ms of delay.
fn slow() -> LinkConfig {
    LinkConfig { rate: Rate::mbps(12.0), delay: MS(5), ..LinkConfig::default() }
}

#[test]
fn packets_wait_for_each_other_and_a_full_queue_drops() {
    let config = LinkConfig { queue: Queue::DropTail { bytes_max: 3_000 }, ..slow() };
    insta::assert_snapshot!(tell(config, [0, 0, 0, 0, 1_500, 1_500, 20_000].map(US)));
}

#[test]
fn a_blackout_takes_what_is_sent_in_it_and_a_silent_rate_keeps_it() {
    let dark = slow().with_blackout(MS(2), MS(2));
    insta::assert_snapshot!("blackout", tell(dark, [0, 0, 0, 0, 0].map(US)));
    let rate = Rate::Trace { mbps: vec![12.0, 0.0, 12.0, 12.0], step: MS(2) };
    insta::assert_snapshot!("silence", tell(LinkConfig { rate, ..slow() }, [0; 5].map(US)));
}

#[test]
fn held_packets_are_overtaken_and_doubled_ones_come_twice() {
    let reorder = Reorder { probability: 0.3, by: MS(2) };
    let config = LinkConfig { reorder, duplicate: 0.2, loss: Loss::percent(20.0), ..slow() };
    insta::assert_snapshot!(tell(config, (0..10).map(MS)));
}

#[test]
fn jitter_comes_in_turns_and_keeps_the_order() {
    let config = LinkConfig { jitter: MS(8), ..slow() };
    insta::assert_snapshot!(tell(config, (0..12).map(|n| MS(3 * n))));
}

#[test]
fn codel_drops_from_a_standing_queue() {
    let config = LinkConfig { queue: Queue::codel(1_000_000), ..slow() };
    // 1.25 times what the link carries, for 300 ms.
    let story = tell(config, (0..375).map(|n| US(800 * n)));
    insta::assert_snapshot!(story.lines().last().expect("it has an end"));
}
