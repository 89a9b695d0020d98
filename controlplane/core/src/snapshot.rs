//! The state as bytes: what a snapshot holds and what equality by hash is computed over.

use bincode::{Decode, Encode};
use novacron_protocol::codec::{self, CodecError};
use novacron_protocol::limits::RECORD_BYTES_MAX;
use novacron_protocol::record::{self, RecordError};
use novacron_protocol::vm::Target;
use novacron_protocol::wire::hello::Peer;
use novacron_protocol::{
    Digest, HostId, LogIndex, MemberId, OperationId, RequestId, Timestamp, TokenId,
};

use crate::event::{Event, EventKind, EventLog};
use crate::host::Host;
use crate::image::Image;
use crate::member::Member;
use crate::operation::{Operation, Subject};
use crate::request::{Answer, RequestLog};
use crate::state::{Cluster, Index, State};
use crate::token::Token;
use crate::user::User;
use crate::vm::Vm;

/// Newest snapshot format this build writes and reads.
pub const SNAPSHOT_VERSION: u16 = 2;

/// Everything of a [`State`] that is not derived.
#[derive(Encode, Decode)]
struct Image1 {
    applied: LogIndex,
    clock: Timestamp,
    cluster: Option<Cluster>,
    members: Vec<Member>,
    last_member: MemberId,
    hosts: Vec<Host>,
    vms: Vec<Vm>,
    images: Vec<Image>,
    tokens: Vec<Token>,
    users: Vec<User>,
    operations: Vec<Operation>,
    events: Vec<Event>,
    events_forgotten: LogIndex,
    requests: Vec<(RequestId, Answer)>,
    revoked: Vec<(Peer, Timestamp)>,
}

/// What version 2 has beyond version 1.
#[derive(Default, Encode, Decode)]
struct Addition2 {
    returns: Vec<(TokenId, HostId)>,
    returned: Vec<(HostId, Timestamp)>,
}

impl Addition2 {
    fn is_empty(&self) -> bool {
        self.returns.is_empty() && self.returned.is_empty()
    }
}

impl State {
    /// The state as one sealed record; refused beyond the bound of a record. It has the oldest
    /// version that can hold it, so that members a release behind read it as long as they can.
    pub fn to_snapshot(&self) -> Result<Vec<u8>, CodecError> {
        let addition = Addition2 {
            returns: self.returns.iter().map(|(token, host)| (*token, *host)).collect(),
            returned: self.returned.iter().map(|(host, at)| (*host, *at)).collect(),
        };
        let is_new = |event: &Event| event.kind == EventKind::HostReturned;
        if addition.is_empty() && !self.events.iter().any(is_new) {
            return record::seal(1, &self.content());
        }
        record::seal(SNAPSHOT_VERSION, &(self.content(), addition))
    }

    fn content(&self) -> Image1 {
        Image1 {
            applied: self.applied,
            clock: self.clock,
            cluster: self.cluster.clone(),
            members: self.members.values().cloned().collect(),
            last_member: self.last_member,
            hosts: self.hosts.values().cloned().collect(),
            vms: self.vms.values().cloned().collect(),
            images: self.images.values().cloned().collect(),
            tokens: self.tokens.values().cloned().collect(),
            users: self.users.values().cloned().collect(),
            operations: self.operations.values().cloned().collect(),
            events: self.events.iter().cloned().collect(),
            events_forgotten: self.events.forgotten(),
            requests: self.requests.iter().map(|(id, answer)| (*id, answer.clone())).collect(),
            revoked: self.revoked.iter().map(|(peer, at)| (*peer, *at)).collect(),
        }
    }

    /// The state a record holds.
    pub fn from_snapshot(bytes: &[u8]) -> Result<Self, RecordError> {
        let (version, payload) = record::verify(SNAPSHOT_VERSION, bytes)?;
        let (image, addition): (Image1, Addition2) = match version {
            ..=1 => (codec::decode(payload, RECORD_BYTES_MAX)?, Addition2::default()),
            _ => codec::decode(payload, RECORD_BYTES_MAX)?,
        };
        let index = Index::of(&image);
        let finished = image.operations.iter().filter(|operation| !operation.is_open());
        Ok(Self {
            applied: image.applied,
            clock: image.clock,
            cluster: image.cluster,
            last_member: image.last_member,
            finished: finished.map(|operation| (operation.changed, operation.id)).collect(),
            members: image.members.into_iter().map(|member| (member.id, member)).collect(),
            hosts: image.hosts.into_iter().map(|host| (host.id, host)).collect(),
            vms: image.vms.into_iter().map(|vm| (vm.id, vm)).collect(),
            images: image.images.into_iter().map(|image| (image.id, image)).collect(),
            tokens: image.tokens.into_iter().map(|token| (token.id, token)).collect(),
            users: image.users.into_iter().map(|user| (user.id, user)).collect(),
            operations: image.operations.into_iter().map(|entry| (entry.id, entry)).collect(),
            events: EventLog::restore(image.events, image.events_forgotten),
            requests: RequestLog::restore(image.requests),
            revoked: image.revoked.into_iter().collect(),
            returns: addition.returns.into_iter().collect(),
            returned: addition.returned.into_iter().collect(),
            index,
        })
    }

    /// Digest of everything in the state, equal on all members at the same index.
    pub fn digest(&self) -> Result<Digest, CodecError> {
        Ok(Digest::of(&self.to_snapshot()?))
    }
}

impl Index {
    fn of(image: &Image1) -> Self {
        let mut index = Self::default();
        for vm in &image.vms {
            index.insert_name(vm);
            match vm.host {
                Some(host) => {
                    index.vms_by_host.entry(host).or_default().insert(vm.id);
                }
                None if vm.target != Target::Absent => {
                    index.unplaced.insert(vm.id);
                }
                None => {}
            }
        }
        for host in &image.hosts {
            index.hosts_by_name.insert(host.name.clone(), host.id);
        }
        for entry in &image.images {
            index.images_by_name.insert(entry.name.clone(), entry.id);
        }
        for operation in image.operations.iter().filter(|operation| operation.is_open()) {
            index.insert_open(operation.id, operation.subject);
        }
        index
    }

    pub(crate) fn insert_open(&mut self, id: OperationId, subject: Subject) {
        self.open.insert(id);
        if let Subject::Vm(vm) = subject {
            self.open_by_vm.insert(vm, id);
        }
    }
}
