//! `/hosts/{host}/metrics` and `/vms/{vm}/metrics`: the last hour, gathered from all members.
//!
//! An agent sends its samples to one member at a time, so that each member may hold a part.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::extract::{Path, State};
use futures_util::future::join_all;
use novacron_protocol::api::ProblemCode;
use novacron_protocol::api::metrics::{HostMetricsView, HostPoint, VmMetricsView, VmPoint};
use novacron_protocol::wire::Class;
use novacron_protocol::wire::call::{Request, Response};
use novacron_protocol::wire::hello::Peer;
use novacron_protocol::wire::telemetry::{Batch, VmSample};
use novacron_protocol::{HostId, Millis, Timestamp, VmId};

use super::answer::{Answer, Reply};
use super::failure::Failure;
use super::input::Params;
use super::{Api, Shared, find, view};
use crate::telemetry::KEPT;

/// How long a member may take to say what it holds; what it holds is left out after that.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(2);

/// Show the last hour of a host's samples.
#[utoipa::path(get, path = "/api/v1/hosts/{host}/metrics", tag = "hosts", operation_id = "metrics",
    params(
        ("host" = String, Path, description = "Id or name"),
        ("since_ms" = Option<u64>, Query, description = "Only the newest so many milliseconds"),
    ),
    responses((status = 200, description = "Samples, oldest first", body = HostMetricsView)))]
pub(crate) async fn of_host(
    State(api): State<Shared>,
    Path(host): Path<String>,
    mut params: Params,
) -> Reply {
    let consistency = params.consistency()?;
    let since = since(&api, &mut params)?;
    params.finish()?;
    let read = api.read(consistency).await?;
    let host = find::host(&read.state, &host)?;
    let batches = api.gather(host.id, since).await;
    let point = |batch: &Batch| HostPoint { at: batch.at.into(), sample: batch.host };
    let samples = batches.iter().map(point).collect();
    let answer = HostMetricsView { host: view::host_ref(host), samples };
    Ok(Answer::ok(&answer).read_from(&read))
}

/// Show the last hour of a VM's samples.
#[utoipa::path(get, path = "/api/v1/vms/{vm}/metrics", tag = "vms", operation_id = "metrics",
    params(
        ("vm" = String, Path, description = "Id or name"),
        ("since_ms" = Option<u64>, Query, description = "Only the newest so many milliseconds"),
    ),
    responses((status = 200, description = "Samples, oldest first", body = VmMetricsView)))]
pub(crate) async fn of_vm(
    State(api): State<Shared>,
    Path(vm): Path<String>,
    mut params: Params,
) -> Reply {
    let consistency = params.consistency()?;
    let since = since(&api, &mut params)?;
    params.finish()?;
    let read = api.read(consistency).await?;
    let vm = find::vm(&read.state, &vm)?;
    let host = vm.host.ok_or_else(|| {
        let detail = format!("VM {} is not placed on a host yet", vm.name);
        Failure::new(ProblemCode::Conflict, detail).hint("see why with `vm explain`")
    })?;
    let batches = api.gather(host, since).await;
    let samples = batches.iter().filter_map(|batch| point_of(vm.id, batch)).collect();
    let answer = VmMetricsView { vm: view::vm_ref(vm), samples };
    Ok(Answer::ok(&answer).read_from(&read))
}

fn since(api: &Api, params: &mut Params) -> Result<Timestamp, Failure> {
    let span = params.number("since_ms", 1..=KEPT.0)?.unwrap_or(KEPT.0);
    let now = api.clock.timestamp();
    Ok(Timestamp((now - Timestamp(0)).saturating_sub(Millis(span)).0))
}

fn point_of(vm: VmId, batch: &Batch) -> Option<VmPoint> {
    let at = batch.vms.binary_search_by_key(&vm, |sample| sample.vm).ok()?;
    let VmSample {
        vm: _,
        cpu_milli,
        memory_bytes,
        disk_read_bytes_per_s,
        disk_write_bytes_per_s,
        net_rx_bytes_per_s,
        net_tx_bytes_per_s,
    } = batch.vms[at];
    Some(VmPoint {
        at: batch.at.into(),
        cpu_milli,
        memory_bytes,
        disk_read_bytes_per_s,
        disk_write_bytes_per_s,
        net_rx_bytes_per_s,
        net_tx_bytes_per_s,
    })
}

impl Api {
    /// What this member and all others that answer hold of a host, oldest first, each moment once.
    async fn gather(&self, host: HostId, since: Timestamp) -> Vec<Batch> {
        let request = &Request::Metrics { host, since };
        let members = self.peers.sessions().into_iter().map(|session| session.peer());
        let members = members.filter(|peer| matches!(peer, Peer::Member(_)));
        let answers = join_all(members.map(|member| async move {
            let call = self.peers.call(member, Class::Telemetry, request);
            match tokio::time::timeout(ANSWER_TIMEOUT, call).await {
                Ok(Ok((Response::Metrics(held), _))) => held.unwrap_or_default().batches,
                _ => {
                    tracing::debug!("{member} did not say what metrics it holds");
                    Vec::new()
                }
            }
        }))
        .await;
        let own = self.metrics.range(host, since).unwrap_or_default().batches;
        merge(answers.into_iter().chain([own]))
    }
}

fn merge(held: impl Iterator<Item = Vec<Batch>>) -> Vec<Batch> {
    let by_time: BTreeMap<Timestamp, Batch> =
        held.flatten().map(|batch| (batch.at, batch)).collect();
    by_time.into_values().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use novacron_protocol::wire::telemetry::HostSample;

    #[test]
    fn parts_held_by_several_members_become_one_series() {
        let batch = |at| Batch { at: Timestamp(at), host: HostSample::default(), vms: Vec::new() };
        let merged = merge([vec![batch(1), batch(3)], vec![batch(2), batch(3)]].into_iter());
        let times: Vec<u64> = merged.iter().map(|batch| batch.at.0).collect();
        assert_eq!(times, [1, 2, 3]);
    }
}
