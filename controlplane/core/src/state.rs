//! The replicated state: all placement truth, as one value.
//!
//! Every map is persistent, so [`Clone`] is O(1) and a reader never waits for a writer. The maps
//! behind private fields (`unplaced`, `vms_by_host`, the name indexes) are derived from the public
//! ones; `snapshot` rebuilds them, and a test compares.

use imbl::{OrdMap, OrdSet};
use novacron_protocol::vm::{DesiredSet, Target};
use novacron_protocol::wire::hello::Peer;
use novacron_protocol::{
    ClusterId, HostId, ImageId, LogIndex, MemberId, Name, OperationId, Timestamp, TokenId, UserId,
    VmId,
};

use crate::event::EventLog;
use crate::host::Host;
use crate::image::Image;
use crate::member::Member;
use crate::operation::Operation;
use crate::request::RequestLog;
use crate::token::Token;
use crate::user::User;
use crate::vm::{Observed, Vm};

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct State {
    /// The last entry applied, also the version of this value.
    pub(crate) applied: LogIndex,
    /// The latest time stamped into a command; never goes back.
    pub(crate) clock: Timestamp,
    pub(crate) cluster: Option<Cluster>,
    pub(crate) members: OrdMap<MemberId, Member>,
    /// Ids of members are never used again.
    pub(crate) last_member: MemberId,
    pub(crate) hosts: OrdMap<HostId, Host>,
    pub(crate) vms: OrdMap<VmId, Vm>,
    pub(crate) images: OrdMap<ImageId, Image>,
    pub(crate) tokens: OrdMap<TokenId, Token>,
    /// Tokens with which one known host comes back, and that host.
    pub(crate) returns: OrdMap<TokenId, HostId>,
    pub(crate) users: OrdMap<UserId, User>,
    pub(crate) operations: OrdMap<OperationId, Operation>,
    /// Finished operations by age, to forget the oldest.
    pub(crate) finished: OrdSet<(LogIndex, OperationId)>,
    pub(crate) events: EventLog,
    pub(crate) requests: RequestLog,
    /// Hosts and members whose certificates are no longer good, since when.
    pub(crate) revoked: OrdMap<Peer, Timestamp>,
    /// Hosts that came back, since when: their certificates from before are no longer good.
    pub(crate) returned: OrdMap<HostId, Timestamp>,
    pub(crate) index: Index,
}

/// What is derived from the rest, for speed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Index {
    pub(crate) vms_by_name: OrdMap<Name, VmId>,
    pub(crate) hosts_by_name: OrdMap<Name, HostId>,
    pub(crate) images_by_name: OrdMap<Name, ImageId>,
    pub(crate) vms_by_host: OrdMap<HostId, OrdSet<VmId>>,
    /// VMs by the stem of their name: siblings, to be kept apart.
    pub(crate) vms_by_stem: OrdMap<String, OrdSet<VmId>>,
    /// VMs that wait for a host.
    pub(crate) unplaced: OrdSet<VmId>,
    /// Open operations.
    pub(crate) open: OrdSet<OperationId>,
    /// The open operation of a VM; at most one.
    pub(crate) open_by_vm: OrdMap<VmId, OperationId>,
}

#[derive(Debug, Clone, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct Cluster {
    pub id: ClusterId,
    pub name: Name,
    pub created_at: Timestamp,
}

impl State {
    /// The last entry applied.
    pub fn applied(&self) -> LogIndex {
        self.applied
    }

    /// The latest time any command carried.
    pub fn clock(&self) -> Timestamp {
        self.clock
    }

    /// `None` before the first command.
    pub fn cluster(&self) -> Option<&Cluster> {
        self.cluster.as_ref()
    }

    pub fn members(&self) -> impl Iterator<Item = &Member> {
        self.members.values()
    }

    pub fn member(&self, id: MemberId) -> Option<&Member> {
        self.members.get(&id)
    }

    pub fn hosts(&self) -> impl Iterator<Item = &Host> {
        self.hosts.values()
    }

    pub fn host(&self, id: HostId) -> Option<&Host> {
        self.hosts.get(&id)
    }

    pub fn host_by_name(&self, name: &Name) -> Option<&Host> {
        self.index.hosts_by_name.get(name).and_then(|id| self.hosts.get(id))
    }

    pub fn vms(&self) -> impl Iterator<Item = &Vm> {
        self.vms.values()
    }

    /// VMs after `id` in id order, for pages.
    pub fn vms_after(&self, id: Option<VmId>) -> impl Iterator<Item = &Vm> {
        use std::ops::Bound::{Excluded, Unbounded};
        let from = id.map_or(Unbounded, Excluded);
        self.vms.range((from, Unbounded)).map(|(_, vm)| vm)
    }

    pub fn vm(&self, id: VmId) -> Option<&Vm> {
        self.vms.get(&id)
    }

    pub fn vm_by_name(&self, name: &Name) -> Option<&Vm> {
        self.index.vms_by_name.get(name).and_then(|id| self.vms.get(id))
    }

    /// VMs placed on `host`, by id.
    pub fn vms_on(&self, host: HostId) -> impl Iterator<Item = &Vm> {
        let ids = self.index.vms_by_host.get(&host).into_iter().flatten();
        ids.filter_map(|id| self.vms.get(id))
    }

    /// VMs that wait for a host, oldest first (ids sort by age).
    pub fn unplaced(&self) -> impl Iterator<Item = &Vm> {
        self.index.unplaced.iter().filter_map(|id| self.vms.get(id))
    }

    /// What is known of a VM now.
    pub fn observed(&self, vm: &Vm) -> Observed {
        vm.observed(vm.host.and_then(|host| self.hosts.get(&host)))
    }

    pub fn images(&self) -> impl Iterator<Item = &Image> {
        self.images.values()
    }

    pub fn image(&self, id: ImageId) -> Option<&Image> {
        self.images.get(&id)
    }

    pub fn image_by_name(&self, name: &Name) -> Option<&Image> {
        self.index.images_by_name.get(name).and_then(|id| self.images.get(id))
    }

    pub fn tokens(&self) -> impl Iterator<Item = &Token> {
        self.tokens.values()
    }

    pub fn token(&self, id: TokenId) -> Option<&Token> {
        self.tokens.get(&id)
    }

    pub fn users(&self) -> impl Iterator<Item = &User> {
        self.users.values()
    }

    pub fn user(&self, id: UserId) -> Option<&User> {
        self.users.get(&id)
    }

    pub fn operations(&self) -> impl DoubleEndedIterator<Item = &Operation> {
        self.operations.values()
    }

    pub fn operation(&self, id: OperationId) -> Option<&Operation> {
        self.operations.get(&id)
    }

    /// Operations that have not ended, oldest first.
    pub fn open_operations(&self) -> impl Iterator<Item = &Operation> {
        self.index.open.iter().filter_map(|id| self.operations.get(id))
    }

    /// The open operation on a VM; at most one.
    pub fn open_operation_of(&self, vm: VmId) -> Option<&Operation> {
        self.index.open_by_vm.get(&vm).and_then(|id| self.operations.get(id))
    }

    pub fn events(&self) -> &EventLog {
        &self.events
    }

    /// Hosts and members whose certificates are no longer good.
    pub fn revoked(&self) -> impl Iterator<Item = &Peer> {
        self.revoked.keys()
    }

    /// The one host that comes back with this token; `None` for a token for newcomers.
    pub fn returning_host(&self, token: TokenId) -> Option<HostId> {
        self.returns.get(&token).copied()
    }

    /// Hosts that came back, since when: certificates from before are no longer good.
    pub fn returned(&self) -> impl Iterator<Item = (HostId, Timestamp)> {
        self.returned.iter().map(|(host, at)| (*host, *at))
    }

    /// Everything `host` should have, or `None` when there is no such host.
    pub fn desired_set(&self, host: HostId) -> Option<DesiredSet> {
        let generation = self.hosts.get(&host)?.generation;
        Some(DesiredSet { generation, vms: self.vms_on(host).map(Vm::desired).collect() })
    }

    /// Whether a majority of the voters hold every blob of `image`.
    pub fn is_image_safe(&self, image: &Image) -> bool {
        use crate::member::MemberRole::Voter;
        let voters = self.members.values().filter(|member| member.role == Voter);
        let (mut all, mut holding) = (0, 0);
        for voter in voters {
            all += 1;
            holding += usize::from(image.holders.contains(&voter.id));
        }
        holding > all / 2
    }

    /// How many siblings of `vm` are placed on `host`: VMs whose names differ only in their number.
    pub fn siblings_on(&self, vm: &Vm, host: HostId) -> u32 {
        let siblings = self.index.vms_by_stem.get(stem(&vm.name)).into_iter().flatten();
        let here = siblings.filter(|id| {
            **id != vm.id && self.vms.get(*id).is_some_and(|other| other.host == Some(host))
        });
        u32::try_from(here.count()).unwrap_or(u32::MAX)
    }

    /// Counts a VM as placed, in a plan that is thrown away.
    pub(crate) fn assume_placed(&mut self, id: VmId, host_id: HostId) {
        let Some(vm) = self.vms.get_mut(&id) else { return };
        vm.host = Some(host_id);
        let usage = vm.usage();
        if let Some(host) = self.hosts.get_mut(&host_id) {
            host.allocated = host.allocated.plus(usage);
        }
    }

    /// Whether some VM is made from `image`.
    pub(crate) fn image_user(&self, image: ImageId) -> Option<&Vm> {
        self.vms.values().find(|vm| vm.spec.image == image && vm.target != Target::Absent)
    }
}

impl Index {
    pub(crate) fn insert_name(&mut self, vm: &Vm) {
        self.vms_by_name.insert(vm.name.clone(), vm.id);
        self.vms_by_stem.entry(stem(&vm.name).to_owned()).or_default().insert(vm.id);
    }

    pub(crate) fn remove_name(&mut self, vm: &Vm) {
        self.vms_by_name.remove(&vm.name);
        if let Some(siblings) = self.vms_by_stem.get_mut(stem(&vm.name)) {
            siblings.remove(&vm.id);
            if siblings.is_empty() {
                self.vms_by_stem.remove(stem(&vm.name));
            }
        }
    }
}

/// A name without its number: `web-12` and `web-13` are siblings.
fn stem(name: &Name) -> &str {
    name.as_str().trim_end_matches(|c: char| c.is_ascii_digit()).trim_end_matches('-')
}
