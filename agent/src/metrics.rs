//! What the host itself does: processors, memory, disk, network.

use std::path::PathBuf;
use std::time::Duration;

use novacron_agent_core::telemetry::rate;
use novacron_protocol::ByteCount;
use novacron_protocol::wire::telemetry::HostSample;
use sysinfo::{MemoryRefreshKind, Networks, System};

/// Samples the host. Keeps what rates are computed from.
#[derive(Debug)]
pub struct HostSampler {
    system: System,
    networks: Networks,
    /// On the file system that holds the VMs' disks.
    vms_dir: PathBuf,
    last: Option<(Duration, Traffic)>,
    sample: HostSample,
}

/// Bytes that all network interfaces have carried.
#[derive(Debug, Clone, Copy, Default)]
struct Traffic {
    rx_bytes: u64,
    tx_bytes: u64,
}

/// Traffic of the host with itself is none.
const LOOPBACK: &str = "lo";

impl HostSampler {
    pub fn new(vms_dir: PathBuf) -> Self {
        let mut system = System::new();
        // Usage is over the time since the refresh before.
        system.refresh_cpu_usage();
        let networks = Networks::new();
        Self { system, networks, vms_dir, last: None, sample: HostSample::default() }
    }

    /// Takes a sample; rates are over the time since the last one.
    pub fn handle_sample(&mut self, now: Duration) -> HostSample {
        self.system.refresh_cpu_usage();
        self.system.refresh_memory_specifics(MemoryRefreshKind::nothing().with_ram());
        self.networks.refresh(true);
        let traffic = self.traffic();
        let (rx_bytes_per_s, tx_bytes_per_s) = match self.last {
            Some((then, before)) => {
                let span = now.saturating_sub(then);
                let rx = rate(before.rx_bytes, traffic.rx_bytes, span);
                (rx, rate(before.tx_bytes, traffic.tx_bytes, span))
            }
            None => (0, 0),
        };
        self.last = Some((now, traffic));
        let (disk_used, disk_total) = self.disk();
        self.sample = HostSample {
            cpu_busy_permille: (self.system.global_cpu_usage() * 10.0).clamp(0.0, 1000.0) as u16,
            load1_milli: (System::load_average().one * 1000.0).clamp(0.0, f64::from(u32::MAX))
                as u32,
            memory_used_bytes: self.system.used_memory(),
            memory_total_bytes: self.system.total_memory(),
            disk_used_bytes: disk_used.0,
            disk_total_bytes: disk_total.0,
            net_rx_bytes_per_s: rx_bytes_per_s,
            net_tx_bytes_per_s: tx_bytes_per_s,
        };
        self.sample
    }

    /// The newest sample.
    pub fn latest(&self) -> HostSample {
        self.sample
    }

    /// Used and total room of the file system with the VMs' disks; 0 when it does not tell.
    pub fn disk(&self) -> (ByteCount, ByteCount) {
        let Ok(found) = rustix::fs::statvfs(&self.vms_dir) else {
            return (ByteCount::ZERO, ByteCount::ZERO);
        };
        let total = found.f_blocks.saturating_mul(found.f_frsize);
        let free = found.f_bavail.saturating_mul(found.f_frsize);
        (ByteCount(total.saturating_sub(free)), ByteCount(total))
    }

    fn traffic(&self) -> Traffic {
        let others = self.networks.iter().filter(|(name, _)| *name != LOOPBACK);
        others.fold(Traffic::default(), |sum, (_, network)| Traffic {
            rx_bytes: sum.rx_bytes.saturating_add(network.total_received()),
            tx_bytes: sum.tx_bytes.saturating_add(network.total_transmitted()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_of_this_machine_is_plausible() {
        let mut sampler = HostSampler::new(std::env::temp_dir());
        sampler.handle_sample(Duration::from_secs(1));
        let sample = sampler.handle_sample(Duration::from_secs(2));
        assert!(sample.memory_used_bytes > 0);
        assert!(sample.memory_used_bytes <= sample.memory_total_bytes);
        assert!(sample.disk_used_bytes <= sample.disk_total_bytes && sample.disk_total_bytes > 0);
        assert!(sample.cpu_busy_permille <= 1000);
        assert_eq!(sampler.latest(), sample);
    }
}
