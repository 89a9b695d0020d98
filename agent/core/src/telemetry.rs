//! Counters into rates: what a VM did between two samples.

use std::collections::BTreeMap;
use std::time::Duration;

use novacron_protocol::VmId;
use novacron_protocol::wire::telemetry::VmSample;

/// What the hypervisor has counted of a VM since it started, and what it uses now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct VmCounters {
    pub cpu_time_ns: u64,
    pub memory_bytes: u64,
    pub disk_read_bytes: u64,
    pub disk_write_bytes: u64,
    pub net_rx_bytes: u64,
    pub net_tx_bytes: u64,
}

/// Keeps the last counters of each VM, as many as the last sample had.
#[derive(Debug, Default)]
pub struct VmRates {
    last: Option<(Duration, BTreeMap<VmId, VmCounters>)>,
}

impl VmRates {
    /// Rates since the last call, sorted by id. A VM that was not in it, or that was started anew
    /// in between, begins at zero.
    pub fn handle_counters(
        &mut self,
        now: Duration,
        counters: BTreeMap<VmId, VmCounters>,
    ) -> Vec<VmSample> {
        let (then, before) = self.last.take().unwrap_or_default();
        let span = now.saturating_sub(then);
        let sample = |(vm, next): (&VmId, &VmCounters)| {
            sample(*vm, before.get(vm).unwrap_or(next), next, span)
        };
        let samples = counters.iter().map(sample).collect();
        self.last = Some((now, counters));
        samples
    }
}

fn sample(vm: VmId, before: &VmCounters, next: &VmCounters, span: Duration) -> VmSample {
    let cpu_ns = next.cpu_time_ns.saturating_sub(before.cpu_time_ns);
    let cpu_milli = u128::from(cpu_ns) * 1000 / span.as_nanos().max(1);
    let rate = |counter: fn(&VmCounters) -> u64| rate(counter(before), counter(next), span);
    VmSample {
        vm,
        cpu_milli: u32::try_from(cpu_milli).unwrap_or(u32::MAX),
        memory_bytes: next.memory_bytes,
        disk_read_bytes_per_s: rate(|counters| counters.disk_read_bytes),
        disk_write_bytes_per_s: rate(|counters| counters.disk_write_bytes),
        net_rx_bytes_per_s: rate(|counters| counters.net_rx_bytes),
        net_tx_bytes_per_s: rate(|counters| counters.net_tx_bytes),
    }
}

/// Growth of a counter per second; a counter that shrank was reset and gives 0.
pub fn rate(before: u64, next: u64, span: Duration) -> u64 {
    let grown = u128::from(next.saturating_sub(before)) * 1_000_000_000;
    u64::try_from(grown / span.as_nanos().max(1)).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vm::testing::vm_id;

    #[test]
    fn counters_become_rates_over_the_time_between_samples() {
        let mut rates = VmRates::default();
        let first = VmCounters { cpu_time_ns: 5_000_000_000, ..Default::default() };
        let second = VmCounters {
            cpu_time_ns: 9_000_000_000,
            memory_bytes: 7,
            disk_read_bytes: 2000,
            net_tx_bytes: 10,
            ..first
        };
        let vm = vm_id(1);
        let none = rates.handle_counters(Duration::from_secs(1), [(vm, first)].into());
        assert_eq!((none[0].cpu_milli, none[0].disk_read_bytes_per_s), (0, 0));
        let some = rates.handle_counters(Duration::from_secs(3), [(vm, second)].into())[0];
        assert_eq!((some.cpu_milli, some.memory_bytes), (2000, 7));
        assert_eq!((some.disk_read_bytes_per_s, some.net_tx_bytes_per_s), (1000, 5));
    }

    #[test]
    fn a_vm_that_started_anew_has_no_huge_or_negative_rate() {
        let mut rates = VmRates::default();
        let vm = vm_id(1);
        let high = VmCounters { cpu_time_ns: u64::MAX, net_rx_bytes: 9, ..Default::default() };
        rates.handle_counters(Duration::from_secs(1), [(vm, high)].into());
        let low =
            rates.handle_counters(Duration::from_secs(1), [(vm, VmCounters::default())].into());
        assert_eq!((low[0].cpu_milli, low[0].net_rx_bytes_per_s), (0, 0));
    }
}
