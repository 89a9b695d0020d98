//! `/hosts`.

use axum::extract::{Path, State};
use novacron_controlplane_core::State as Replicated;
use novacron_controlplane_core::command::Command;
use novacron_protocol::HostId;
use novacron_protocol::api::host::{CordonHost, HostView};
use novacron_protocol::api::{Page, ProblemCode};
use novacron_protocol::limits::TEXT_LEN_MAX;

use super::access::Caller;
use super::answer::{Answer, Reply};
use super::failure::Failure;
use super::input::{Json, Params};
use super::page::PageRequest;
use super::{Change, Shared, find, view};
use crate::cluster::Consistency;

/// List the hosts.
#[utoipa::path(get, path = "/api/v1/hosts", tag = "hosts",
    responses((status = 200, description = "A page of hosts", body = Page<HostView>)))]
pub(crate) async fn list(State(api): State<Shared>, mut params: Params) -> Reply {
    let consistency = params.consistency()?;
    let page: PageRequest<HostId> = PageRequest::take(&mut params, "hosts".to_owned())?;
    params.finish()?;
    let read = api.read(consistency).await?;
    let hosts = read.state.hosts().filter(|host| page.after.is_none_or(|after| host.id > after));
    let page = page.cut(hosts, |host| host.id, view::host);
    Ok(Answer::ok(&page).read_from(&read))
}

/// Show a host.
#[utoipa::path(get, path = "/api/v1/hosts/{host}", tag = "hosts",
    params(("host" = String, Path, description = "Id or name")),
    responses((status = 200, description = "The host", body = HostView)))]
pub(crate) async fn show(
    State(api): State<Shared>,
    Path(host): Path<String>,
    mut params: Params,
) -> Reply {
    let consistency = params.consistency()?;
    params.finish()?;
    let read = api.read(consistency).await?;
    let host = find::host(&read.state, &host)?;
    Ok(Answer::ok(&view::host(host)).etag(host.changed).read_from(&read))
}

/// Place nothing new on a host.
#[utoipa::path(post, path = "/api/v1/hosts/{host}/cordon", tag = "hosts",
    params(("host" = String, Path, description = "Id or name")),
    request_body = CordonHost,
    responses((status = 200, description = "The host", body = HostView)))]
pub(crate) async fn cordon(
    State(api): State<Shared>,
    caller: Caller,
    Path(host): Path<String>,
    params: Params,
    Json(request): Json<CordonHost>,
) -> Reply {
    params.finish()?;
    check_reason(&request.reason)?;
    let host = find_id(&api, &host).await?;
    let command = Command::Cordon { host, reason: request.reason };
    answer(&api.change(&caller, command).await?, host)
}

/// Let a host take VMs again.
#[utoipa::path(post, path = "/api/v1/hosts/{host}/uncordon", tag = "hosts",
    params(("host" = String, Path, description = "Id or name")),
    responses((status = 200, description = "The host", body = HostView)))]
pub(crate) async fn uncordon(
    State(api): State<Shared>,
    caller: Caller,
    Path(host): Path<String>,
    params: Params,
) -> Reply {
    params.finish()?;
    let host = find_id(&api, &host).await?;
    answer(&api.change(&caller, Command::Uncordon { host }).await?, host)
}

/// Remove a host that has no VMs and revoke its identity.
#[utoipa::path(delete, path = "/api/v1/hosts/{host}", tag = "hosts",
    params(("host" = String, Path, description = "Id or name")),
    responses((status = 204, description = "It is removed")))]
pub(crate) async fn remove(
    State(api): State<Shared>,
    caller: Caller,
    Path(host): Path<String>,
    params: Params,
) -> Reply {
    params.finish()?;
    let host = find_id(&api, &host).await?;
    let change = api.change(&caller, Command::RemoveHost { host }).await?;
    Ok(Answer::empty().after(&change.state))
}

/// An id needs no look: whether there is such a host is decided where the change is made.
async fn find_id(api: &Shared, host: &str) -> Result<HostId, Failure> {
    if let Ok(id) = host.parse() {
        return Ok(id);
    }
    let read = api.read(Consistency::Linearizable).await?;
    find::host(&read.state, host).map(|host| host.id)
}

fn answer(change: &Change, host: HostId) -> Reply {
    let state: &Replicated = &change.state;
    let host = state.host(host).ok_or_else(|| find::missing("host", host))?;
    Ok(Answer::ok(&view::host(host)).etag(host.changed).after(state))
}

fn check_reason(reason: &str) -> Result<(), Failure> {
    let shown = reason.chars().all(|c| !c.is_control());
    if (1..=TEXT_LEN_MAX).contains(&reason.len()) && shown {
        return Ok(());
    }
    let message = format!("must be 1 to {TEXT_LEN_MAX} bytes without control characters");
    let failure = Failure::new(ProblemCode::InvalidRequest, format!("/reason: {message}"));
    Err(failure.on("/reason", message))
}
