//! From the replicated state to what clients see of it.

use novacron_controlplane_core::State;
use novacron_controlplane_core::event::{Event, Object};
use novacron_controlplane_core::host::{Host, Usage};
use novacron_controlplane_core::image::Image;
use novacron_controlplane_core::member::{Member, MemberRole as CoreMemberRole};
use novacron_controlplane_core::operation::{
    Operation, OperationStatus as CoreOperationStatus, Subject,
};
use novacron_controlplane_core::token::Token;
use novacron_controlplane_core::user::{Role, User};
use novacron_controlplane_core::vm::{Observed, Vm};
use novacron_protocol::api::event::{EventView, ObjectView};
use novacron_protocol::api::host::{HostRef, HostView, Resources};
use novacron_protocol::api::image::ImageView;
use novacron_protocol::api::member::{MemberRef, MemberRole, MemberView};
use novacron_protocol::api::operation::{
    OperationRef, OperationStatus, OperationView, SubjectView,
};
use novacron_protocol::api::token::TokenView;
use novacron_protocol::api::user::{UserRole, UserView};
use novacron_protocol::api::vm::{ObservedView, VmRef, VmStatus, VmView};
use novacron_protocol::host::HostCapacity;
use novacron_protocol::vm::{Target, VmState};
use novacron_protocol::{MemberId, Timestamp, VcpuCount};

pub(crate) fn vm(state: &State, vm: &Vm) -> VmView {
    let host = vm.host.and_then(|id| state.host(id));
    let observed = vm.observed(host);
    let operation = state.open_operation_of(vm.id);
    VmView {
        id: vm.id,
        name: vm.name.clone(),
        spec: vm.spec.clone(),
        target: vm.target,
        host: host.map(host_ref),
        state: vm_status(vm, &observed),
        observed: observed_view(observed),
        operation: operation
            .map(|open| OperationRef { id: open.id, kind: open.kind.as_str().to_owned() }),
        created_at: vm.created_at.into(),
        etag: vm.changed,
    }
}

pub(crate) fn vm_ref(vm: &Vm) -> VmRef {
    VmRef { id: vm.id, name: vm.name.clone() }
}

/// A VM in one word. That nothing is heard of it goes before everything else.
pub(crate) fn vm_status(vm: &Vm, observed: &Observed) -> VmStatus {
    match (observed, vm.target, vm.host) {
        (Observed::Unknown { .. }, ..) => VmStatus::Unknown,
        (_, Target::Absent, _) => VmStatus::Deleting,
        (_, _, None) => VmStatus::Pending,
        (Observed::Absent, ..) => VmStatus::Placed,
        (Observed::Known { state, .. }, ..) => match state {
            VmState::Absent => VmStatus::Placed,
            VmState::Preparing => VmStatus::Preparing,
            VmState::Stopped => VmStatus::Stopped,
            VmState::Running => VmStatus::Running,
            VmState::Paused => VmStatus::Paused,
            VmState::Stopping => VmStatus::Stopping,
            VmState::Failed => VmStatus::Failed,
        },
    }
}

fn observed_view(observed: Observed) -> ObservedView {
    match observed {
        Observed::Absent => ObservedView::Absent,
        Observed::Known { state, at, reason } => ObservedView::Known {
            state,
            at: at.into(),
            reason: Some(reason).filter(|reason| !reason.is_empty()),
        },
        Observed::Unknown { since, last } => ObservedView::Unknown { since: since.into(), last },
    }
}

pub(crate) fn host(host: &Host) -> HostView {
    let inventory = host.inventory.as_ref();
    HostView {
        id: host.id,
        name: host.name.clone(),
        connectivity: host.connectivity,
        connectivity_since: host.connectivity_since.into(),
        cordon: host.cordon.clone(),
        agent_version: inventory.map(|inventory| inventory.agent_version.clone()),
        hypervisor: inventory.map(|inventory| inventory.hypervisor.clone()),
        capacity: inventory.map(|inventory| resources(inventory.capacity)),
        allocated: allocated(host.allocated),
        free: free(host),
        labels: inventory.map(|inventory| inventory.labels.clone()).unwrap_or_default(),
        vms: host.allocated.vms,
        joined_at: host.joined_at.into(),
        etag: host.changed,
    }
}

pub(crate) fn host_ref(host: &Host) -> HostRef {
    HostRef { id: host.id, name: host.name.clone() }
}

fn resources(capacity: HostCapacity) -> Resources {
    Resources { cpus: capacity.cpus, memory: capacity.memory, disk: capacity.disk }
}

fn allocated(usage: Usage) -> Resources {
    Resources { cpus: usage.cpus, memory: usage.memory, disk: usage.disk }
}

fn free(host: &Host) -> Resources {
    let (capacity, used) = (host.capacity(), host.allocated);
    Resources {
        cpus: VcpuCount(capacity.cpus.0.saturating_sub(used.cpus.0)),
        memory: capacity.memory.saturating_sub(used.memory),
        disk: capacity.disk.saturating_sub(used.disk),
    }
}

pub(crate) fn member(member: &Member, leader: Option<MemberId>) -> MemberView {
    MemberView {
        id: member.id,
        name: member.name.clone(),
        role: match member.role {
            CoreMemberRole::Joining => MemberRole::Joining,
            CoreMemberRole::Learner => MemberRole::Learner,
            CoreMemberRole::Voter => MemberRole::Voter,
            CoreMemberRole::Leaving => MemberRole::Leaving,
        },
        leader: leader == Some(member.id),
        cluster_address: member.addresses.cluster,
        api_address: member.addresses.api,
        joined_at: member.joined_at.into(),
    }
}

pub(crate) fn member_ref(member: &Member) -> MemberRef {
    MemberRef { id: member.id, name: member.name.clone() }
}

pub(crate) fn image(state: &State, image: &Image) -> ImageView {
    ImageView {
        id: image.id,
        name: image.name.clone(),
        size: image.size,
        files: image.boot.files.clone(),
        cmdline: image.boot.cmdline.clone(),
        holders: image.holders.clone(),
        safe: state.is_image_safe(image),
        created_at: image.created_at.into(),
        etag: image.changed,
    }
}

pub(crate) fn token(state: &State, token: &Token, now: Timestamp) -> TokenView {
    TokenView {
        id: token.id,
        role: token.role,
        created_at: token.created_at.into(),
        created_by: token.created_by.clone(),
        expires_at: token.expires_at.into(),
        uses_left: token.uses_left,
        host: state.returning_host(token.id),
        valid: token.uses_left > 0 && !token.is_expired(now),
    }
}

pub(crate) fn user(user: &User) -> UserView {
    let role = match user.role {
        Role::Viewer => UserRole::Viewer,
        Role::Operator => UserRole::Operator,
        Role::Admin => UserRole::Admin,
    };
    UserView { id: user.id, name: user.name.clone(), role, created_at: user.created_at.into() }
}

pub(crate) fn operation(state: &State, operation: &Operation) -> OperationView {
    let reason = match operation.is_open() {
        true => Some(state.waits_for(operation)),
        false => operation.status.reason().map(str::to_owned),
    };
    OperationView {
        id: operation.id,
        kind: operation.kind.as_str().to_owned(),
        subject: subject(state, operation.subject),
        actor: operation.actor.to_string(),
        status: match operation.status {
            CoreOperationStatus::Running => OperationStatus::Running,
            CoreOperationStatus::Done => OperationStatus::Done,
            CoreOperationStatus::Failed { .. } => OperationStatus::Failed,
            CoreOperationStatus::Cancelled { .. } => OperationStatus::Cancelled,
        },
        reason,
        created_at: operation.created_at.into(),
        deadline: operation.deadline.into(),
        finished_at: operation.finished_at.map(Into::into),
    }
}

fn subject(state: &State, subject: Subject) -> SubjectView {
    let (kind, id, name) = match subject {
        Subject::Vm(id) => ("vm", id.to_string(), state.vm(id).map(|vm| &vm.name)),
        Subject::Image(id) => ("image", id.to_string(), state.image(id).map(|image| &image.name)),
    };
    SubjectView { kind: kind.to_owned(), id, name: name.map(ToString::to_string) }
}

pub(crate) fn event(event: &Event) -> EventView {
    EventView {
        index: event.index,
        ordinal: event.ordinal,
        at: event.at.into(),
        kind: event.kind.as_str().to_owned(),
        object: object(event.object),
        actor: event.actor.to_string(),
        message: event.message.clone(),
    }
}

fn object(object: Object) -> ObjectView {
    let (kind, id) = match object {
        Object::Cluster => ("cluster", None),
        Object::Member(id) => ("member", Some(id.to_string())),
        Object::Host(id) => ("host", Some(id.to_string())),
        Object::Vm(id) => ("vm", Some(id.to_string())),
        Object::Image(id) => ("image", Some(id.to_string())),
        Object::Token(id) => ("token", Some(id.to_string())),
        Object::User(id) => ("user", Some(id.to_string())),
        Object::Operation(id) => ("operation", Some(id.to_string())),
    };
    ObjectView { kind: kind.to_owned(), id }
}
