//! The links that are measured on, and what they can carry.

use std::time::Duration;

use anyhow::Result;
use novacron_emulator::{Emulator, End, Setup};
use novacron_link::{LinkConfig, Loss, Rate};
use serde_json::{Value, json};

use super::place::{self, Place, Places};

/// A path: both directions have this rate, loss and buffer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Path {
    pub(super) rate_mbps: f64,
    pub(super) rtt_ms: u64,
    pub(super) loss_percent: f64,
    /// Drop-tail buffer in bandwidth-delay products, 64 KiB at least.
    pub(super) buffer_bdp: f64,
}

impl Path {
    pub(super) fn config(self) -> LinkConfig {
        let loss = match self.loss_percent {
            percent if percent > 0.0 => Loss::percent(percent),
            _ => Loss::None,
        };
        let mut config =
            LinkConfig::path(Rate::mbps(self.rate_mbps), self.rtt(), loss, self.buffer_bdp);
        if let novacron_link::Queue::DropTail { bytes_max } = &mut config.queue {
            *bytes_max = (*bytes_max).max(BUFFER_BYTES_MIN);
        }
        config
    }

    pub(super) fn rtt(self) -> Duration {
        Duration::from_millis(self.rtt_ms)
    }

    /// What a figure's case says of the path.
    pub(super) fn case(self, name: &str) -> Value {
        json!({
            "name": name,
            "rate_mbps": self.rate_mbps,
            "rtt_ms": self.rtt_ms,
            "loss_percent": self.loss_percent,
            "buffer_bdp": self.buffer_bdp,
        })
    }

    /// Excluded from every figure, the same for all systems: two seconds and twenty round trips to
    /// find the rate.
    pub(super) fn warm_up(self) -> Duration {
        Duration::from_secs(2) + self.rtt() * 20
    }

    /// A window that limits nobody: thrice what path and buffer hold.
    pub(super) fn window_bytes(self) -> u32 {
        window_bytes(self.rate_mbps, self.rtt(), self.buffer_bdp)
    }

    /// Share of what packets of 1500 bytes can carry at most when none is lost: 1448 bytes each, by
    /// TCP with timestamps. QUIC's headers and tags are longer, so it stays below 0.99.
    pub(super) fn share(self, mbps: f64) -> f64 {
        mbps / payload_mbps(self.rate_mbps)
    }
}

/// Of a link's rate, what is left for applications.
pub(super) fn payload_mbps(rate_mbps: f64) -> f64 {
    rate_mbps * 1448.0 / 1500.0
}

pub(super) fn window_bytes(rate_mbps: f64, rtt: Duration, buffer_bdp: f64) -> u32 {
    let held = rate_mbps * 1e6 / 8.0 * rtt.as_secs_f64() * (1.0 + buffer_bdp);
    ((3.0 * held) as u32).clamp(WINDOW_BYTES_MIN, WINDOW_BYTES_MAX)
}

/// An emulated link and its ends.
#[derive(Debug)]
pub(crate) struct Network {
    pub(super) emulator: Emulator,
    places: Places,
}

impl Network {
    /// Every system of a run gets the same `seed`.
    pub(super) fn create(config: LinkConfig, seed: u64) -> Result<Self> {
        place::require_tun()?;
        let emulator = Setup::symmetric(config, seed).create()?;
        let places = Places { near: place_at(emulator.a()), far: place_at(emulator.b()) };
        places.near.tune_tcp()?;
        places.far.tune_tcp()?;
        Ok(Self { emulator, places })
    }

    pub(super) fn places(&self) -> &Places {
        &self.places
    }
}

fn place_at(end: &End) -> Place {
    let command = end.command("true");
    let mut entry = vec![command.get_program().to_string_lossy().into_owned()];
    entry.extend(command.get_args().map(|argument| argument.to_string_lossy().into_owned()));
    entry.pop();
    Place { entry, address: end.address().into() }
}

/// Less than one burst of a sender with segmentation offload would measure the burst.
const BUFFER_BYTES_MIN: usize = 64 << 10;
const WINDOW_BYTES_MIN: u32 = 8 << 20;
const WINDOW_BYTES_MAX: u32 = 512 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_path_has_a_buffer_of_a_burst_and_a_long_one_its_products() {
        let path = Path { rate_mbps: 20.0, rtt_ms: 2, loss_percent: 0.0, buffer_bdp: 1.0 };
        let bytes = |path: Path| match path.config().queue {
            novacron_link::Queue::DropTail { bytes_max } => bytes_max,
            other => panic!("{other:?}"),
        };
        assert_eq!(bytes(path), BUFFER_BYTES_MIN);
        let long = Path { rtt_ms: 300, buffer_bdp: 2.0, ..path };
        assert_eq!(bytes(long), 1_500_000);
        assert_eq!(long.window_bytes(), WINDOW_BYTES_MIN);
        assert_eq!(Path { rate_mbps: 500.0, ..long }.window_bytes(), 168_750_000);
    }
}
