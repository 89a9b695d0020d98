//! One question and one answer on a stream of their own.
//!
//! The first frame is a [`Request`], the answer a [`Response`]. Raw bytes up to the stream's end
//! follow an [`Request::InstallSnapshot`], a [`Response::Blob`] and a [`Response::CodedBlob`].

use bincode::{Decode, Encode};

use crate::wire::telemetry::HostMetrics;
use crate::{Digest, HostId, LogIndex, Timestamp, VmId};

#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum Request {
    /// To a member: a new certificate for the caller's key request (PKCS #10 DER).
    RenewCertificate { csr: Vec<u8> },
    /// To a member: one blob of an image, for agents and for members that lack it.
    Blob { digest: Digest },
    /// To the leader, from a member: propose an encoded command and wait until it is applied.
    Propose { command: Vec<u8> },
    /// To a member: its last hour of metrics of a host.
    Metrics { host: HostId, since: Timestamp },
    /// To an agent: the newest part of a VM's serial console.
    ConsoleTail { vm: VmId, bytes_max: u32 },
    /// To a member, from the leader: a Raft snapshot message; `state_len` bytes of state follow.
    InstallSnapshot { message: Box<super::raft::Message>, state_len: u64 },
    /// To a member, from version 2 on: as [`Self::Blob`], for a caller that has something like it.
    /// `signature` is that of `novacron-hde`'s `delta`; the answer is a blob in either form.
    CodedBlob { digest: Digest, signature: Vec<u8> },
}

#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub enum Response {
    Certificate {
        certificate: Vec<u8>,
    },
    /// The blob's zstd bytes follow.
    Blob {
        stored_len: u64,
    },
    /// The encoded outcome of the command.
    Applied {
        index: LogIndex,
        outcome: Vec<u8>,
    },
    Metrics(Option<HostMetrics>),
    Console(Vec<u8>),
    Done,
    Refused(CallRefusal),
    /// A stream of `novacron-hde` follows, which stands for the blob's content.
    CodedBlob {
        coded_len: u64,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, thiserror::Error)]
pub enum CallRefusal {
    /// Ask that member, or any other one after a while when it is not known.
    #[error("not the leader")]
    NotLeader { leader: Option<crate::MemberId> },
    #[error("not found: {0}")]
    NotFound(String),
    #[error("not allowed: {0}")]
    Forbidden(String),
    #[error("cannot answer now: {0}")]
    Unavailable(String),
    #[error("{0}")]
    Rejected(String),
    /// More waits already than can be served soon. Nothing was done.
    #[error("too much is under way")]
    Busy,
}
