//! The last hour of samples, in memory.
//!
//! Samples are never in Raft: the agent's own ring is the replica, and a member that restarts
//! begins with what comes. The newest batches of a host are kept as they came; older ones in
//! blocks, column by column as differences ([`block`]), at some 10 to 20 bytes per VM and batch.
//! 100 hosts of 10 VMs each at one batch every 10 s are 360,000 VM samples an hour: some 6 MiB.

mod block;
mod series;
mod sweep;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use novacron_protocol::limits::VMS_PER_HOST_MAX;
use novacron_protocol::wire::telemetry::{Batch, HostMetrics};
use novacron_protocol::{HostId, Millis, Timestamp};

use crate::clock::Clock;
use series::Series;

pub use sweep::sweep;

/// How long samples are kept.
pub const KEPT: Millis = Millis(3_600_000);
/// Memory that samples may take on this member, as counted by [`MetricStore::bytes`]. At the bound
/// a host that sends more loses its own oldest samples: 10,000 VMs at 10 s fit.
const BYTES_MAX: usize = 128 << 20;
/// VM samples in one answer; with more, every second, third, ... batch is left out. Each takes at
/// most 66 bytes on the wire, so that an answer fits a frame of 4 MiB.
const ANSWER_SAMPLES_MAX: usize = 40_000;
/// How far ahead of ours an agent's clock may be; a batch from further ahead counts as of now.
const CLOCK_AHEAD_MAX: Millis = Millis(60_000);

/// A cheap handle to this member's samples.
#[derive(Debug, Clone)]
pub struct MetricStore {
    clock: Clock,
    inner: Arc<Mutex<Inner>>,
}

#[derive(Debug, Default)]
struct Inner {
    hosts: BTreeMap<HostId, Series>,
    bytes: usize,
}

impl Default for MetricStore {
    fn default() -> Self {
        Self::new(Clock::start())
    }
}

impl MetricStore {
    pub fn new(clock: Clock) -> Self {
        Self { clock, inner: Arc::default() }
    }

    /// Keeps one batch. A repeat, and one older than what is kept, changes nothing.
    pub fn push(&self, host: HostId, batch: Batch) {
        let batch = tidy(batch, self.clock.timestamp());
        let oldest = self.oldest();
        self.locked().push(host, batch, oldest);
    }

    /// What is held of `host` from `since` on, oldest first, thinned so that it fits a frame; `None`
    /// when there never was any.
    pub fn range(&self, host: HostId, since: Timestamp) -> Option<HostMetrics> {
        let since = since.max(self.oldest());
        let inner = self.locked();
        let series = inner.hosts.get(&host)?;
        Some(HostMetrics { batches: series.range(since, ANSWER_SAMPLES_MAX) })
    }

    /// Drops hosts that are not to be kept, and samples that are too old.
    pub fn retain(&self, keep: impl Fn(HostId) -> bool) {
        let oldest = self.oldest();
        let mut inner = self.locked();
        inner.hosts.retain(|host, series| {
            series.forget_before(oldest);
            keep(*host) && !series.is_empty()
        });
        inner.bytes = inner.hosts.values().map(Series::bytes).sum();
    }

    /// Memory that the samples take, as far as it can be counted.
    pub fn bytes(&self) -> usize {
        self.locked().bytes
    }

    fn oldest(&self) -> Timestamp {
        Timestamp(self.clock.timestamp().0.saturating_sub(KEPT.0))
    }

    fn locked(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn push(&mut self, host: HostId, batch: Batch, oldest: Timestamp) {
        let series = self.hosts.entry(host).or_default();
        let before = series.bytes();
        series.forget_before(oldest);
        series.push(batch);
        while self.bytes - before + series.bytes() > BYTES_MAX && series.forget_oldest() {}
        self.bytes = self.bytes - before + series.bytes();
    }
}

/// Makes a batch from outside one that fits: VMs in order, each once, no more than a host may
/// have, and not of the future.
fn tidy(mut batch: Batch, now: Timestamp) -> Batch {
    if batch.at > now + CLOCK_AHEAD_MAX {
        batch.at = now;
    }
    batch.vms.sort_by_key(|sample| sample.vm);
    batch.vms.dedup_by_key(|sample| sample.vm);
    batch.vms.truncate(VMS_PER_HOST_MAX);
    batch.vms.shrink_to_fit();
    batch
}

#[cfg(test)]
mod tests;
