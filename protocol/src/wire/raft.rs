//! Raft messages in our own bounded encoding.
//!
//! raft-rs brings a protobuf parser that must never see bytes from the network
//! (RUSTSEC-2024-0437), so every field that raft-rs uses is mirrored here and converted by the
//! driver. Snapshot bodies travel apart, on a bulk stream.

use bincode::{Decode, Encode};

use crate::{LogIndex, MemberId, Term};

/// `eraftpb::MessageType`, in its numbering.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub enum Kind {
    Hup,
    Beat,
    Propose,
    Append,
    AppendResponse,
    RequestVote,
    RequestVoteResponse,
    Snapshot,
    Heartbeat,
    HeartbeatResponse,
    Unreachable,
    SnapStatus,
    CheckQuorum,
    TransferLeader,
    TimeoutNow,
    ReadIndex,
    ReadIndexResponse,
    RequestPreVote,
    RequestPreVoteResponse,
}

/// `eraftpb::EntryType`, in its numbering.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub enum EntryKind {
    Normal,
    ConfChange,
    ConfChangeV2,
}

/// One entry of the log.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Entry {
    pub kind: EntryKind,
    pub term: Term,
    pub index: LogIndex,
    pub data: Vec<u8>,
    pub context: Vec<u8>,
}

/// Voters and learners, with the outgoing half of a joint configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq, Encode, Decode)]
pub struct Configuration {
    pub voters: Vec<MemberId>,
    pub learners: Vec<MemberId>,
    pub voters_outgoing: Vec<MemberId>,
    pub learners_next: Vec<MemberId>,
    pub auto_leave: bool,
}

/// What a snapshot is of.
#[derive(Debug, Clone, Default, PartialEq, Eq, Encode, Decode)]
pub struct SnapshotMeta {
    pub index: LogIndex,
    pub term: Term,
    pub configuration: Configuration,
}

/// `eraftpb::Message` without the fields that raft-rs deprecated.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Message {
    pub kind: Kind,
    pub to: MemberId,
    pub from: MemberId,
    pub term: Term,
    pub log_term: Term,
    pub index: LogIndex,
    pub entries: Vec<Entry>,
    pub commit: LogIndex,
    pub commit_term: Term,
    pub snapshot: Option<SnapshotMeta>,
    pub request_snapshot: LogIndex,
    pub reject: bool,
    pub reject_hint: LogIndex,
    pub context: Vec<u8>,
    pub priority: i64,
}
