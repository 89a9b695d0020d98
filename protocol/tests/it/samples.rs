//! One value of every variant of every message, under a name.
//!
//! [`samples!`] turns its lines into a `match` without a wildcard: a new variant or field does not
//! compile until it has a line here, and with it golden bytes.

use std::net::SocketAddr;

use novacron_protocol::host::{HostCapacity, HostInventory, HostSummary, HypervisorHealth};
use novacron_protocol::image::{Chunk, FileRole, ImageBoot, ImageFile, Manifest, ManifestFile};
use novacron_protocol::join_token::{JoinRole, JoinToken, Secret};
use novacron_protocol::version::{Version, VersionRange};
use novacron_protocol::vm::{DesiredSet, DesiredVm, ObservedVm, StopMode, Target, VmSpec, VmState};
use novacron_protocol::wire::Class;
use novacron_protocol::wire::agent::{FromAgent, Heartbeat, Report, ToAgent};
use novacron_protocol::wire::call::{CallRefusal, Request, Response};
use novacron_protocol::wire::hello::{CertificateUpdate, Hello, HelloAnswer, HelloRefusal, Peer};
use novacron_protocol::wire::join::{
    HostWelcome, JoinAnswer, JoinRefusal, JoinRequest, MemberAddress, MemberAddresses,
    MemberWelcome,
};
use novacron_protocol::wire::member::FromMember;
use novacron_protocol::wire::raft::{Configuration, Entry, EntryKind, Kind, Message, SnapshotMeta};
use novacron_protocol::wire::telemetry::{Batch, HostMetrics, HostSample, VmSample};
use novacron_protocol::{
    ByteCount, ClusterId, Digest, Generation, HostId, ImageId, Labels, LogIndex, MemberId, Name,
    Term, Timestamp, TokenId, VcpuCount, VmId,
};
use uuid::Uuid;

/// Values under their names.
pub(crate) type Samples<T> = Vec<(&'static str, T)>;

macro_rules! samples {
    ($function:ident: $type:ty { $($name:literal: $pattern:pat => $value:expr,)+ }) => {
        pub(crate) fn $function() -> Samples<$type> {
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

samples!(class: Class {
    "lease": Class::Lease => Class::Lease,
    "command": Class::Command => Class::Command,
    "event": Class::Event => Class::Event,
    "console": Class::Console => Class::Console,
    "telemetry": Class::Telemetry => Class::Telemetry,
    "migration": Class::Migration => Class::Migration,
    "bulk": Class::Bulk => Class::Bulk,
});

samples!(peer: Peer {
    "member": Peer::Member(_) => Peer::Member(MemberId(3)),
    "host": Peer::Host(_) => Peer::Host(host()),
});

samples!(hello: Hello {
    "hello": Hello { versions: _, cluster: _, software: _ } => Hello {
        versions: versions(),
        cluster: cluster(),
        software: "novacron-agent 0.1.0".to_owned(),
    },
});

samples!(hello_answer: HelloAnswer {
    "welcome": HelloAnswer::Welcome { version: _, software: _ } => HelloAnswer::Welcome {
        version: Version(1),
        software: "novacron-controlplane 0.1.0".to_owned(),
    },
    "refused": HelloAnswer::Refused(_) => HelloAnswer::Refused(HelloRefusal::Revoked),
});

samples!(hello_refusal: HelloRefusal {
    "version": HelloRefusal::Version(_) => HelloRefusal::Version(versions()),
    "wrong-cluster": HelloRefusal::WrongCluster(_) => HelloRefusal::WrongCluster(cluster()),
    "revoked": HelloRefusal::Revoked => HelloRefusal::Revoked,
});

samples!(certificate_update: CertificateUpdate {
    "certificate-update": CertificateUpdate { certificate: _, signature: _ } => CertificateUpdate {
        certificate: vec![0x30, 0x82],
        signature: vec![0xAA; 4],
    },
});

samples!(join_request: JoinRequest {
    "host": JoinRequest { token: _, secret: _, role: JoinRole::Host, csr: _, name: _, member: _ } =>
        join_request_of(JoinRole::Host, None),
    "member": JoinRequest { role: JoinRole::Member, .. } =>
        join_request_of(JoinRole::Member, Some(addresses())),
});

samples!(join_answer: JoinAnswer {
    "host": JoinAnswer::Host(HostWelcome {
        cluster: _, host: _, certificate: _, ca: _, members: _
    }) => JoinAnswer::Host(HostWelcome {
        cluster: cluster(),
        host: host(),
        certificate: vec![1, 2],
        ca: vec![3, 4],
        members: members(),
    }),
    "member": JoinAnswer::Member(MemberWelcome {
        cluster: _, member: _, certificate: _, ca: _, ca_key: _, members: _
    }) => JoinAnswer::Member(MemberWelcome {
        cluster: cluster(),
        member: MemberId(2),
        certificate: vec![1, 2],
        ca: vec![3, 4],
        ca_key: vec![5, 6],
        members: members(),
    }),
    "refused": JoinAnswer::Refused(_) => JoinAnswer::Refused(JoinRefusal::Expired),
});

samples!(join_refusal: JoinRefusal {
    "unknown-token": JoinRefusal::UnknownToken => JoinRefusal::UnknownToken,
    "expired": JoinRefusal::Expired => JoinRefusal::Expired,
    "used-up": JoinRefusal::UsedUp => JoinRefusal::UsedUp,
    "wrong-role": JoinRefusal::WrongRole => JoinRefusal::WrongRole,
    "bad-request": JoinRefusal::BadRequest(_) => JoinRefusal::BadRequest("no key".to_owned()),
    "rejected": JoinRefusal::Rejected(_) => JoinRefusal::Rejected("name taken".to_owned()),
    "unavailable": JoinRefusal::Unavailable(_) => JoinRefusal::Unavailable("no leader".to_owned()),
});

samples!(from_agent: FromAgent {
    "heartbeat": FromAgent::Heartbeat(Heartbeat { generation: _, hypervisor: _, summary: _ }) =>
        FromAgent::Heartbeat(Heartbeat {
            generation: Generation(7),
            hypervisor: HypervisorHealth::Ready,
            summary: HostSummary {
                cpu_busy_permille: 125,
                memory_used: ByteCount::gib(3),
                disk_used: ByteCount::gib(20),
                vms_running: 4,
            },
        }),
    "inventory": FromAgent::Inventory(_) => FromAgent::Inventory(inventory()),
    "report": FromAgent::Report(Report { generation: _, vms: _ }) => FromAgent::Report(Report {
        generation: Generation(7),
        vms: vec![observed(VmState::Running, ""), observed(VmState::Failed, "no such image")],
    }),
    "telemetry": FromAgent::Telemetry(_) => FromAgent::Telemetry(batch()),
    "coded-telemetry": FromAgent::CodedTelemetry(_) => FromAgent::CodedTelemetry(vec![0, 1, 2, 3]),
});

samples!(to_agent: ToAgent {
    "leadership": ToAgent::Leadership { term: _, leader: _ } => ToAgent::Leadership {
        term: Term(9),
        leader: Some(MemberId(1)),
    },
    "members": ToAgent::Members(_) => ToAgent::Members(members()),
    "desired": ToAgent::Desired(_) => ToAgent::Desired(desired_set()),
});

samples!(hypervisor_health: HypervisorHealth {
    "ready": HypervisorHealth::Ready => HypervisorHealth::Ready,
    "unreachable": HypervisorHealth::Unreachable => HypervisorHealth::Unreachable,
});

samples!(vm_state: VmState {
    "absent": VmState::Absent => VmState::Absent,
    "preparing": VmState::Preparing => VmState::Preparing,
    "stopped": VmState::Stopped => VmState::Stopped,
    "running": VmState::Running => VmState::Running,
    "paused": VmState::Paused => VmState::Paused,
    "stopping": VmState::Stopping => VmState::Stopping,
    "failed": VmState::Failed => VmState::Failed,
});

samples!(target: Target {
    "running": Target::Running => Target::Running,
    "stopped": Target::Stopped => Target::Stopped,
    "absent": Target::Absent => Target::Absent,
});

samples!(stop_mode: StopMode {
    "graceful": StopMode::Graceful => StopMode::Graceful,
    "force": StopMode::Force => StopMode::Force,
});

samples!(file_role: FileRole {
    "raw-disk": FileRole::RawDisk => FileRole::RawDisk,
    "qcow2-disk": FileRole::Qcow2Disk => FileRole::Qcow2Disk,
    "kernel": FileRole::Kernel => FileRole::Kernel,
    "initrd": FileRole::Initrd => FileRole::Initrd,
});

samples!(desired: DesiredSet {
    "set": DesiredSet { generation: _, vms: _ } => desired_set(),
});

samples!(request: Request {
    "renew-certificate": Request::RenewCertificate { csr: _ } =>
        Request::RenewCertificate { csr: vec![0x30, 0x81] },
    "blob": Request::Blob { digest: _ } => Request::Blob { digest: digest() },
    "propose": Request::Propose { command: _ } => Request::Propose { command: vec![1, 2, 3] },
    "metrics": Request::Metrics { host: _, since: _ } =>
        Request::Metrics { host: host(), since: Timestamp(1_700_000_000_000) },
    "console-tail": Request::ConsoleTail { vm: _, bytes_max: _ } =>
        Request::ConsoleTail { vm: vm(), bytes_max: 65_536 },
    "install-snapshot": Request::InstallSnapshot { message: _, state_len: _ } =>
        Request::InstallSnapshot {
            message: Box::new(raft_message(Kind::Snapshot)),
            state_len: 1 << 20,
        },
    "coded-blob": Request::CodedBlob { digest: _, signature: _ } =>
        Request::CodedBlob { digest: digest(), signature: vec![1, 0, 2] },
});

samples!(response: Response {
    "certificate": Response::Certificate { certificate: _ } =>
        Response::Certificate { certificate: vec![0x30, 0x82] },
    "blob": Response::Blob { stored_len: _ } => Response::Blob { stored_len: 300 },
    "applied": Response::Applied { index: _, outcome: _ } =>
        Response::Applied { index: LogIndex(42), outcome: vec![0] },
    "metrics": Response::Metrics(_) =>
        Response::Metrics(Some(HostMetrics { batches: vec![batch()] })),
    "console": Response::Console(_) => Response::Console(b"login: ".to_vec()),
    "done": Response::Done => Response::Done,
    "refused": Response::Refused(_) =>
        Response::Refused(CallRefusal::NotFound("vm".to_owned())),
    "coded-blob": Response::CodedBlob { coded_len: _ } => Response::CodedBlob { coded_len: 300 },
});

samples!(call_refusal: CallRefusal {
    "not-leader": CallRefusal::NotLeader { leader: _ } =>
        CallRefusal::NotLeader { leader: Some(MemberId(2)) },
    "not-found": CallRefusal::NotFound(_) => CallRefusal::NotFound("blob".to_owned()),
    "forbidden": CallRefusal::Forbidden(_) => CallRefusal::Forbidden("hosts only".to_owned()),
    "unavailable": CallRefusal::Unavailable(_) => CallRefusal::Unavailable("busy".to_owned()),
    "rejected": CallRefusal::Rejected(_) => CallRefusal::Rejected("too long".to_owned()),
    "busy": CallRefusal::Busy => CallRefusal::Busy,
});

samples!(from_member: FromMember {
    "raft": FromMember::Raft(_) => FromMember::Raft(raft_message(Kind::Append)),
});

samples!(raft_kind: Kind {
    "hup": Kind::Hup => Kind::Hup,
    "beat": Kind::Beat => Kind::Beat,
    "propose": Kind::Propose => Kind::Propose,
    "append": Kind::Append => Kind::Append,
    "append-response": Kind::AppendResponse => Kind::AppendResponse,
    "request-vote": Kind::RequestVote => Kind::RequestVote,
    "request-vote-response": Kind::RequestVoteResponse => Kind::RequestVoteResponse,
    "snapshot": Kind::Snapshot => Kind::Snapshot,
    "heartbeat": Kind::Heartbeat => Kind::Heartbeat,
    "heartbeat-response": Kind::HeartbeatResponse => Kind::HeartbeatResponse,
    "unreachable": Kind::Unreachable => Kind::Unreachable,
    "snap-status": Kind::SnapStatus => Kind::SnapStatus,
    "check-quorum": Kind::CheckQuorum => Kind::CheckQuorum,
    "transfer-leader": Kind::TransferLeader => Kind::TransferLeader,
    "timeout-now": Kind::TimeoutNow => Kind::TimeoutNow,
    "read-index": Kind::ReadIndex => Kind::ReadIndex,
    "read-index-response": Kind::ReadIndexResponse => Kind::ReadIndexResponse,
    "request-pre-vote": Kind::RequestPreVote => Kind::RequestPreVote,
    "request-pre-vote-response": Kind::RequestPreVoteResponse => Kind::RequestPreVoteResponse,
});

samples!(entry_kind: EntryKind {
    "normal": EntryKind::Normal => EntryKind::Normal,
    "conf-change": EntryKind::ConfChange => EntryKind::ConfChange,
    "conf-change-v2": EntryKind::ConfChangeV2 => EntryKind::ConfChangeV2,
});

samples!(raft: Message {
    "message": Message {
        kind: _, to: _, from: _, term: _, log_term: _, index: _, entries: _, commit: _,
        commit_term: _, snapshot: _, request_snapshot: _, reject: _, reject_hint: _, context: _,
        priority: _,
    } => raft_message(Kind::Append),
});

samples!(telemetry: HostMetrics {
    "metrics": HostMetrics { batches: _ } => HostMetrics { batches: vec![batch()] },
});

samples!(join_token: JoinToken {
    "host": JoinToken {
        cluster: _, role: JoinRole::Host, id: _, secret: _, ca_fingerprint: _, members: _
    } => token_of(JoinRole::Host),
    "member": JoinToken { role: JoinRole::Member, .. } => token_of(JoinRole::Member),
});

samples!(manifest: Manifest {
    "kernel-and-initrd": Manifest { files: _, cmdline: _ } => Manifest {
        files: vec![file_of(FileRole::Kernel, 0, 3), file_of(FileRole::Initrd, 0, 5)],
        cmdline: "console=ttyS0".to_owned(),
    },
});

pub(crate) fn vm() -> VmId {
    VmId::from_uuid(Uuid::from_u128(0xA0))
}

pub(crate) fn versions() -> VersionRange {
    VersionRange { oldest: Version(1), newest: Version(2) }
}

fn cluster() -> ClusterId {
    ClusterId::from_uuid(Uuid::from_u128(0xC0))
}

fn host() -> HostId {
    HostId::from_uuid(Uuid::from_u128(0xB0))
}

fn digest() -> Digest {
    Digest([0xD1; 32])
}

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn addresses() -> MemberAddresses {
    MemberAddresses { cluster: address("192.0.2.1:7410"), api: address("[2001:db8::1]:7411") }
}

fn members() -> Vec<MemberAddress> {
    vec![
        MemberAddress { id: MemberId(1), cluster: address("192.0.2.1:7410") },
        MemberAddress { id: MemberId(300), cluster: address("[2001:db8::2]:7410") },
    ]
}

fn labels() -> Labels {
    Labels::from_pairs(["zone=north", "rack=3"]).unwrap()
}

fn join_request_of(role: JoinRole, member: Option<MemberAddresses>) -> JoinRequest {
    JoinRequest {
        token: TokenId::from_uuid(Uuid::from_u128(0xE0)),
        secret: Secret([7; 32]),
        role,
        csr: vec![0x30, 0x81],
        name: name("edge-1"),
        member,
    }
}

fn token_of(role: JoinRole) -> JoinToken {
    JoinToken {
        cluster: cluster(),
        role,
        id: TokenId::from_uuid(Uuid::from_u128(0xE0)),
        secret: Secret([7; 32]),
        ca_fingerprint: [9; 32],
        members: vec![address("192.0.2.1:7410"), address("[2001:db8::1]:7410")],
    }
}

fn inventory() -> HostInventory {
    HostInventory {
        name: name("edge-1"),
        agent_version: "0.1.0".to_owned(),
        hypervisor: "QEMU 7.2.0 via libvirt 9.0.0 (tcg)".to_owned(),
        capacity: HostCapacity {
            cpus: VcpuCount(8),
            memory: ByteCount::gib(32),
            disk: ByteCount::tib(1),
        },
        labels: labels(),
    }
}

fn file_of(role: FileRole, virtual_size: u64, size: u32) -> ManifestFile {
    let size_bytes = ByteCount(u64::from(size));
    ManifestFile {
        file: ImageFile {
            role,
            digest: digest(),
            size: size_bytes,
            virtual_size: ByteCount(virtual_size),
        },
        chunks: vec![Chunk { digest: digest(), len: size }],
    }
}

fn desired_set() -> DesiredSet {
    let boot = ImageBoot {
        image: ImageId(digest()),
        files: vec![file_of(FileRole::Qcow2Disk, 1 << 30, 9).file],
        cmdline: String::new(),
    };
    let spec = VmSpec {
        cpus: VcpuCount(2),
        memory: ByteCount::mib(512),
        image: ImageId(digest()),
        disk: Some(ByteCount::gib(10)),
        labels: labels(),
        host_labels: Labels::default(),
    };
    let vm = DesiredVm {
        id: vm(),
        name: name("web1"),
        revision: Generation(5),
        target: Target::Running,
        stop_mode: StopMode::Graceful,
        restarts: 1,
        spec,
        boot,
    };
    DesiredSet { generation: Generation(7), vms: vec![vm] }
}

fn observed(state: VmState, reason: &str) -> ObservedVm {
    let reason = reason.to_owned();
    ObservedVm { id: vm(), revision: Generation(5), state, restarts: 1, reason }
}

fn batch() -> Batch {
    let host = HostSample {
        cpu_busy_permille: 125,
        load1_milli: 900,
        memory_used_bytes: 3 << 30,
        memory_total_bytes: 32 << 30,
        disk_used_bytes: 20 << 30,
        disk_total_bytes: 1 << 40,
        net_rx_bytes_per_s: 1_000,
        net_tx_bytes_per_s: 70_000,
    };
    let vm = VmSample {
        vm: vm(),
        cpu_milli: 1_500,
        memory_bytes: 512 << 20,
        disk_read_bytes_per_s: 0,
        disk_write_bytes_per_s: 4_096,
        net_rx_bytes_per_s: 250,
        net_tx_bytes_per_s: 251,
    };
    Batch { at: Timestamp(1_700_000_000_000), host, vms: vec![vm] }
}

/// A message with every field filled, each with a value of its own.
pub(crate) fn raft_message(kind: Kind) -> Message {
    let ids = |ids: [u64; 2]| ids.map(MemberId).to_vec();
    Message {
        kind,
        to: MemberId(1),
        from: MemberId(2),
        term: Term(3),
        log_term: Term(4),
        index: LogIndex(5),
        entries: vec![Entry {
            kind: EntryKind::Normal,
            term: Term(6),
            index: LogIndex(7),
            data: vec![8, 8],
            context: vec![9],
        }],
        commit: LogIndex(10),
        commit_term: Term(11),
        snapshot: Some(SnapshotMeta {
            index: LogIndex(12),
            term: Term(13),
            configuration: Configuration {
                voters: ids([14, 15]),
                learners: ids([16, 17]),
                voters_outgoing: ids([18, 19]),
                learners_next: ids([20, 21]),
                auto_leave: true,
            },
        }),
        request_snapshot: LogIndex(22),
        reject: true,
        reject_hint: LogIndex(23),
        context: vec![24],
        priority: -25,
    }
}
