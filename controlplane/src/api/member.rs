//! `/members`.

use axum::extract::{Path, State};
use novacron_controlplane_core::command::Command;
use novacron_protocol::MemberId;
use novacron_protocol::api::Page;
use novacron_protocol::api::member::MemberView;

use super::access::Caller;
use super::answer::{Answer, Reply};
use super::input::Params;
use super::page::PageRequest;
use super::{Shared, find, view};
use crate::cluster::Consistency;

/// List the members.
#[utoipa::path(get, path = "/api/v1/members", tag = "members",
    responses((status = 200, description = "A page of members", body = Page<MemberView>)))]
pub(crate) async fn list(State(api): State<Shared>, mut params: Params) -> Reply {
    let consistency = params.consistency()?;
    let page: PageRequest<MemberId> = PageRequest::take(&mut params, "members".to_owned())?;
    params.finish()?;
    let read = api.read(consistency).await?;
    let leader = api.cluster.status().leader;
    let members = read.state.members().filter(|member| page.after.is_none_or(|at| member.id > at));
    let page = page.cut(members, |member| member.id, |member| view::member(member, leader));
    Ok(Answer::ok(&page).read_from(&read))
}

/// Show a member.
#[utoipa::path(get, path = "/api/v1/members/{member}", tag = "members",
    params(("member" = String, Path, description = "Id or name")),
    responses((status = 200, description = "The member", body = MemberView)))]
pub(crate) async fn show(
    State(api): State<Shared>,
    Path(member): Path<String>,
    mut params: Params,
) -> Reply {
    let consistency = params.consistency()?;
    params.finish()?;
    let read = api.read(consistency).await?;
    let member = find::member(&read.state, &member)?;
    Ok(Answer::ok(&view::member(member, api.cluster.status().leader)).read_from(&read))
}

/// Take a member out of the cluster.
///
/// The answer comes when it is decided; the leader then takes it out of the Raft group.
#[utoipa::path(delete, path = "/api/v1/members/{member}", tag = "members",
    params(("member" = String, Path, description = "Id or name")),
    responses((status = 204, description = "It is leaving")))]
pub(crate) async fn remove(
    State(api): State<Shared>,
    caller: Caller,
    Path(member): Path<String>,
    params: Params,
) -> Reply {
    params.finish()?;
    let read = api.read(Consistency::Linearizable).await?;
    let member = find::member(&read.state, &member)?.id;
    let change = api.change(&caller, Command::RemoveMember { member }).await?;
    Ok(Answer::empty().after(&change.state))
}
