//! Facts in the log, each with its log index: what happened, to what, and by whom.
//!
//! Events are the audit record too: a refusal that matters to security is one of them.

use std::fmt;

use bincode::{Decode, Encode};
use imbl::OrdMap;
use novacron_protocol::limits::EVENTS_KEPT;
use novacron_protocol::{
    HostId, ImageId, LogIndex, MemberId, OperationId, Timestamp, TokenId, UserId, VmId,
};

use crate::command::Actor;

#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Event {
    /// The log entry that caused it; a reader resumes after the last index it has seen whole.
    pub index: LogIndex,
    /// Distinguishes events of one entry, from 0.
    pub ordinal: u32,
    pub at: Timestamp,
    pub kind: EventKind,
    pub object: Object,
    pub actor: Actor,
    /// A sentence for people.
    pub message: String,
}

/// What an event is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub enum Object {
    Cluster,
    Member(MemberId),
    Host(HostId),
    Vm(VmId),
    Image(ImageId),
    Token(TokenId),
    User(UserId),
    Operation(OperationId),
}

/// Stable names of events: `object.what-happened`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub enum EventKind {
    ClusterInitialised,
    MemberJoined,
    MemberRoleChanged,
    MemberRemoved,
    HostJoined,
    HostConnected,
    HostDisconnected,
    HostCordoned,
    HostUncordoned,
    HostRemoved,
    ImageCreated,
    ImageDeleted,
    VmCreated,
    VmPlaced,
    VmChanged,
    VmObserved,
    VmDeleted,
    OperationEnded,
    TokenCreated,
    TokenRevoked,
    UserCreated,
    UserDeleted,
    AccessRefused,
    HostReturned,
}

impl EventKind {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ClusterInitialised => "cluster.initialised",
            Self::MemberJoined => "member.joined",
            Self::MemberRoleChanged => "member.role-changed",
            Self::MemberRemoved => "member.removed",
            Self::HostJoined => "host.joined",
            Self::HostConnected => "host.connected",
            Self::HostDisconnected => "host.disconnected",
            Self::HostCordoned => "host.cordoned",
            Self::HostUncordoned => "host.uncordoned",
            Self::HostRemoved => "host.removed",
            Self::ImageCreated => "image.created",
            Self::ImageDeleted => "image.deleted",
            Self::VmCreated => "vm.created",
            Self::VmPlaced => "vm.placed",
            Self::VmChanged => "vm.changed",
            Self::VmObserved => "vm.observed",
            Self::VmDeleted => "vm.deleted",
            Self::OperationEnded => "operation.ended",
            Self::TokenCreated => "token.created",
            Self::TokenRevoked => "token.revoked",
            Self::UserCreated => "user.created",
            Self::UserDeleted => "user.deleted",
            Self::AccessRefused => "access.refused",
            Self::HostReturned => "host.returned",
        }
    }
}

impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// The newest [`EVENTS_KEPT`] events.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventLog {
    events: OrdMap<(LogIndex, u32), Event>,
    /// Every event up to and including this index may be gone.
    forgotten: LogIndex,
}

/// A reader asked for events that are no longer kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "events up to {forgotten} are no longer kept; read the present state and resume from there"
)]
pub struct EventsForgotten {
    pub forgotten: LogIndex,
}

impl EventLog {
    pub(crate) fn restore(events: Vec<Event>, forgotten: LogIndex) -> Self {
        let key = |event: Event| ((event.index, event.ordinal), event);
        Self { events: events.into_iter().map(key).collect(), forgotten }
    }

    pub(crate) fn push(&mut self, event: Event) {
        self.events.insert((event.index, event.ordinal), event);
        while self.events.len() > EVENTS_KEPT {
            let Some(key) = self.events.get_min().map(|(key, _)| *key) else { break };
            self.events.remove(&key);
            self.forgotten = key.0;
        }
    }

    /// Events of entries after `index`, oldest first.
    pub fn after(&self, index: LogIndex) -> Result<impl Iterator<Item = &Event>, EventsForgotten> {
        if index < self.forgotten {
            return Err(EventsForgotten { forgotten: self.forgotten });
        }
        Ok(self.events.range((index.next(), 0)..).map(|(_, event)| event))
    }

    /// All kept events, oldest first.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Event> {
        self.events.values()
    }

    pub fn forgotten(&self) -> LogIndex {
        self.forgotten
    }
}
