//! Shares of a bottleneck: among flows of ours, for one that comes late, and against TCP CUBIC.

use std::time::Duration;

use novacron_link::{LinkConfig, Loss, Rate};

use crate::sim::{Hosts, Network};

const S: fn(u64) -> Duration = Duration::from_secs;
const MS: fn(u64) -> Duration = Duration::from_millis;

fn path(rtt_ms: u64, buffer_bdp: f64, seed: u64) -> Network {
    let config = LinkConfig::path(Rate::mbps(100.0), MS(rtt_ms), Loss::None, buffer_bdp);
    Network::new(config, seed)
}

/// Jain's index of what the flows received in the seconds from `from` on.
fn jain(network: &Network, from: usize) -> f64 {
    let received: Vec<f64> = network
        .flows
        .iter()
        .map(|flow| flow.receiver.per_second.iter().skip(from).sum::<u64>() as f64)
        .collect();
    let sum: f64 = received.iter().sum();
    let squares: f64 = received.iter().map(|share| share * share).sum();
    sum * sum / (received.len() as f64 * squares)
}

#[test]
fn two_flows_of_ours_share_alike() {
    for (rtt_ms, seed) in [(50, 1), (150, 2)] {
        let mut network = path(rtt_ms, 2.0, seed);
        network.join_acp(S(0), Hosts::BUSY);
        network.join_acp(S(1), Hosts::BUSY);
        network.run_until(S(30));
        let index = jain(&network, 1);
        println!("two of ours, {rtt_ms} ms: {index:.3}");
        assert!(index >= 0.95, "{index}");
    }
}

#[test]
fn eight_flows_of_ours_share_alike() {
    for seed in [1, 2] {
        let mut network = path(50, 2.0, seed);
        for _ in 0..8 {
            network.join_acp(S(0), Hosts::BUSY);
        }
        network.run_until(S(30));
        let index = jain(&network, 0);
        println!("eight of ours: {index:.3}");
        assert!(index >= 0.95, "{index}");
    }
}

#[test]
fn a_late_joiner_has_most_of_its_share_within_ten_round_trips() {
    for seed in [3, 4, 5] {
        let mut network = path(100, 2.0, seed);
        network.join_acp(S(0), Hosts::BUSY);
        let late = network.join_acp(S(10), Hosts::BUSY);
        network.run_until(S(13));
        // Tenths of a second are its round trips.
        let tenths = &network.flows[late].receiver.per_tenth;
        let share = |range: std::ops::Range<usize>| {
            let packets: u64 = tenths[range.clone()].iter().sum();
            packets as f64 * 12e3 / (range.len() as f64 * 0.1) / 50e6
        };
        println!("late joiner: {:.2} of its share in round trips 8 to 12", share(108..112));
        assert!(share(108..112) >= 0.75, "{tenths:?}");
        assert!((0.75..1.4).contains(&share(115..130)), "{tenths:?}");
    }
}

#[test]
fn a_minute_with_cubic_is_shared_fairly() {
    for (buffer_bdp, ours, theirs) in [(1.0, 0, 0), (2.0, 0, 5), (1.0, 5, 0), (2.0, 5, 0)] {
        let mut network = path(50, buffer_bdp, 3);
        network.join_acp(S(ours), Hosts::BUSY);
        network.join_cubic(S(theirs));
        network.run_until(S(ours.max(theirs) + 60));
        let index = jain(&network, ours.max(theirs) as usize);
        println!("beside CUBIC, {buffer_bdp} BDP, from {ours} s and {theirs} s: {index:.3}");
        assert!(index >= 0.85, "{buffer_bdp} BDP, {ours} s, {theirs} s: {index}");
    }
}
