//! Any value of every message, within the bounds its types set.

use std::net::{IpAddr, SocketAddr};

use novacron_protocol::host::{HostCapacity, HostInventory, HostSummary, HypervisorHealth};
use novacron_protocol::image::{Chunk, FileRole, ImageBoot, ImageFile};
use novacron_protocol::join_token::{JoinRole, JoinToken, Secret};
use novacron_protocol::version::{Version, VersionRange};
use novacron_protocol::vm::{DesiredSet, DesiredVm, ObservedVm, StopMode, Target, VmSpec, VmState};
use novacron_protocol::wire::agent::{FromAgent, Heartbeat, Report, ToAgent};
use novacron_protocol::wire::call::{CallRefusal, Request, Response};
use novacron_protocol::wire::hello::{Hello, HelloAnswer, HelloRefusal};
use novacron_protocol::wire::join::{
    HostWelcome, JoinAnswer, JoinRefusal, JoinRequest, MemberAddress, MemberAddresses,
};
use novacron_protocol::wire::raft::{Configuration, Entry, EntryKind, Message, SnapshotMeta};
use novacron_protocol::wire::telemetry::{Batch, HostMetrics, HostSample, VmSample};
use novacron_protocol::{
    ByteCount, ClusterId, Digest, Generation, HostId, ImageId, Labels, LogIndex, MemberId, Name,
    Term, Timestamp, TokenId, VcpuCount, VmId,
};
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use uuid::Uuid;

use crate::samples;

fn id<T: std::fmt::Debug>(make: fn(Uuid) -> T) -> impl Strategy<Value = T> {
    any::<u128>().prop_map(move |bits| make(Uuid::from_u128(bits)))
}

fn number<T: std::fmt::Debug>(make: fn(u64) -> T) -> impl Strategy<Value = T> {
    // Small ones, the edges of bincode's variable-length integers, and everything else.
    let edges = select(vec![0, 250, 251, 0xFFFF, 0x1_0000, 0xFFFF_FFFF, 0x1_0000_0000, u64::MAX]);
    prop_oneof![0_u64..300, edges, any::<u64>()].prop_map(make)
}

fn one_of<T: Clone + std::fmt::Debug + 'static>(
    samples: samples::Samples<T>,
) -> impl Strategy<Value = T> {
    select(samples.into_iter().map(|(_, value)| value).collect::<Vec<_>>())
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 0..64)
}

fn text() -> impl Strategy<Value = String> {
    "\\PC{0,24}"
}

fn digest() -> impl Strategy<Value = Digest> {
    any::<[u8; 32]>().prop_map(Digest)
}

fn name() -> impl Strategy<Value = Name> {
    "[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?".prop_map(|text| text.parse().unwrap())
}

fn labels() -> impl Strategy<Value = Labels> {
    btree_map("[a-zA-Z0-9_./-]{1,63}", "[a-zA-Z0-9_./:-]{0,63}", 0..5)
        .prop_map(|pairs| Labels::parse(pairs).unwrap())
}

fn address() -> impl Strategy<Value = SocketAddr> {
    any::<(IpAddr, u16)>().prop_map(SocketAddr::from)
}

fn member_addresses() -> impl Strategy<Value = MemberAddresses> {
    (address(), address()).prop_map(|(cluster, api)| MemberAddresses { cluster, api })
}

fn members() -> impl Strategy<Value = Vec<MemberAddress>> {
    let member = (number(MemberId), address());
    vec(member.prop_map(|(id, cluster)| MemberAddress { id, cluster }), 0..5)
}

fn role() -> impl Strategy<Value = JoinRole> {
    select(vec![JoinRole::Host, JoinRole::Member])
}

fn versions() -> impl Strategy<Value = VersionRange> {
    any::<(u16, u16)>().prop_map(|(o, n)| VersionRange { oldest: Version(o), newest: Version(n) })
}

pub(crate) fn hello() -> impl Strategy<Value = Hello> {
    (versions(), id(ClusterId::from_uuid), text()).prop_map(|(versions, cluster, software)| Hello {
        versions,
        cluster,
        software,
    })
}

pub(crate) fn hello_answer() -> impl Strategy<Value = HelloAnswer> {
    prop_oneof![
        (any::<u16>(), text()).prop_map(|(version, software)| HelloAnswer::Welcome {
            version: Version(version),
            software
        }),
        versions().prop_map(|range| HelloAnswer::Refused(HelloRefusal::Version(range))),
        id(ClusterId::from_uuid).prop_map(|c| HelloAnswer::Refused(HelloRefusal::WrongCluster(c))),
    ]
}

pub(crate) fn join_request() -> impl Strategy<Value = JoinRequest> {
    let secret = any::<[u8; 32]>().prop_map(Secret);
    let fields = (id(TokenId::from_uuid), secret, role(), bytes(), name());
    (fields, option::of(member_addresses())).prop_map(
        |((token, secret, role, csr, name), member)| JoinRequest {
            token,
            secret,
            role,
            csr,
            name,
            member,
        },
    )
}

pub(crate) fn join_answer() -> impl Strategy<Value = JoinAnswer> {
    let ids = (id(ClusterId::from_uuid), id(HostId::from_uuid));
    let welcome = (ids, bytes(), bytes(), members()).prop_map(
        |((cluster, host), certificate, ca, members)| {
            JoinAnswer::Host(HostWelcome { cluster, host, certificate, ca, members })
        },
    );
    let refused = text().prop_map(|why| JoinAnswer::Refused(JoinRefusal::Rejected(why)));
    prop_oneof![welcome, refused, one_of(samples::join_answer())]
}

pub(crate) fn join_token() -> impl Strategy<Value = JoinToken> {
    let ids = (id(ClusterId::from_uuid), id(TokenId::from_uuid));
    let secrets = any::<([u8; 32], [u8; 32])>();
    (ids, role(), secrets, vec(address(), 1..=7)).prop_map(
        |((cluster, id), role, (secret, ca_fingerprint), members)| JoinToken {
            cluster,
            role,
            id,
            secret: Secret(secret),
            ca_fingerprint,
            members,
        },
    )
}

fn capacity() -> impl Strategy<Value = HostCapacity> {
    (any::<u32>(), number(ByteCount), number(ByteCount))
        .prop_map(|(cpus, memory, disk)| HostCapacity { cpus: VcpuCount(cpus), memory, disk })
}

fn inventory() -> impl Strategy<Value = HostInventory> {
    (name(), text(), text(), capacity(), labels()).prop_map(
        |(name, agent_version, hypervisor, capacity, labels)| HostInventory {
            name,
            agent_version,
            hypervisor,
            capacity,
            labels,
        },
    )
}

fn heartbeat() -> impl Strategy<Value = Heartbeat> {
    let summary = (any::<u16>(), number(ByteCount), number(ByteCount), any::<u32>()).prop_map(
        |(cpu_busy_permille, memory_used, disk_used, vms_running)| HostSummary {
            cpu_busy_permille,
            memory_used,
            disk_used,
            vms_running,
        },
    );
    let health = select(vec![HypervisorHealth::Ready, HypervisorHealth::Unreachable]);
    (number(Generation), health, summary).prop_map(|(generation, hypervisor, summary)| Heartbeat {
        generation,
        hypervisor,
        summary,
    })
}

fn observed() -> impl Strategy<Value = ObservedVm> {
    let state = one_of(samples::vm_state());
    (id(VmId::from_uuid), number(Generation), state, any::<u32>(), text()).prop_map(
        |(id, revision, state, restarts, reason): (_, _, VmState, _, _)| ObservedVm {
            id,
            revision,
            state,
            restarts,
            reason,
        },
    )
}

pub(crate) fn from_agent() -> impl Strategy<Value = FromAgent> {
    prop_oneof![
        heartbeat().prop_map(FromAgent::Heartbeat),
        inventory().prop_map(FromAgent::Inventory),
        (number(Generation), vec(observed(), 0..5))
            .prop_map(|(generation, vms)| FromAgent::Report(Report { generation, vms })),
        batch().prop_map(FromAgent::Telemetry),
        vec(any::<u8>(), 0..40).prop_map(FromAgent::CodedTelemetry),
    ]
}

pub(crate) fn to_agent() -> impl Strategy<Value = ToAgent> {
    prop_oneof![
        (number(Term), option::of(number(MemberId)))
            .prop_map(|(term, leader)| ToAgent::Leadership { term, leader }),
        members().prop_map(ToAgent::Members),
        desired_set().prop_map(ToAgent::Desired),
    ]
}

fn spec() -> impl Strategy<Value = VmSpec> {
    let sizes = (number(ByteCount), option::of(number(ByteCount)));
    let image = digest().prop_map(ImageId);
    (any::<u32>(), sizes, image, labels(), labels()).prop_map(
        |(cpus, (memory, disk), image, labels, host_labels)| VmSpec {
            cpus: VcpuCount(cpus),
            memory,
            image,
            disk,
            labels,
            host_labels,
        },
    )
}

fn boot() -> impl Strategy<Value = ImageBoot> {
    let role = one_of(samples::file_role());
    let file = (role, digest(), number(ByteCount), number(ByteCount)).prop_map(
        |(role, digest, size, virtual_size): (FileRole, _, _, _)| ImageFile {
            role,
            digest,
            size,
            virtual_size,
        },
    );
    (digest().prop_map(ImageId), vec(file, 0..3), text())
        .prop_map(|(image, files, cmdline)| ImageBoot { image, files, cmdline })
}

pub(crate) fn desired_set() -> impl Strategy<Value = DesiredSet> {
    let modes = (one_of(samples::target()), one_of(samples::stop_mode()));
    let numbers = (number(Generation), any::<u32>());
    let vm = (id(VmId::from_uuid), name(), modes, numbers, spec(), boot()).prop_map(
        |(id, name, (target, stop_mode), (revision, restarts), spec, boot): (
            _,
            _,
            (Target, StopMode),
            _,
            _,
            _,
        )| DesiredVm { id, name, revision, target, stop_mode, restarts, spec, boot },
    );
    (number(Generation), vec(vm, 0..3)).prop_map(|(generation, vms)| DesiredSet { generation, vms })
}

pub(crate) fn request() -> impl Strategy<Value = Request> {
    prop_oneof![
        bytes().prop_map(|csr| Request::RenewCertificate { csr }),
        digest().prop_map(|digest| Request::Blob { digest }),
        (digest(), bytes())
            .prop_map(|(digest, signature)| Request::CodedBlob { digest, signature }),
        bytes().prop_map(|command| Request::Propose { command }),
        (id(HostId::from_uuid), number(Timestamp))
            .prop_map(|(host, since)| Request::Metrics { host, since }),
        (id(VmId::from_uuid), any::<u32>())
            .prop_map(|(vm, bytes_max)| Request::ConsoleTail { vm, bytes_max }),
        (message(), any::<u64>()).prop_map(|(message, state_len)| Request::InstallSnapshot {
            message: Box::new(message),
            state_len
        }),
    ]
}

pub(crate) fn response() -> impl Strategy<Value = Response> {
    prop_oneof![
        bytes().prop_map(|certificate| Response::Certificate { certificate }),
        any::<u64>().prop_map(|stored_len| Response::Blob { stored_len }),
        any::<u64>().prop_map(|coded_len| Response::CodedBlob { coded_len }),
        (number(LogIndex), bytes())
            .prop_map(|(index, outcome)| Response::Applied { index, outcome }),
        option::of(metrics()).prop_map(Response::Metrics),
        bytes().prop_map(Response::Console),
        text().prop_map(|why| Response::Refused(CallRefusal::Rejected(why))),
        one_of(samples::response()),
    ]
}

fn entry() -> impl Strategy<Value = Entry> {
    let kind = one_of(samples::entry_kind());
    (kind, number(Term), number(LogIndex), bytes(), bytes()).prop_map(
        |(kind, term, index, data, context): (EntryKind, _, _, _, _)| Entry {
            kind,
            term,
            index,
            data,
            context,
        },
    )
}

fn snapshot_meta() -> impl Strategy<Value = SnapshotMeta> {
    let ids = || vec(number(MemberId), 0..7);
    let lists = (ids(), ids(), ids(), ids(), any::<bool>());
    let configuration =
        lists.prop_map(|(voters, learners, voters_outgoing, learners_next, auto_leave)| {
            Configuration { voters, learners, voters_outgoing, learners_next, auto_leave }
        });
    (number(LogIndex), number(Term), configuration)
        .prop_map(|(index, term, configuration)| SnapshotMeta { index, term, configuration })
}

pub(crate) fn message() -> impl Strategy<Value = Message> {
    let ends = (one_of(samples::raft_kind()), number(MemberId), number(MemberId));
    let terms = (number(Term), number(Term), number(Term));
    let indexes = (number(LogIndex), number(LogIndex), number(LogIndex), number(LogIndex));
    let rest = (vec(entry(), 0..4), option::of(snapshot_meta()), bytes());
    (ends, terms, indexes, rest, any::<(bool, i64)>()).prop_map(
        |(
            (kind, to, from),
            (term, log_term, commit_term),
            (index, commit, request_snapshot, reject_hint),
            (entries, snapshot, context),
            (reject, priority),
        )| Message {
            kind,
            to,
            from,
            term,
            log_term,
            index,
            entries,
            commit,
            commit_term,
            snapshot,
            request_snapshot,
            reject,
            reject_hint,
            context,
            priority,
        },
    )
}

fn batch() -> impl Strategy<Value = Batch> {
    let host = (any::<u16>(), any::<u32>(), any::<[u64; 6]>()).prop_map(
        |(cpu_busy_permille, load1_milli, [a, b, c, d, e, f])| HostSample {
            cpu_busy_permille,
            load1_milli,
            memory_used_bytes: a,
            memory_total_bytes: b,
            disk_used_bytes: c,
            disk_total_bytes: d,
            net_rx_bytes_per_s: e,
            net_tx_bytes_per_s: f,
        },
    );
    let vm = (id(VmId::from_uuid), any::<u32>(), any::<[u64; 5]>()).prop_map(
        |(vm, cpu_milli, [a, b, c, d, e])| VmSample {
            vm,
            cpu_milli,
            memory_bytes: a,
            disk_read_bytes_per_s: b,
            disk_write_bytes_per_s: c,
            net_rx_bytes_per_s: d,
            net_tx_bytes_per_s: e,
        },
    );
    (number(Timestamp), host, vec(vm, 0..4)).prop_map(|(at, host, vms)| Batch { at, host, vms })
}

pub(crate) fn metrics() -> impl Strategy<Value = HostMetrics> {
    vec(batch(), 0..4).prop_map(|batches| HostMetrics { batches })
}

/// Any chunk, for manifests whose chunks need not add up.
pub(crate) fn chunk() -> impl Strategy<Value = Chunk> {
    (digest(), any::<u32>()).prop_map(|(digest, len)| Chunk { digest, len })
}
