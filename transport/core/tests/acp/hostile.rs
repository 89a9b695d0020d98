//! Paths that are not as they should be: jitter, reordering, bursts of loss, blackouts, changing rates.

use std::time::Duration;

use novacron_link::{LinkConfig, Loss, Rate, Reorder};

use crate::figures::measure;
use crate::sim::{Hosts, Network};

const S: fn(u64) -> Duration = Duration::from_secs;
const MS: fn(u64) -> Duration = Duration::from_millis;

fn path(mbps: f64, rtt_ms: u64) -> LinkConfig {
    LinkConfig::path(Rate::mbps(mbps), MS(rtt_ms), Loss::None, 2.0)
}

#[test]
fn jitter_is_not_taken_for_a_queue() {
    let config = LinkConfig { jitter: MS(10), ..path(100.0, 50) };
    let figures = measure(config, 100.0, Hosts::BUSY, S(4), S(14), 5);
    println!("10 ms of jitter: {figures:?}");
    assert!(figures.goodput >= 0.9, "{figures:?}");
}

#[test]
fn reordering_is_not_taken_for_congestion() {
    let reorder = Reorder { probability: 0.05, by: MS(10) };
    let figures =
        measure(LinkConfig { reorder, ..path(100.0, 50) }, 100.0, Hosts::BUSY, S(3), S(10), 5);
    println!("5 % reordered: {figures:?}");
    assert!(figures.goodput >= 0.95, "{figures:?}");
}

#[test]
fn bursts_of_loss_are_ridden_out() {
    let config = LinkConfig { loss: Loss::burst(0.01, 10.0), ..path(100.0, 50) };
    let figures = measure(config, 100.0, Hosts::BUSY, S(3), S(13), 5);
    println!("bursts of ten packets: {figures:?}");
    assert!(figures.goodput >= 0.95, "{figures:?}");
}

#[test]
fn after_a_blackout_the_path_is_full_again_within_ten_round_trips() {
    let config = path(100.0, 50).with_blackout(S(5), S(30));
    let mut network = Network::new(config, 5);
    network.join_acp(S(0), Hosts::BUSY);
    network.run_until(S(50));
    let tenths = &network.flows[0].receiver.per_tenth;
    // The first packet that gets through is a probe, whose time is the transport's business.
    let first = (350..tenths.len()).find(|at| tenths[*at] > 0).expect("it comes back");
    let full = (first..tenths.len()).find(|at| tenths[*at] * 12_000 > 9_000_000);
    println!("after a blackout: first packet {first}, full {full:?} tenths of a second");
    assert!(full.is_some_and(|full| full <= first + 5), "{:?}", &tenths[first..]);
}

#[test]
fn a_rate_that_changes_each_second_is_followed() {
    // Ratios as a satellite's link shows them: some calm, some halved or doubled.
    let mbps = [80.0, 95.0, 60.0, 120.0, 118.0, 30.0, 45.0, 90.0, 100.0, 50.0];
    let rate = Rate::Trace { mbps: mbps.to_vec(), step: S(1) };
    let config = LinkConfig::path(rate.clone(), MS(50), Loss::None, 2.0);
    let mut network = Network::new(config, 5);
    network.join_acp(S(0), Hosts::BUSY);
    network.run_until(S(2));
    let before = network.flows[0].receiver.received;
    network.run_until(S(32));
    let offered = rate.bytes_between(S(2), S(32)).expect("a trace is limited") as f64;
    let share = (network.flows[0].receiver.received - before) as f64 * 1_500.0 / offered;
    println!("changing rate: {share:.3} of what was offered");
    assert!(share >= 0.9, "{share}");
}

#[test]
fn a_lan_is_not_limited_by_the_controller() {
    // 2 Gbit/s and 100 us: what one core of a simulator can carry in a test, with schedulers that are
    // late by less than on a loaded machine.
    let hosts = Hosts { noise: Duration::from_micros(100), ..Hosts::QUIET };
    let config = LinkConfig {
        rate: Rate::mbps(2_000.0),
        delay: Duration::from_micros(50),
        ..LinkConfig::default()
    };
    let figures = measure(config, 2_000.0, hosts, MS(200), MS(900), 5);
    println!("LAN: {figures:?}");
    assert!(figures.goodput >= 0.98, "{figures:?}");
}
