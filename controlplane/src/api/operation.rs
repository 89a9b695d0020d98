//! `/operations`: how long work is doing.

use std::time::Duration;

use axum::extract::{Path, State};
use novacron_controlplane_core::command::Command;
use novacron_controlplane_core::operation::Operation;
use novacron_protocol::OperationId;
use novacron_protocol::api::Page;
use novacron_protocol::api::operation::{OperationStatus, OperationView, WAIT_MS_MAX};

use super::access::Caller;
use super::answer::{Answer, Reply};
use super::failure::Failure;
use super::input::{Params, bad_param};
use super::page::PageRequest;
use super::server::Stopping;
use super::{Shared, find, view};

/// List operations, newest first.
#[utoipa::path(get, path = "/api/v1/operations", tag = "operations",
    params(("status" = Option<OperationStatus>, Query, description = "Only those that are so")),
    responses((status = 200, description = "A page of operations", body = Page<OperationView>)))]
pub(crate) async fn list(State(api): State<Shared>, mut params: Params) -> Reply {
    let consistency = params.consistency()?;
    let status = params.text("status")?;
    if let Some(status) = &status
        && !STATUSES.contains(&status.as_str())
    {
        let names = STATUSES.join(", ");
        return Err(bad_param("status", format!("must be one of {names}")));
    }
    let list = format!("operations {status:?}");
    let page: PageRequest<OperationId> = PageRequest::take(&mut params, list)?;
    params.finish()?;
    let read = api.read(consistency).await?;
    let wanted = |operation: &&Operation| {
        page.after.is_none_or(|after| operation.id < after)
            && status.as_ref().is_none_or(|status| operation.status.as_str() == status)
    };
    let operations = read.state.operations().rev().filter(wanted);
    let page = page.cut(
        operations,
        |operation| operation.id,
        |operation| view::operation(&read.state, operation),
    );
    Ok(Answer::ok(&page).read_from(&read))
}

const STATUSES: [&str; 4] = [
    OperationStatus::Running.as_str(),
    OperationStatus::Done.as_str(),
    OperationStatus::Failed.as_str(),
    OperationStatus::Cancelled.as_str(),
];

/// Show an operation, and wait for its end if asked.
///
/// With `wait_ms` the answer comes when the operation has ended, or after that time.
#[utoipa::path(get, path = "/api/v1/operations/{operation}", tag = "operations",
    params(
        ("operation" = OperationId, Path, description = "Id"),
        ("wait_ms" = Option<u64>, Query, description = "How long to wait for its end, up to 30000"),
    ),
    responses((status = 200, description = "The operation", body = OperationView)))]
pub(crate) async fn show(
    State(api): State<Shared>,
    Path(operation): Path<String>,
    mut params: Params,
    stopping: Stopping,
) -> Reply {
    let consistency = params.consistency()?;
    let wait = params.number("wait_ms", 0..=u64::MAX)?.unwrap_or(0).min(WAIT_MS_MAX);
    params.finish()?;
    let mut read = api.read(consistency).await?;
    let id = find::operation(&read.state, &operation)?.id;
    if wait > 0 {
        wait_for_end(&api, id, Duration::from_millis(wait), &stopping).await;
        read.state = api.cluster.state();
    }
    let operation = find::operation(&read.state, &operation)?;
    Ok(Answer::ok(&view::operation(&read.state, operation))
        .etag(operation.changed)
        .read_from(&read))
}

/// Waits until this member knows the operation's end, or that it is gone.
async fn wait_for_end(api: &Shared, id: OperationId, wait: Duration, stopping: &Stopping) {
    let mut states = api.cluster.watch();
    let ended = states.wait_for(|state| state.operation(id).is_none_or(|entry| !entry.is_open()));
    tokio::select! {
        _ = tokio::time::timeout(wait, ended) => {}
        () = stopping.cancelled() => {}
    }
}

/// Cancel the creation or start of a VM.
///
/// A VM whose creation is cancelled is deleted; one whose start is cancelled is stopped.
#[utoipa::path(post, path = "/api/v1/operations/{operation}/cancel", tag = "operations",
    params(("operation" = OperationId, Path, description = "Id")),
    responses((status = 200, description = "The operation", body = OperationView)))]
pub(crate) async fn cancel(
    State(api): State<Shared>,
    caller: Caller,
    Path(operation): Path<String>,
    params: Params,
) -> Reply {
    params.finish()?;
    let id: OperationId =
        operation.parse().map_err(|_| -> Failure { find::missing("operation", &operation) })?;
    let change = api.change(&caller, Command::CancelOperation { operation: id }).await?;
    let operation = find::operation(&change.state, &operation)?;
    Ok(Answer::ok(&view::operation(&change.state, operation)).after(&change.state))
}
