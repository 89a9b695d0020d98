//! `/vms`: list, create, act, explain, console.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use novacron_controlplane_core::command::{Command, Envelope, NewVm, StartPolicy, VmAction};
use novacron_controlplane_core::vm::Vm;
use novacron_controlplane_core::{Outcome, State as Replicated};
use novacron_protocol::api::vm::{
    CreateVm, Explanation, StartChoice, StopVm, VmAccepted, VmDryRun, VmStatus, VmView,
};
use novacron_protocol::api::{Page, ProblemCode};
use novacron_protocol::limits::{CONSOLE_TAIL_BYTES_MAX, PAGE_LIMIT_DEFAULT, PAGE_LIMIT_MAX};
use novacron_protocol::wire::Class;
use novacron_protocol::wire::call::{CallRefusal, Request, Response};
use novacron_protocol::wire::hello::Peer;
use novacron_protocol::{HostId, Labels, OperationId, VmId};

use super::access::Caller;
use super::answer::{Answer, Reply};
use super::explanation;
use super::failure::Failure;
use super::input::{IfMatch, Json, OptionalJson, Params, bad_param};
use super::page::PageRequest;
use super::{Change, Shared, find, random, view};
use crate::cluster::Consistency;

/// What a list of VMs is narrowed to.
#[derive(Debug)]
struct Filter {
    host: Option<String>,
    state: Option<VmStatus>,
    labels: Labels,
    name_prefix: String,
}

impl Filter {
    fn take(params: &mut Params) -> Result<Self, Failure> {
        let state = params.text("state")?;
        let state = state.map(|text| {
            VmStatus::ALL.into_iter().find(|status| status.as_str() == text).ok_or_else(|| {
                let names = VmStatus::ALL.map(VmStatus::as_str).join(", ");
                bad_param("state", format!("must be one of {names}"))
            })
        });
        let labels = params.all("label");
        let labels = Labels::from_pairs(labels.iter().map(String::as_str))
            .map_err(|error| bad_param("label", error))?;
        Ok(Self {
            host: params.text("host")?,
            state: state.transpose()?,
            labels,
            name_prefix: params.text("name_prefix")?.unwrap_or_default(),
        })
    }

    /// The list's name in page tokens.
    fn list(&self) -> String {
        format!("vms {:?} {:?} {} {:?}", self.host, self.state, self.labels, self.name_prefix)
    }

    fn takes(&self, state: &Replicated, host: Option<HostId>, vm: &Vm) -> bool {
        (host.is_none() || vm.host == host)
            && vm.name.as_str().starts_with(&self.name_prefix)
            && self.labels.first_missing_in(&vm.spec.labels).is_none()
            && self.state.is_none_or(|wanted| view::vm_status(vm, &state.observed(vm)) == wanted)
    }
}

/// List the VMs.
#[utoipa::path(get, path = "/api/v1/vms", tag = "vms",
    params(
        ("host" = Option<String>, Query, description = "Only VMs placed on this host: id or name"),
        ("state" = Option<VmStatus>, Query, description = "Only VMs in this state"),
        ("label" = Option<Vec<String>>, Query, explode = true,
            description = "Only VMs with this label, `key=value`; may come more than once"),
        ("name_prefix" = Option<String>, Query, description = "Only VMs whose names begin so"),
    ),
    responses((status = 200, description = "A page of VMs", body = Page<VmView>)))]
pub(crate) async fn list(State(api): State<Shared>, mut params: Params) -> Reply {
    let consistency = params.consistency()?;
    let filter = Filter::take(&mut params)?;
    let page: PageRequest<VmId> = PageRequest::take(&mut params, filter.list())?;
    params.finish()?;
    let read = api.read(consistency).await?;
    let state = &read.state;
    let host = match &filter.host {
        Some(text) => Some(find::host(state, text)?.id),
        None => None,
    };
    let vms = state.vms_after(page.after).filter(|vm| filter.takes(state, host, vm));
    let page = page.cut(vms, |vm| vm.id, |vm| view::vm(state, vm));
    Ok(Answer::ok(&page).read_from(&read))
}

/// Create a VM.
///
/// The operation ends when the VM is what it should be on some host. With `dry_run=true` nothing
/// changes: the answer says where the VM would go now, and why.
#[utoipa::path(post, path = "/api/v1/vms", tag = "vms",
    params(("dry_run" = Option<bool>, Query, description = "Only say what would happen")),
    request_body = CreateVm,
    responses(
        (status = 202, description = "It is under way", body = VmAccepted),
        (status = 200, description = "What would happen", body = VmDryRun),
    ))]
pub(crate) async fn create(
    State(api): State<Shared>,
    caller: Caller,
    mut params: Params,
    Json(request): Json<CreateVm>,
) -> Reply {
    let dry_run = params.flag("dry_run")?;
    params.finish()?;
    check_spec(&request)?;
    let now = api.clock.timestamp();
    let command = Command::CreateVm(NewVm {
        id: VmId::from_uuid(random::uuid(now)),
        name: request.name,
        spec: request.spec,
        start: match request.start {
            StartChoice::Start => StartPolicy::Start,
            StartChoice::LeaveStopped => StartPolicy::LeaveStopped,
        },
        operation: OperationId::from_uuid(random::uuid(now)),
    });
    if dry_run {
        return rehearse(&api, &caller, command).await;
    }
    let change = api.change(&caller, command).await.map_err(|e| e.map_pointers(spec_pointer))?;
    accepted(&change)
}

/// Applies the command to a copy of the state, which is thrown away.
async fn rehearse(api: &Shared, caller: &Caller, command: Command) -> Reply {
    let read = api.read(Consistency::Linearizable).await?;
    let mut state = read.state.clone();
    let envelope = Envelope::from_actor(api.clock.timestamp(), caller.actor.clone(), command);
    let outcome = state.apply(state.applied().next(), &envelope);
    let outcome = outcome.map_err(|e| Failure::from(e).map_pointers(spec_pointer))?;
    let Outcome::Vm { vm, .. } = outcome else { return Err(unexpected(&outcome)) };
    let vm = state.vm(vm).ok_or_else(|| unexpected(&outcome))?;
    let explanation = explanation::explain(&state, vm, PAGE_LIMIT_DEFAULT as usize);
    let best = explanation.hosts.first().filter(|best| best.score.is_some());
    let answer = VmDryRun { host: best.map(|best| best.host.clone()), explanation };
    Ok(Answer::ok(&answer).read_from(&read))
}

/// Names every field that is out of bounds, not only the first.
fn check_spec(request: &CreateVm) -> Result<(), Failure> {
    let errors = request.spec.errors();
    let Some(first) = errors.first() else { return Ok(()) };
    let detail = format!("/spec/{}: {}", first.field, first.message);
    let failure = Failure::new(ProblemCode::InvalidRequest, detail);
    Err(errors.into_iter().fold(failure, |failure, error| {
        failure.on(format!("/spec/{}", error.field), error.message)
    }))
}

/// Where a field of the command is in the request.
fn spec_pointer(field: &str) -> String {
    if field == "/name" { field.to_owned() } else { format!("/spec{field}") }
}

/// Show a VM.
#[utoipa::path(get, path = "/api/v1/vms/{vm}", tag = "vms",
    params(("vm" = String, Path, description = "Id or name")),
    responses((status = 200, description = "The VM", body = VmView)))]
pub(crate) async fn show(
    State(api): State<Shared>,
    Path(vm): Path<String>,
    mut params: Params,
) -> Reply {
    let consistency = params.consistency()?;
    params.finish()?;
    let read = api.read(consistency).await?;
    let vm = find::vm(&read.state, &vm)?;
    Ok(Answer::ok(&view::vm(&read.state, vm)).etag(vm.changed).read_from(&read))
}

/// Delete a VM, its disks and its domain.
#[utoipa::path(delete, path = "/api/v1/vms/{vm}", tag = "vms",
    params(("vm" = String, Path, description = "Id or name")),
    responses((status = 202, description = "It is under way", body = VmAccepted)))]
pub(crate) async fn delete(
    State(api): State<Shared>,
    caller: Caller,
    Path(vm): Path<String>,
    params: Params,
    expected: IfMatch,
) -> Reply {
    params.finish()?;
    act(&api, &caller, &vm, VmAction::Delete, expected).await
}

/// Start a VM.
#[utoipa::path(post, path = "/api/v1/vms/{vm}/start", tag = "vms",
    params(("vm" = String, Path, description = "Id or name")),
    responses((status = 202, description = "It is under way", body = VmAccepted)))]
pub(crate) async fn start(
    State(api): State<Shared>,
    caller: Caller,
    Path(vm): Path<String>,
    params: Params,
    expected: IfMatch,
) -> Reply {
    params.finish()?;
    act(&api, &caller, &vm, VmAction::Start, expected).await
}

/// Stop a VM.
#[utoipa::path(post, path = "/api/v1/vms/{vm}/stop", tag = "vms",
    params(("vm" = String, Path, description = "Id or name")),
    request_body(content = Option<StopVm>),
    responses((status = 202, description = "It is under way", body = VmAccepted)))]
pub(crate) async fn stop(
    State(api): State<Shared>,
    caller: Caller,
    Path(vm): Path<String>,
    params: Params,
    expected: IfMatch,
    OptionalJson(request): OptionalJson<StopVm>,
) -> Reply {
    params.finish()?;
    act(&api, &caller, &vm, VmAction::Stop(request.mode), expected).await
}

/// Restart a running VM.
#[utoipa::path(post, path = "/api/v1/vms/{vm}/restart", tag = "vms",
    params(("vm" = String, Path, description = "Id or name")),
    request_body(content = Option<StopVm>),
    responses((status = 202, description = "It is under way", body = VmAccepted)))]
pub(crate) async fn restart(
    State(api): State<Shared>,
    caller: Caller,
    Path(vm): Path<String>,
    params: Params,
    expected: IfMatch,
    OptionalJson(request): OptionalJson<StopVm>,
) -> Reply {
    params.finish()?;
    act(&api, &caller, &vm, VmAction::Restart(request.mode), expected).await
}

async fn act(
    api: &Shared,
    caller: &Caller,
    vm: &str,
    action: VmAction,
    expected: IfMatch,
) -> Reply {
    let vm = match vm.parse() {
        Ok(id) => id,
        Err(_) => find::vm(&api.read(Consistency::Linearizable).await?.state, vm)?.id,
    };
    let operation = OperationId::from_uuid(random::uuid(api.clock.timestamp()));
    let command = Command::SetTarget { vm, action, operation, expected: expected.0 };
    accepted(&api.change(caller, command).await?)
}

fn accepted(change: &Change) -> Reply {
    let Outcome::Vm { vm, operation } = change.outcome else {
        return Err(unexpected(&change.outcome));
    };
    let vm = change.state.vm(vm);
    let open = change.state.operation(operation);
    // Gone only when 10,000 others have ended since a request that is now repeated.
    let open = open.ok_or_else(|| find::missing("operation", operation))?;
    let body = VmAccepted {
        operation: view::operation(&change.state, open),
        vm: vm.map(|vm| view::vm(&change.state, vm)),
    };
    let answer = Answer::json(StatusCode::ACCEPTED, &body).after(&change.state).follow(operation);
    Ok(match vm {
        Some(vm) => answer.etag(vm.changed),
        None => answer,
    })
}

/// Explain why a VM is where it is, or why it waits.
#[utoipa::path(get, path = "/api/v1/vms/{vm}/explain", tag = "vms",
    params(
        ("vm" = String, Path, description = "Id or name"),
        ("limit" = Option<u32>, Query, description = "Most hosts to speak of, 1 to 1000"),
    ),
    responses((status = 200, description = "Reasons for and against", body = Explanation)))]
pub(crate) async fn explain(
    State(api): State<Shared>,
    Path(vm): Path<String>,
    mut params: Params,
) -> Reply {
    let consistency = params.consistency()?;
    let limit = params.number("limit", 1..=u64::from(PAGE_LIMIT_MAX))?;
    params.finish()?;
    let read = api.read(consistency).await?;
    let vm = find::vm(&read.state, &vm)?;
    let limit = limit.and_then(|limit| usize::try_from(limit).ok());
    let limit = limit.unwrap_or(PAGE_LIMIT_DEFAULT as usize);
    Ok(Answer::ok(&explanation::explain(&read.state, vm, limit)).read_from(&read))
}

/// Show the newest part of a VM's serial console.
#[utoipa::path(get, path = "/api/v1/vms/{vm}/console", tag = "vms",
    params(
        ("vm" = String, Path, description = "Id or name"),
        ("tail_bytes" = Option<u32>, Query, description = "Most bytes, up to 262144, the default"),
    ),
    responses((status = 200, description = "The bytes as the guest wrote them",
        body = Vec<u8>, content_type = "application/octet-stream")))]
pub(crate) async fn console(
    State(api): State<Shared>,
    Path(vm): Path<String>,
    mut params: Params,
) -> Reply {
    let consistency = params.consistency()?;
    let tail = params.number("tail_bytes", 1..=CONSOLE_TAIL_BYTES_MAX as u64)?;
    params.finish()?;
    let read = api.read(consistency).await?;
    let vm = find::vm(&read.state, &vm)?;
    let host = vm.host.ok_or_else(|| {
        let detail = format!("VM {} is not placed on a host yet", vm.name);
        Failure::new(ProblemCode::Conflict, detail).hint("see why with `vm explain`")
    })?;
    let tail = tail.and_then(|tail| u32::try_from(tail).ok());
    let bytes_max = tail.unwrap_or(CONSOLE_TAIL_BYTES_MAX as u32);
    let request = Request::ConsoleTail { vm: vm.id, bytes_max };
    let (response, _) = api.peers.call(Peer::Host(host), Class::Console, &request).await?;
    let bytes = console_bytes(response)?;
    Ok(Answer::bytes(StatusCode::OK, "application/octet-stream", bytes).read_from(&read))
}

fn console_bytes(response: Response) -> Result<Vec<u8>, Failure> {
    match response {
        Response::Console(bytes) => Ok(bytes),
        Response::Refused(CallRefusal::NotFound(detail)) => {
            Err(Failure::new(ProblemCode::NotFound, detail))
        }
        Response::Refused(refusal @ CallRefusal::Unavailable(_)) => {
            Err(Failure::new(ProblemCode::Unavailable, format!("the host: {refusal}")))
        }
        Response::Refused(refusal) => {
            Err(Failure::new(ProblemCode::BadAnswer, format!("the host: {refusal}")))
        }
        _ => Err(Failure::new(ProblemCode::BadAnswer, "the host's answer makes no sense")),
    }
}

/// An outcome that the command cannot have.
pub(crate) fn unexpected(outcome: &Outcome) -> Failure {
    Failure::internal(format!("unexpected outcome {outcome:?}"))
}
