//! Between raft-rs's types and our own, field by field.
//!
//! No protobuf is read or written here. The only protobuf bytes in the log are those that raft-rs
//! makes for its own configuration entries (see [`super::configuration`]). What comes from another
//! member enters by [`super::incoming`].

use bytes::Bytes;
use novacron_protocol::wire::raft::{Configuration, Entry, EntryKind, Kind, Message, SnapshotMeta};
use novacron_protocol::{LogIndex, MemberId, Term};
use raft::eraftpb;

use super::store::HardState;

/// The body of a snapshot stays behind: it travels beside its message.
pub(super) fn message_to_wire(mut message: eraftpb::Message) -> Message {
    Message {
        kind: kind_to_wire(message.get_msg_type()),
        to: MemberId(message.to),
        from: MemberId(message.from),
        term: Term(message.term),
        log_term: Term(message.log_term),
        index: LogIndex(message.index),
        entries: message.take_entries().into_iter().map(entry_to_wire).collect(),
        commit: LogIndex(message.commit),
        commit_term: Term(message.commit_term),
        snapshot: message
            .snapshot
            .as_ref()
            .filter(|_| message.get_msg_type() == eraftpb::MessageType::MsgSnapshot)
            .map(|snapshot| snapshot_to_wire(snapshot.get_metadata())),
        request_snapshot: LogIndex(message.request_snapshot),
        reject: message.reject,
        reject_hint: LogIndex(message.reject_hint),
        context: message.context.to_vec(),
        priority: message.priority,
    }
}

pub(super) fn entry_to_wire(entry: eraftpb::Entry) -> Entry {
    Entry {
        kind: match entry.get_entry_type() {
            eraftpb::EntryType::EntryNormal => EntryKind::Normal,
            eraftpb::EntryType::EntryConfChange => EntryKind::ConfChange,
            eraftpb::EntryType::EntryConfChangeV2 => EntryKind::ConfChangeV2,
        },
        term: Term(entry.term),
        index: LogIndex(entry.index),
        data: entry.data.to_vec(),
        context: entry.context.to_vec(),
    }
}

pub(super) fn entry_from_wire(entry: Entry) -> eraftpb::Entry {
    let mut out = eraftpb::Entry::default();
    out.set_entry_type(match entry.kind {
        EntryKind::Normal => eraftpb::EntryType::EntryNormal,
        EntryKind::ConfChange => eraftpb::EntryType::EntryConfChange,
        EntryKind::ConfChangeV2 => eraftpb::EntryType::EntryConfChangeV2,
    });
    out.term = entry.term.0;
    out.index = entry.index.0;
    out.data = entry.data.into();
    out.context = entry.context.into();
    out
}

pub(super) fn snapshot_to_wire(meta: &eraftpb::SnapshotMetadata) -> SnapshotMeta {
    SnapshotMeta {
        index: LogIndex(meta.index),
        term: Term(meta.term),
        configuration: configuration_to_wire(meta.get_conf_state()),
    }
}

pub(super) fn snapshot_from_wire(meta: &SnapshotMeta, state: Bytes) -> eraftpb::Snapshot {
    let mut out = eraftpb::Snapshot::default();
    let metadata = out.mut_metadata();
    metadata.index = meta.index.0;
    metadata.term = meta.term.0;
    metadata.set_conf_state(configuration_from_wire(&meta.configuration));
    out.data = state;
    out
}

pub(super) fn configuration_to_wire(state: &eraftpb::ConfState) -> Configuration {
    let ids = |ids: &[u64]| {
        let mut ids: Vec<MemberId> = ids.iter().copied().map(MemberId).collect();
        ids.sort_unstable();
        ids
    };
    Configuration {
        voters: ids(&state.voters),
        learners: ids(&state.learners),
        voters_outgoing: ids(&state.voters_outgoing),
        learners_next: ids(&state.learners_next),
        auto_leave: state.auto_leave,
    }
}

pub(super) fn configuration_from_wire(configuration: &Configuration) -> eraftpb::ConfState {
    let ids = |ids: &[MemberId]| ids.iter().map(|id| id.0).collect();
    eraftpb::ConfState {
        voters: ids(&configuration.voters),
        learners: ids(&configuration.learners),
        voters_outgoing: ids(&configuration.voters_outgoing),
        learners_next: ids(&configuration.learners_next),
        auto_leave: configuration.auto_leave,
        ..eraftpb::ConfState::default()
    }
}

pub(super) fn hard_state_to_wire(state: &eraftpb::HardState) -> HardState {
    HardState {
        term: Term(state.term),
        vote: (state.vote != 0).then_some(MemberId(state.vote)),
        commit: LogIndex(state.commit),
    }
}

pub(super) fn hard_state_from_wire(state: HardState) -> eraftpb::HardState {
    eraftpb::HardState {
        term: state.term.0,
        vote: state.vote.map_or(0, |id| id.0),
        commit: state.commit.0,
        ..eraftpb::HardState::default()
    }
}

fn kind_to_wire(kind: eraftpb::MessageType) -> Kind {
    use eraftpb::MessageType as M;
    match kind {
        M::MsgHup => Kind::Hup,
        M::MsgBeat => Kind::Beat,
        M::MsgPropose => Kind::Propose,
        M::MsgAppend => Kind::Append,
        M::MsgAppendResponse => Kind::AppendResponse,
        M::MsgRequestVote => Kind::RequestVote,
        M::MsgRequestVoteResponse => Kind::RequestVoteResponse,
        M::MsgSnapshot => Kind::Snapshot,
        M::MsgHeartbeat => Kind::Heartbeat,
        M::MsgHeartbeatResponse => Kind::HeartbeatResponse,
        M::MsgUnreachable => Kind::Unreachable,
        M::MsgSnapStatus => Kind::SnapStatus,
        M::MsgCheckQuorum => Kind::CheckQuorum,
        M::MsgTransferLeader => Kind::TransferLeader,
        M::MsgTimeoutNow => Kind::TimeoutNow,
        M::MsgReadIndex => Kind::ReadIndex,
        M::MsgReadIndexResp => Kind::ReadIndexResponse,
        M::MsgRequestPreVote => Kind::RequestPreVote,
        M::MsgRequestPreVoteResponse => Kind::RequestPreVoteResponse,
    }
}
