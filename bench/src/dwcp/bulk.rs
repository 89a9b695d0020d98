//! One bulk transfer over one path: the measurement of which several lines are made.

use std::thread;
use std::time::Duration;

use anyhow::Result;

use super::Bench;
use super::exchange::{Exchange, Plan};
use super::link::{Network, Path};
use super::ping::Ping;
use super::system::System;
use crate::samples::{Samples, ms};

/// What came of it after the warm-up.
#[derive(Debug)]
pub(crate) struct Transfer {
    pub(super) mbps: f64,
    /// Round-trip times of datagrams beside the transfer.
    pub(super) rtt: Samples,
}

/// Sends on one stream as fast as `system` can.
pub(super) fn transfer(
    bench: &Bench,
    system: System,
    path: Path,
    window: Duration,
    seed: u64,
) -> Result<Transfer> {
    let network = Network::create(path.config(), seed)?;
    let length = path.warm_up() + window;
    let windows = Some(path.window_bytes());
    let mut exchange = Exchange::start(bench, system, network.places(), windows)?;
    let dir = bench.new_dir("ping")?;
    let ping = Ping::start(&bench.programs, network.places(), &dir, length + SLACK)?;
    let began_us = exchange.send(bench, &Plan::bulk(1, Duration::ZERO, length + SLACK))?;
    let told = exchange.finish(length + SLACK)?;
    let from_us = began_us + micros(path.warm_up());
    let to_us = from_us + micros(window);
    // The last datagrams of the window are on their way back.
    thread::sleep(path.rtt());
    Ok(Transfer { mbps: told.mbps(0, from_us, to_us), rtt: ping.round_trips(from_us, to_us)? })
}

impl Transfer {
    pub(super) fn summary(&self) -> String {
        let (p50, p95) = (ms(self.rtt.percentile(50)), ms(self.rtt.percentile(95)));
        format!("{:.1} Mbit/s, round trip p50 {p50:.0} p95 {p95:.0} ms", self.mbps)
    }
}

pub(super) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

/// The transfer outlasts the window, or its end would be in it.
pub(super) const SLACK: Duration = Duration::from_millis(300);
