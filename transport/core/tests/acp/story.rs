//! Stories of a flow, as tables that people can read and reviews can compare.

use std::fmt::Write;
use std::time::Duration;

use novacron_link::{LinkConfig, Loss, Rate};

use crate::sim::{Hosts, Network};

const S: fn(u64) -> Duration = Duration::from_secs;
const MS: fn(u64) -> Duration = Duration::from_millis;

fn path(loss: Loss) -> LinkConfig {
    LinkConfig::path(Rate::mbps(100.0), MS(50), loss, 2.0)
}

/// Runs until each of `times_ms` and writes what flow `watched` does, and what all received since.
fn tell(network: &mut Network, watched: usize, times_ms: impl IntoIterator<Item = u64>) -> String {
    let mut table = String::from("    ms | queue ms | cwnd KiB | Mbit/s of each flow | state\n");
    let mut before: Vec<u64> = network.flows.iter().map(|flow| flow.receiver.received).collect();
    let mut last = network.now;
    for at in times_ms.into_iter().map(MS) {
        network.run_until(at);
        let rates: Vec<String> = network
            .flows
            .iter()
            .zip(&mut before)
            .map(|(flow, before)| {
                let packets =
                    flow.receiver.received - std::mem::replace(before, flow.receiver.received);
                format!("{:.1}", packets as f64 * 12e-3 / (at - last).as_secs_f64())
            })
            .collect();
        last = at;
        let acp = network.flows[watched].acp();
        writeln!(
            table,
            "{:>6} | {:>8.1} | {:>8} | {:>19} | {}",
            at.as_millis(),
            network.queue_delay(100.0).as_secs_f64() * 1e3,
            acp.cwnd_bytes() >> 10,
            rates.join(" "),
            acp.state()
        )
        .expect("text takes text");
    }
    table
}

#[test]
fn start_up_and_steady_state() {
    let mut network = Network::new(path(Loss::None), 1);
    network.join_acp(S(0), Hosts::QUIET);
    let times = (1..=16).map(|step| step * 50).chain((2..=10).map(|step| step * 500));
    insta::assert_snapshot!(tell(&mut network, 0, times));
}

#[test]
fn random_loss_of_five_percent() {
    let mut network = Network::new(path(Loss::percent(5.0)), 1);
    network.join_acp(S(0), Hosts::QUIET);
    insta::assert_snapshot!(tell(&mut network, 0, (1..=16).map(|step| step * 250)));
}

#[test]
fn blackout_of_thirty_seconds() {
    let mut network = Network::new(path(Loss::None).with_blackout(S(2), S(30)), 1);
    network.join_acp(S(0), Hosts::QUIET);
    let times = [1_000, 2_000, 2_500, 20_000, 32_000].into_iter();
    insta::assert_snapshot!(tell(&mut network, 0, times.chain((65..=84).map(|step| step * 500))));
}

#[test]
fn cubic_comes_and_stays() {
    let mut network = Network::new(path(Loss::None), 1);
    network.join_acp(S(0), Hosts::QUIET);
    network.join_cubic(S(3));
    insta::assert_snapshot!(tell(&mut network, 0, (1..=30).map(|step| step * 1_000)));
}

#[test]
fn late_joiner() {
    let config = LinkConfig::path(Rate::mbps(100.0), MS(100), Loss::None, 2.0);
    let mut network = Network::new(config, 1);
    network.join_acp(S(0), Hosts::QUIET);
    let late = network.join_acp(S(5), Hosts::QUIET);
    let times = (50..=64).map(|step| step * 100).chain([7_000, 8_000, 9_000, 10_000]);
    insta::assert_snapshot!(tell(&mut network, late, times));
}
