//! What a link is like.

use std::ops::Range;
use std::time::Duration;

use crate::loss::Loss;
use crate::queue::Queue;
use crate::rate::Rate;

/// One direction of a link. The default has no limit of its rate, no delay and no loss.
#[derive(Debug, Clone, PartialEq)]
pub struct LinkConfig {
    pub rate: Rate,
    /// From the last bit sent to the delivery.
    pub delay: Duration,
    /// Up to this much is added to `delay`, uniformly, drawn anew every 10 ms as if the medium were
    /// shared. It keeps the order: packets that would overtake arrive together with those before.
    pub jitter: Duration,
    pub loss: Loss,
    pub reorder: Reorder,
    /// Probability that a packet is delivered twice, the second right behind the first.
    pub duplicate: f64,
    pub queue: Queue,
    /// Times (of the link's own `now`) at which whatever has been sent is gone. The transmitter
    /// goes on, as a radio does; for a link that waits instead use a rate of 0.
    pub blackouts: Vec<Range<Duration>>,
    /// IP packets larger than this vanish without a word, as in an MTU black hole.
    pub mtu_bytes: usize,
}

/// Packets that are held back, so that later ones overtake them.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Reorder {
    pub probability: f64,
    pub by: Duration,
}

impl Default for LinkConfig {
    fn default() -> Self {
        Self {
            rate: Rate::Unlimited,
            delay: Duration::ZERO,
            jitter: Duration::ZERO,
            loss: Loss::None,
            reorder: Reorder::default(),
            duplicate: 0.0,
            queue: Queue::default(),
            blackouts: Vec::new(),
            mtu_bytes: MTU_BYTES,
        }
    }
}

impl LinkConfig {
    /// One direction of a path whose other direction has the same delay: `rate`, half of `rtt`,
    /// `loss`, and a drop-tail buffer of `buffer_bdp` bandwidth-delay products, 16 packets at least.
    pub fn path(rate: Rate, rtt: Duration, loss: Loss, buffer_bdp: f64) -> Self {
        let queue = match rate.mean() {
            Some(mean) => Queue::DropTail { bytes_max: buffer_bytes(mean, rtt, buffer_bdp) },
            None => Queue::default(),
        };
        Self { rate, delay: rtt / 2, loss, queue, ..Self::default() }
    }

    /// The same with a blackout from `start` on.
    #[must_use]
    pub fn with_blackout(mut self, start: Duration, length: Duration) -> Self {
        self.blackouts.push(start..start.saturating_add(length));
        self
    }

    /// Whether what is sent at `now` is gone.
    pub fn is_blackout(&self, now: Duration) -> bool {
        self.blackouts.iter().any(|blackout| blackout.contains(&now))
    }
}

fn buffer_bytes(bits_per_second: u64, rtt: Duration, buffer_bdp: f64) -> usize {
    let bdp = bits_per_second as f64 / 8.0 * rtt.as_secs_f64();
    ((bdp * buffer_bdp) as usize).max(BUFFER_PACKETS_MIN * MTU_BYTES)
}

/// Ethernet's.
const MTU_BYTES: usize = 1500;
/// A short path's product can be less than one packet, and no device has a buffer that small; 16
/// take one burst of a sender with segmentation offload.
const BUFFER_PACKETS_MIN: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_buffers_the_products_that_were_asked_for() {
        let ms = Duration::from_millis;
        let path = LinkConfig::path(Rate::mbps(100.0), ms(40), Loss::None, 2.0);
        assert_eq!(path.delay, ms(20));
        assert_eq!(path.queue, Queue::DropTail { bytes_max: 1_000_000 });
        let short = LinkConfig::path(Rate::mbps(1.0), ms(2), Loss::None, 1.0);
        assert_eq!(short.queue, Queue::DropTail { bytes_max: 24_000 });
    }

    #[test]
    fn a_blackout_ends_before_its_end() {
        let ms = Duration::from_millis;
        let config = LinkConfig::default().with_blackout(ms(10), ms(5));
        let dark: Vec<u64> = (0..20).filter(|at| config.is_blackout(ms(*at))).collect();
        assert_eq!(dark, [10, 11, 12, 13, 14]);
    }
}
