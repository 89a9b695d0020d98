//! `/cluster`, and health for load balancers and supervisors.

use axum::extract::State;
use novacron_controlplane_core::State as Replicated;
use novacron_controlplane_core::member::MemberRole;
use novacron_protocol::api::ProblemCode;
use novacron_protocol::api::cluster::{ClusterCounts, ClusterView, Health};
use novacron_protocol::api::vm::VmStatus;
use novacron_protocol::host::Connectivity;

use super::answer::{Answer, Reply};
use super::failure::Failure;
use super::input::Params;
use super::server::Stopping;
use super::{Shared, find, view};

/// Show the cluster as this member sees it.
#[utoipa::path(get, path = "/api/v1/cluster", tag = "cluster",
    responses((status = 200, description = "The cluster", body = ClusterView)))]
pub(crate) async fn show(State(api): State<Shared>, mut params: Params) -> Reply {
    let consistency = params.consistency()?;
    params.finish()?;
    let read = api.read(consistency).await?;
    let (state, status) = (&read.state, api.cluster.status());
    let cluster = state.cluster().ok_or_else(|| not_ready("the cluster is not initialised"))?;
    let this = state.member(status.member);
    let view = ClusterView {
        id: cluster.id,
        name: cluster.name.clone(),
        created_at: cluster.created_at.into(),
        leader: status.leader.and_then(|id| state.member(id)).map(view::member_ref),
        term: status.term,
        member: view::member_ref(this.ok_or_else(|| find::missing("member", status.member))?),
        committed: status.committed,
        applied: state.applied(),
        counts: counts(state),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    };
    Ok(Answer::ok(&view).read_from(&read))
}

fn counts(state: &Replicated) -> ClusterCounts {
    let running = |vm: &&_| view::vm_status(vm, &state.observed(vm)) == VmStatus::Running;
    let connected = state.hosts().filter(|host| host.connectivity == Connectivity::Connected);
    ClusterCounts {
        members: count(state.members()),
        voters: count(state.members().filter(|member| member.role == MemberRole::Voter)),
        hosts: count(state.hosts()),
        hosts_connected: count(connected),
        vms: count(state.vms()),
        vms_running: count(state.vms().filter(running)),
        images: count(state.images()),
        operations_open: count(state.open_operations()),
    }
}

pub(crate) fn count<T>(items: impl Iterator<Item = T>) -> u32 {
    u32::try_from(items.count()).unwrap_or(u32::MAX)
}

/// Whether this process lives.
#[utoipa::path(get, path = "/health", tag = "about", security(()),
    responses((status = 200, description = "It lives", body = Health)))]
pub(crate) async fn health() -> Answer {
    Answer::ok(&Health { status: "ok".to_owned() })
}

/// Whether this member can serve: it knows a leader and the cluster's state.
#[utoipa::path(get, path = "/health/ready", tag = "about", security(()),
    responses((status = 200, description = "It can serve", body = Health)))]
pub(crate) async fn ready(State(api): State<Shared>, stopping: Stopping) -> Reply {
    if stopping.is_cancelled() {
        return Err(not_ready("this member is stopping"));
    }
    if api.cluster.status().leader.is_none() {
        return Err(not_ready("no leader is known"));
    }
    if api.cluster.state().cluster().is_none() {
        return Err(not_ready("this member has not caught up yet"));
    }
    Ok(Answer::ok(&Health { status: "ok".to_owned() }))
}

fn not_ready(detail: &str) -> Failure {
    Failure::new(ProblemCode::NotReady, detail)
}
