//! The emulator measured by what its ends see, beside what was asked of it.
//!
//! Rate: datagrams at 1.3 times the rate, what comes out of them. Loss: small datagrams at half the
//! rate. Delay: small datagrams there and back on the idle link, less what the same exchange takes
//! within one end: the sockets' and the programs' own time is not the link's.

use std::time::Duration;

use anyhow::Result;
use novacron_link::{LinkConfig, Loss, Queue, Rate};

use crate::direction::Direction;
use crate::emulator::{Emulator, Setup};
use crate::probe::datagrams::{self, Stream};
use crate::probe::{quantile, round_trips};

/// What is asked of a link.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cell {
    pub mbps: f64,
    pub rtt: Duration,
    pub loss_percent: f64,
}

/// What was measured.
#[derive(Debug, Clone, Copy)]
pub struct Measured {
    pub asked: Cell,
    /// 10^6 bit/s on the wire, lost packets counted.
    pub mbps: f64,
    /// Median, and the time that two small packets take to be sent is not in it.
    pub rtt: Duration,
    /// Median within one end, which `rtt` is already less of.
    pub own_rtt: Duration,
    pub loss_percent: f64,
    /// Standard deviation of that many losses by chance.
    pub loss_percent_deviation: f64,
    /// Packets lost by anything but the link's own dice; any is a defect.
    pub stray: i64,
    /// The machine's failures, see [`crate::Traffic`].
    pub late_1ms: u64,
    pub overrun: u64,
}

impl Cell {
    fn link(&self) -> Result<Emulator> {
        let rate = Rate::mbps(self.mbps);
        // One direction loses: a round trip with loss is measured as well from those that survive.
        let loss = Loss::percent(self.loss_percent);
        let mut there = LinkConfig::path(rate.clone(), self.rtt, loss, 1.0);
        // Deep, so that the link stays busy while a sender on a busy machine does not.
        let bytes_max = rate.bytes_between(Duration::ZERO, BUFFER).unwrap_or(u64::MAX);
        there.queue =
            Queue::DropTail { bytes_max: usize::try_from(bytes_max).unwrap_or(usize::MAX) };
        let back = LinkConfig::path(rate, self.rtt, Loss::None, 1.0);
        Setup { b_to_a: back, ..Setup::symmetric(there, self.seed()) }.create()
    }

    /// Its own, or one unlucky stretch of random numbers would be seen in all cells.
    fn seed(&self) -> u64 {
        let parts = [self.mbps, self.rtt.as_secs_f64(), self.loss_percent];
        parts.iter().fold(SEED, |seed, part| seed.rotate_left(21) ^ part.to_bits())
    }

    /// Builds the link and measures it, for about `length` plus a few seconds.
    pub fn measure(self, length: Duration) -> Result<Measured> {
        let link = self.link()?;
        let (rtt, own_rtt) = self.measure_rtt(&link)?;
        let bits_per_second = (self.mbps * 1e6) as u64;
        let full = datagrams::run(
            &link,
            Stream {
                bits_per_second: bits_per_second / 10 * 13,
                packet_bytes: 1_500,
                batch: 8,
                length,
            },
        )?;
        let before = link.traffic(Direction::AToB).link;
        let packet_bytes = 200;
        let most = SMALL_PACKETS_PER_SECOND * packet_bytes as u64 * 8;
        let small = Stream {
            bits_per_second: (bits_per_second / 2).min(most),
            packet_bytes,
            batch: 4,
            length,
        };
        let small = datagrams::run(&link, small)?;
        let after = link.traffic(Direction::AToB);
        let probability = self.loss_percent / 100.0;
        let deviation = (probability * (1.0 - probability) / small.sent.max(1) as f64).sqrt();
        Ok(Measured {
            asked: self,
            mbps: full.mbps() / (1.0 - probability),
            rtt,
            own_rtt,
            loss_percent: small.lost_share() * 100.0,
            loss_percent_deviation: deviation * 100.0,
            stray: (small.sent - small.received) as i64 - (after.link.lost - before.lost) as i64,
            late_1ms: after.late_1ms,
            overrun: link.a().overrun()? + link.b().overrun()?,
        })
    }

    fn measure_rtt(&self, link: &Emulator) -> Result<(Duration, Duration)> {
        let mut own = round_trips::run(link.a(), link.a(), ROUND_TRIPS, PAUSE)?;
        let mut all = round_trips::run(link.a(), link.b(), ROUND_TRIPS, PAUSE)?;
        let own = quantile(&mut own, 0.5);
        let bits = 2.0 * round_trips::PACKET_BYTES as f64 * 8.0;
        let sending = Duration::from_secs_f64(bits / (self.mbps * 1e6));
        Ok((quantile(&mut all, 0.5).saturating_sub(own + sending), own))
    }
}

impl Measured {
    /// Error of the rate, as a share of what was asked.
    pub fn rate_error(&self) -> f64 {
        self.mbps / self.asked.mbps - 1.0
    }

    pub fn rtt_error(&self) -> f64 {
        self.rtt.as_secs_f64() / self.asked.rtt.as_secs_f64() - 1.0
    }

    /// How many standard deviations the loss is away from what was asked; 0 without loss.
    pub fn loss_deviations(&self) -> f64 {
        let error = self.loss_percent - self.asked.loss_percent;
        if error == 0.0 { 0.0 } else { error / self.loss_percent_deviation }
    }

    /// Whether rate and delay are within `share` of what was asked, and the loss is what chance
    /// gives: 4 standard deviations (3 are too few for 36 cells), or `share`.
    pub fn is_within(&self, share: f64) -> bool {
        let loss_error = self.loss_percent - self.asked.loss_percent;
        self.rate_error().abs() <= share
            && self.rtt_error().abs() <= share
            && (self.loss_deviations().abs() <= 4.0
                || loss_error.abs() <= share * self.asked.loss_percent)
            && self.stray == 0
    }
}

/// The share of packets lost in a run long enough to tell 2 % of it from chance: `10,000 / loss`
/// packets have a standard deviation of 1 %. Gives percent.
pub fn measure_long_loss(loss_percent: f64) -> Result<f64> {
    let config = LinkConfig { loss: Loss::percent(loss_percent), ..LinkConfig::default() };
    let link = Setup::symmetric(config, SEED).create()?;
    let packets = 10_000.0 / (loss_percent / 100.0);
    let stream = Stream {
        bits_per_second: (LONG_PACKETS_PER_SECOND * LONG_PACKET_BYTES * 8) as u64,
        packet_bytes: LONG_PACKET_BYTES,
        batch: 64,
        length: Duration::from_secs_f64(packets / LONG_PACKETS_PER_SECOND as f64),
    };
    Ok(datagrams::run(&link, stream)?.lost_share() * 100.0)
}

/// Any: a run replays from it.
const SEED: u64 = 1;
const BUFFER: Duration = Duration::from_millis(200);
const ROUND_TRIPS: u32 = 101;
/// A prime of milliseconds, so that they do not fall in step with other timers.
const PAUSE: Duration = Duration::from_millis(7);
/// Datagrams that a small machine sends without help of offloads while it does all the rest.
const SMALL_PACKETS_PER_SECOND: u64 = 30_000;
const LONG_PACKETS_PER_SECOND: usize = 250_000;
const LONG_PACKET_BYTES: usize = 48;
