//! Goodput, delay and queue of one bulk flow over the paths of the acceptance.

use std::time::Duration;

use novacron_link::{LinkConfig, Loss, Rate};

use crate::sim::{Hosts, Network};

/// What one flow made of a path after start-up.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Figures {
    /// Delivered, as a share of what the path can deliver with its loss.
    pub(crate) goodput: f64,
    /// Round trip, 95th percentile, as the sender's host sees it.
    pub(crate) rtt_p95: Duration,
    /// What a packet would have waited at the bottleneck, looked at every few milliseconds.
    pub(crate) queue_p99: Duration,
}

pub(crate) fn measure(
    config: LinkConfig,
    mbps: f64,
    hosts: Hosts,
    warm: Duration,
    end: Duration,
    seed: u64,
) -> Figures {
    let kept = 1.0 - config.loss.mean();
    let mut network = Network::new(config, seed);
    network.join_acp(Duration::ZERO, hosts);
    network.run_until(warm);
    let before = network.flows[0].receiver.received;
    let mut queues = Vec::new();
    while network.now < end {
        network.run_until(network.now + Duration::from_micros(3_100));
        queues.push(network.queue_delay(mbps));
    }
    let packets = (network.flows[0].receiver.received - before) as f64;
    let possible = mbps * 1e6 / 12e3 * (network.now - warm).as_secs_f64() * kept;
    let rtts = network.flows[0].sender.rtts.iter();
    let rtts = rtts.filter(|(at, _)| *at > warm).map(|(_, rtt)| *rtt).collect();
    Figures {
        goodput: packets / possible,
        rtt_p95: percentile(rtts, 95),
        queue_p99: percentile(queues, 99),
    }
}

pub(crate) fn percentile(mut values: Vec<Duration>, percent: usize) -> Duration {
    values.sort();
    values[(values.len() - 1) * percent / 100]
}

/// Line 3 of the acceptance: 1.25 round trips, or 5 ms more below 20 ms.
fn rtt_max(rtt: Duration) -> Duration {
    rtt * 5 / 4
        + if rtt < Duration::from_millis(20) { Duration::from_millis(5) } else { Duration::ZERO }
}

fn check(mbps: f64, rtt_ms: u64, percent: f64, buffer_bdp: f64, hosts: Hosts, allowance: Duration) {
    let rtt = Duration::from_millis(rtt_ms);
    let config = LinkConfig::path(Rate::mbps(mbps), rtt, Loss::percent(percent), buffer_bdp);
    // Start-up takes ten round trips, to settle takes some more; the figures are of what comes after.
    let warm = Duration::from_secs(2) + rtt * 20;
    let figures = measure(config, mbps, hosts, warm, warm + Duration::from_secs(6), 7);
    println!(
        "{mbps:>4} Mbit/s {rtt_ms:>4} ms {percent:>4} % {buffer_bdp:>3} BDP: goodput {:.3}, \
         round trip p95 {:.1?}, queue p99 {:.1?}",
        figures.goodput, figures.rtt_p95, figures.queue_p99
    );
    let cell = format!("{mbps} Mbit/s, {rtt_ms} ms, {percent} %, {buffer_bdp} BDP: {figures:?}");
    assert!(figures.goodput >= 0.95, "{cell}");
    assert!(figures.rtt_p95 <= rtt_max(rtt) + allowance, "{cell}");
    assert!(figures.queue_p99 <= Duration::from_millis(10) + allowance, "{cell}");
}

#[test]
fn every_path_is_filled_with_a_short_queue() {
    for mbps in [20.0, 100.0] {
        for rtt_ms in [2, 50, 150, 300] {
            for percent in [0.0, 0.1, 1.0, 5.0] {
                check(mbps, rtt_ms, percent, 2.0, Hosts::QUIET, Duration::from_millis(3));
            }
        }
    }
}

#[test]
fn fast_paths_are_filled_with_a_short_queue() {
    for (rtt_ms, percent) in [(2, 0.0), (50, 1.0), (150, 5.0)] {
        check(500.0, rtt_ms, percent, 2.0, Hosts::QUIET, Duration::from_millis(3));
    }
}

#[test]
fn a_deep_buffer_is_left_empty() {
    for (mbps, rtt_ms, percent) in [(20.0, 50, 0.0), (100.0, 50, 1.0), (100.0, 150, 0.0)] {
        check(mbps, rtt_ms, percent, 10.0, Hosts::QUIET, Duration::from_millis(3));
    }
}

/// Three times as late, and still no goodput lost on a long path.
#[test]
fn a_machine_at_its_limit_fills_a_long_path() {
    check(100.0, 150, 1.0, 2.0, Hosts::LATE, Duration::from_millis(12));
}

/// Schedulers that are up to 2 ms late at both ends cost as much, and no goodput.
#[test]
fn busy_hosts_cost_what_they_are_late_and_no_more() {
    for (mbps, rtt_ms, percent) in [(20.0, 50, 1.0), (100.0, 50, 0.0), (100.0, 150, 5.0)] {
        check(mbps, rtt_ms, percent, 2.0, Hosts::BUSY, Duration::from_millis(4));
        check(mbps, rtt_ms, percent, 2.0, Hosts::LUMPY, Duration::from_millis(4));
    }
}
