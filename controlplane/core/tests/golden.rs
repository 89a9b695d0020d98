//! The bytes of what the members keep: commands in the log, answers to them, and snapshots, in
//! `snapshots/`.
//!
//! A difference here is one that a member of another release stumbles over, or that a member finds
//! on its own disk after an upgrade. Append variants; give a changed record a new version and read
//! the old one. CONTRIBUTING.md says how new bytes are accepted.

#![allow(clippy::unwrap_used, reason = "a test stops where it fails")]

mod fixture;

use std::fmt::Write as _;

use bincode::{Decode, Encode};
use fixture::{
    Fixture, SECRET, addresses, host, id, image, name, new_image, new_vm, operation, vm,
};
use novacron_controlplane_core::command::{
    NewMember, NewToken, NewUser, Redemption, RequestKey, StartPolicy, VmAction,
};
use novacron_controlplane_core::event::{EventKind, Object};
use novacron_controlplane_core::member::MemberRole;
use novacron_controlplane_core::operation::{OperationKind, OperationStatus, Subject};
use novacron_controlplane_core::outcome::{Outcome, Refusal, RefusalCode};
use novacron_controlplane_core::user::Role;
use novacron_controlplane_core::{Actor, Command, Envelope, State};
use novacron_protocol::codec;
use novacron_protocol::host::{Connectivity, HostCapacity, HostInventory};
use novacron_protocol::join_token::JoinRole;
use novacron_protocol::limits::RECORD_BYTES_MAX;
use novacron_protocol::vm::{ObservedVm, StopMode, VmState};
use novacron_protocol::{
    ByteCount, ClusterId, Digest, Generation, Labels, LogIndex, MemberId, RequestId, Timestamp,
    TokenId, UserId, VcpuCount,
};

/// Values under their names.
type Samples<T> = Vec<(&'static str, T)>;

/// One value of every variant: the `match` has no wildcard, so that a new variant does not compile
/// until it has a line here, and with it golden bytes.
macro_rules! samples {
    ($function:ident: $type:ty { $($name:literal: $pattern:pat => $value:expr,)+ }) => {
        fn $function() -> Samples<$type> {
            let name_of = |value: &$type| match value {
                $($pattern => $name,)+
            };
            let all: Samples<$type> = vec![$(($name, $value),)+];
            for (name, value) in &all {
                assert_eq!(name_of(value), *name, "a sample stands under another's name");
            }
            all
        }
    };
}

samples!(commands: Command {
    "initialise": Command::Initialise { .. } => Command::Initialise {
        cluster: ClusterId::from_uuid(id(9)),
        name: name("lab"),
        member: NewMember {
            id: MemberId(1),
            name: name("m1"),
            addresses: addresses(1),
            key: Digest([11; 32]),
        },
        admin: new_user(),
    },
    "create-user": Command::CreateUser(_) => Command::CreateUser(new_user()),
    "delete-user": Command::DeleteUser { .. } => Command::DeleteUser { user: user() },
    "create-token": Command::CreateToken(_) => Command::CreateToken(new_token()),
    "revoke-token": Command::RevokeToken { .. } => Command::RevokeToken { token: token() },
    "redeem": Command::Redeem(_) => Command::Redeem(redemption()),
    "record-refusal": Command::RecordRefusal { .. } => Command::RecordRefusal {
        what: "join of h1".to_owned(),
        why: "no such token".to_owned(),
    },
    "remove-member": Command::RemoveMember { .. } => Command::RemoveMember { member: MemberId(3) },
    "set-inventory": Command::SetInventory { .. } => Command::SetInventory {
        host: host(1),
        inventory: inventory(),
    },
    "set-connectivity": Command::SetConnectivity { .. } => Command::SetConnectivity {
        hosts: vec![(host(1), Connectivity::Connected), (host(2), Connectivity::Disconnected)],
    },
    "cordon": Command::Cordon { .. } => Command::Cordon {
        host: host(1),
        reason: "new disks".to_owned(),
    },
    "uncordon": Command::Uncordon { .. } => Command::Uncordon { host: host(1) },
    "remove-host": Command::RemoveHost { .. } => Command::RemoveHost { host: host(1) },
    "create-image": Command::CreateImage(_) => Command::CreateImage(new_image()),
    "hold-image": Command::HoldImage { .. } => Command::HoldImage {
        image: image(),
        member: MemberId(2),
    },
    "delete-image": Command::DeleteImage { .. } => Command::DeleteImage { image: image() },
    "create-vm": Command::CreateVm(_) => Command::CreateVm(new_vm(1, "web-1")),
    "set-target": Command::SetTarget { .. } => Command::SetTarget {
        vm: vm(1),
        action: VmAction::Restart(StopMode::Graceful),
        operation: operation(2),
        expected: Some(LogIndex(7)),
    },
    "place": Command::Place { .. } => Command::Place { vm: vm(1), host: host(1) },
    "observe": Command::Observe { .. } => Command::Observe {
        host: host(1),
        generation: Generation(300),
        vms: vec![ObservedVm {
            id: vm(1),
            revision: Generation(2),
            state: VmState::Running,
            restarts: 1,
            reason: String::new(),
        }],
    },
    "cancel-operation": Command::CancelOperation { .. } => Command::CancelOperation {
        operation: operation(2),
    },
    "expire-operations": Command::ExpireOperations { .. } => Command::ExpireOperations {
        operations: vec![operation(2), operation(3)],
    },
    "allow-return": Command::AllowReturn { .. } => Command::AllowReturn {
        token: new_token(),
        host: host(1),
    },
});

samples!(actors: Actor {
    "system": Actor::System => Actor::System,
    "user": Actor::User { .. } => Actor::User { id: user(), name: name("ann") },
    "host": Actor::Host(_) => Actor::Host(host(1)),
    "member": Actor::Member(_) => Actor::Member(MemberId(2)),
    "token": Actor::Token(_) => Actor::Token(token()),
    "unknown": Actor::Unknown { .. } => Actor::Unknown { address: "10.0.0.9".to_owned() },
});

samples!(actions: VmAction {
    "start": VmAction::Start => VmAction::Start,
    "stop": VmAction::Stop(_) => VmAction::Stop(StopMode::Graceful),
    "restart": VmAction::Restart(_) => VmAction::Restart(StopMode::Force),
    "delete": VmAction::Delete => VmAction::Delete,
});

samples!(start_policies: StartPolicy {
    "start": StartPolicy::Start => StartPolicy::Start,
    "leave-stopped": StartPolicy::LeaveStopped => StartPolicy::LeaveStopped,
});

samples!(roles: Role {
    "viewer": Role::Viewer => Role::Viewer,
    "operator": Role::Operator => Role::Operator,
    "admin": Role::Admin => Role::Admin,
});

samples!(member_roles: MemberRole {
    "joining": MemberRole::Joining => MemberRole::Joining,
    "learner": MemberRole::Learner => MemberRole::Learner,
    "voter": MemberRole::Voter => MemberRole::Voter,
    "leaving": MemberRole::Leaving => MemberRole::Leaving,
});

samples!(outcomes: Outcome {
    "done": Outcome::Done => Outcome::Done,
    "user": Outcome::User(_) => Outcome::User(user()),
    "token": Outcome::Token(_) => Outcome::Token(token()),
    "host": Outcome::Host(_) => Outcome::Host(host(1)),
    "member": Outcome::Member(_) => Outcome::Member(MemberId(2)),
    "vm": Outcome::Vm { .. } => Outcome::Vm { vm: vm(1), operation: operation(2) },
    "image": Outcome::Image { .. } => Outcome::Image { image: image(), operation: operation(2) },
});

samples!(refusal_codes: RefusalCode {
    "not-found": RefusalCode::NotFound => RefusalCode::NotFound,
    "name-taken": RefusalCode::NameTaken => RefusalCode::NameTaken,
    "conflict": RefusalCode::Conflict => RefusalCode::Conflict,
    "precondition-failed": RefusalCode::PreconditionFailed => RefusalCode::PreconditionFailed,
    "key-reused": RefusalCode::KeyReused => RefusalCode::KeyReused,
    "limit-reached": RefusalCode::LimitReached => RefusalCode::LimitReached,
    "infeasible": RefusalCode::Infeasible => RefusalCode::Infeasible,
    "token-unknown": RefusalCode::TokenUnknown => RefusalCode::TokenUnknown,
    "token-expired": RefusalCode::TokenExpired => RefusalCode::TokenExpired,
    "token-used-up": RefusalCode::TokenUsedUp => RefusalCode::TokenUsedUp,
    "token-wrong-role": RefusalCode::TokenWrongRole => RefusalCode::TokenWrongRole,
    "wrong-phase": RefusalCode::WrongPhase => RefusalCode::WrongPhase,
    "invalid": RefusalCode::Invalid => RefusalCode::Invalid,
});

samples!(operation_kinds: OperationKind {
    "create-vm": OperationKind::CreateVm => OperationKind::CreateVm,
    "start-vm": OperationKind::StartVm => OperationKind::StartVm,
    "stop-vm": OperationKind::StopVm => OperationKind::StopVm,
    "restart-vm": OperationKind::RestartVm => OperationKind::RestartVm,
    "delete-vm": OperationKind::DeleteVm => OperationKind::DeleteVm,
    "import-image": OperationKind::ImportImage => OperationKind::ImportImage,
});

samples!(operation_statuses: OperationStatus {
    "running": OperationStatus::Running => OperationStatus::Running,
    "done": OperationStatus::Done => OperationStatus::Done,
    "failed": OperationStatus::Failed { .. } => OperationStatus::Failed { reason: "no".to_owned() },
    "cancelled": OperationStatus::Cancelled { .. } =>
        OperationStatus::Cancelled { reason: "no".to_owned() },
});

samples!(subjects: Subject {
    "vm": Subject::Vm(_) => Subject::Vm(vm(1)),
    "image": Subject::Image(_) => Subject::Image(image()),
});

samples!(objects: Object {
    "cluster": Object::Cluster => Object::Cluster,
    "member": Object::Member(_) => Object::Member(MemberId(2)),
    "host": Object::Host(_) => Object::Host(host(1)),
    "vm": Object::Vm(_) => Object::Vm(vm(1)),
    "image": Object::Image(_) => Object::Image(image()),
    "token": Object::Token(_) => Object::Token(token()),
    "user": Object::User(_) => Object::User(user()),
    "operation": Object::Operation(_) => Object::Operation(operation(2)),
});

samples!(event_kinds: EventKind {
    "cluster.initialised": EventKind::ClusterInitialised => EventKind::ClusterInitialised,
    "member.joined": EventKind::MemberJoined => EventKind::MemberJoined,
    "member.role-changed": EventKind::MemberRoleChanged => EventKind::MemberRoleChanged,
    "member.removed": EventKind::MemberRemoved => EventKind::MemberRemoved,
    "host.joined": EventKind::HostJoined => EventKind::HostJoined,
    "host.connected": EventKind::HostConnected => EventKind::HostConnected,
    "host.disconnected": EventKind::HostDisconnected => EventKind::HostDisconnected,
    "host.cordoned": EventKind::HostCordoned => EventKind::HostCordoned,
    "host.uncordoned": EventKind::HostUncordoned => EventKind::HostUncordoned,
    "host.removed": EventKind::HostRemoved => EventKind::HostRemoved,
    "image.created": EventKind::ImageCreated => EventKind::ImageCreated,
    "image.deleted": EventKind::ImageDeleted => EventKind::ImageDeleted,
    "vm.created": EventKind::VmCreated => EventKind::VmCreated,
    "vm.placed": EventKind::VmPlaced => EventKind::VmPlaced,
    "vm.changed": EventKind::VmChanged => EventKind::VmChanged,
    "vm.observed": EventKind::VmObserved => EventKind::VmObserved,
    "vm.deleted": EventKind::VmDeleted => EventKind::VmDeleted,
    "operation.ended": EventKind::OperationEnded => EventKind::OperationEnded,
    "token.created": EventKind::TokenCreated => EventKind::TokenCreated,
    "token.revoked": EventKind::TokenRevoked => EventKind::TokenRevoked,
    "user.created": EventKind::UserCreated => EventKind::UserCreated,
    "user.deleted": EventKind::UserDeleted => EventKind::UserDeleted,
    "access.refused": EventKind::AccessRefused => EventKind::AccessRefused,
    "host.returned": EventKind::HostReturned => EventKind::HostReturned,
});

#[test]
fn commands_have_not_changed() {
    insta::assert_snapshot!(
        [
            bytes_of("command", commands()),
            bytes_of("actor", actors()),
            bytes_of("action", actions()),
            bytes_of("start", start_policies()),
            bytes_of("role", roles()),
        ]
        .concat()
    );
}

#[test]
fn an_entry_of_the_log_has_not_changed() {
    let key = RequestKey { id: RequestId::from_uuid(id(7)), fingerprint: Digest([1; 32]) };
    let plain = Envelope::system(Timestamp(1_000), Command::Uncordon { host: host(1) });
    let (_, actor) = actors().remove(1);
    let newer = Command::AllowReturn { token: new_token(), host: host(1) };
    let newer = Envelope::system(Timestamp(1_000), newer);
    let keyed = Envelope::from_actor(Timestamp(1_000), actor, Command::CreateVm(new_vm(1, "web")));
    let lines = [("plain", plain), ("once", keyed.once(key)), ("version-2", newer)].map(
        |(name, envelope)| {
            let bytes = envelope.encode().unwrap();
            assert_eq!(Envelope::decode(&bytes).unwrap(), envelope, "{name}");
            format!("{name}: {}\n", hex(&bytes))
        },
    );
    insta::assert_snapshot!(lines.concat());
}

#[test]
fn answers_to_commands_have_not_changed() {
    let refusal = Refusal::new(RefusalCode::NameTaken, "taken").on("name");
    insta::assert_snapshot!(
        [
            bytes_of("outcome", outcomes()),
            bytes_of("code", refusal_codes()),
            bytes_of("refusal", vec![("on-a-field", refusal)]),
        ]
        .concat()
    );
}

#[test]
fn the_parts_of_a_snapshot_have_not_changed() {
    insta::assert_snapshot!(
        [
            bytes_of("member-role", member_roles()),
            bytes_of("operation", operation_kinds()),
            bytes_of("status", operation_statuses()),
            bytes_of("subject", subjects()),
            bytes_of("object", objects()),
            bytes_of("event", event_kinds()),
        ]
        .concat()
    );
}

/// A state that has something of everything.
fn whole_lab() -> Fixture {
    let mut lab = Fixture::new();
    lab.add_host(1, 8, 8);
    lab.add_host(2, 8, 8);
    let open = lab.token(70, JoinRole::Member, 2);
    let member = Redemption {
        role: JoinRole::Member,
        member: Some(addresses(2)),
        name: name("m2"),
        ..fixture::redemption(open, 42)
    };
    lab.apply(Command::Redeem(member)).unwrap();
    let key = RequestKey { id: RequestId::from_uuid(id(7)), fingerprint: Digest([1; 32]) };
    let create = Command::CreateVm(new_vm(1, "web-1"));
    lab.apply_envelope(Envelope::from_actor(lab.clock(), Actor::System, create).once(key)).unwrap();
    lab.apply(Command::Place { vm: vm(1), host: host(1) }).unwrap();
    lab.report(1, VmState::Running, "").unwrap();
    lab.create_vm(2, "web-2").unwrap();
    lab.apply(Command::Cordon { host: host(1), reason: "new disks".to_owned() }).unwrap();
    lab.apply(Command::RemoveHost { host: host(2) }).unwrap();
    lab
}

#[test]
fn a_whole_snapshot_has_not_changed_and_gives_its_state_back() {
    insta::assert_snapshot!(snapshot_of(&whole_lab().state));
}

/// Hosts that come back are what the second version of a snapshot has more.
#[test]
fn a_snapshot_of_the_second_version_has_not_changed_and_gives_its_state_back() {
    let mut lab = whole_lab();
    let used = lab.token_for(71, host(1));
    lab.apply(Command::Redeem(fixture::redemption(used, 9))).unwrap();
    lab.token_for(72, host(1));
    insta::assert_snapshot!(snapshot_of(&lab.state));
}

/// In lines, so that a difference shows where it is.
fn snapshot_of(state: &State) -> String {
    let bytes = state.to_snapshot().unwrap();
    assert_eq!(State::from_snapshot(&bytes).as_ref(), Ok(state));
    bytes.chunks(32).map(hex).collect::<Vec<_>>().join("\n")
}

/// One line for each sample, after proving that its bytes give it back.
fn bytes_of<T: Encode + Decode<()> + PartialEq + std::fmt::Debug>(
    family: &str,
    samples: Samples<T>,
) -> String {
    let mut lines = String::new();
    for (name, value) in samples {
        let bytes = codec::encode(&value).unwrap();
        assert_eq!(codec::decode::<T>(&bytes, RECORD_BYTES_MAX).as_ref(), Ok(&value), "{name}");
        writeln!(lines, "{family}/{name}: {}", hex(&bytes)).unwrap();
    }
    lines
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn token() -> TokenId {
    TokenId::from_uuid(id(4))
}

fn user() -> UserId {
    UserId::from_uuid(id(8))
}

fn new_user() -> NewUser {
    NewUser { id: user(), name: name("admin"), role: Role::Admin, secret: Digest([12; 32]) }
}

fn new_token() -> NewToken {
    NewToken {
        id: token(),
        role: JoinRole::Host,
        secret: SECRET,
        expires_at: Timestamp(3_600_000),
        uses: 3,
    }
}

fn redemption() -> Redemption {
    Redemption { member: Some(addresses(2)), ..fixture::redemption(token(), 1) }
}

fn inventory() -> HostInventory {
    HostInventory {
        name: name("h1"),
        agent_version: "0.1.0".to_owned(),
        hypervisor: "QEMU".to_owned(),
        capacity: HostCapacity {
            cpus: VcpuCount(8),
            memory: ByteCount::gib(8),
            disk: ByteCount::tib(1),
        },
        labels: Labels::default(),
    }
}
