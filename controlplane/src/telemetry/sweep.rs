//! Forgets the samples of hosts that are gone or silent.

use std::time::Duration;

use super::MetricStore;
use crate::cluster::Cluster;

/// How often. What it frees is small against an hour of samples.
const INTERVAL: Duration = Duration::from_secs(60);

/// Keeps the store to hosts that the state knows. Runs until it is dropped.
pub async fn sweep(metrics: MetricStore, cluster: Cluster) {
    let mut ticks = tokio::time::interval(INTERVAL);
    loop {
        ticks.tick().await;
        let state = cluster.state();
        metrics.retain(|host| state.host(host).is_some());
    }
}
