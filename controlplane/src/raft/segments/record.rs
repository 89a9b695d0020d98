//! What the log's writes hold: records, in the order in which they take effect.
//!
//! ```text
//! a batch:   | length: u32 | record | record | ...
//! a record:  | length: u32 | kind: u8 | body (bincode) |
//! ```
//! New kinds may be added; a program that does not know one says so and stops.

use bincode::{Decode, Encode};
use novacron_protocol::codec::{self, CodecError};
use novacron_protocol::limits::COMMAND_BYTES_MAX;
use novacron_protocol::wire::raft::Entry;
use novacron_protocol::{LogIndex, MemberId, Term};

use crate::raft::store::HardState;

/// Newest format of segments that this build writes and reads.
pub(super) const FORMAT: u16 = 1;
/// Longest body: an entry with the largest command, its context and its place.
const BODY_BYTES_MAX: usize = COMMAND_BYTES_MAX + 4096;
const ENTRY: u8 = 1;
const VOTE: u8 = 2;
const COMMIT: u8 = 3;
const CUT: u8 = 4;
const KEPT: u8 = 5;
const INSTALLED: u8 = 6;

/// One step of the log's life.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Record {
    Entry(Entry),
    Vote(Vote),
    /// Everything up to here is committed. Comes after the entries that it speaks of.
    Commit(LogIndex),
    /// Entries from here on are void: others follow in their place.
    Cut(LogIndex),
    /// A snapshot of the member's own making is durable; entries stay.
    Kept(Place),
    /// A snapshot from the leader is durable and takes the place of all entries.
    Installed(Place),
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Encode, Decode)]
pub(super) struct Vote {
    pub(super) term: Term,
    pub(super) vote: Option<MemberId>,
}

/// Index and term of an entry or snapshot; 0 and 0 before the first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Encode, Decode)]
pub(super) struct Place {
    pub(super) index: LogIndex,
    pub(super) term: Term,
}

/// Where a log stands: all that a segment's beginning must say, so that those before it may go.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Encode, Decode)]
pub(super) struct Standing {
    /// The last entry, or the snapshot that took the place of all.
    pub(super) last: LogIndex,
    pub(super) hard_state: HardState,
    pub(super) snapshot: Place,
}

/// The first sector of a segment.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub(super) struct Beginning {
    pub(super) format: u16,
    /// Which log it is part of, drawn when that was made.
    pub(super) log: u64,
    pub(super) sequence: u32,
    /// Sectors of the file, this one included.
    pub(super) sectors: u32,
    /// Batches in the segment before, so that the loss of its last ones shows.
    pub(super) batches_before: u32,
    pub(super) standing: Standing,
}

impl Beginning {
    /// The content of the segment's first sector.
    pub(super) fn encode(&self) -> Vec<u8> {
        let body = codec::encode(self).expect("numbers have an encoding");
        let len = u16::try_from(body.len()).expect("a few dozen bytes");
        [len.to_le_bytes().as_slice(), &body].concat()
    }

    pub(super) fn decode(payload: &[u8]) -> Result<Self, MalformedRecord> {
        let [l0, l1, rest @ ..] = payload else { return Err(MalformedRecord::Short) };
        let len = usize::from(u16::from_le_bytes([*l0, *l1]));
        let body = rest.get(..len).ok_or(MalformedRecord::Short)?;
        // The format comes first, for all time: what follows it may change with it.
        let format: u16 = codec::decode_prefix(body, BODY_BYTES_MAX)?;
        if format > FORMAT {
            return Err(MalformedRecord::Newer(format));
        }
        Ok(codec::decode(body, BODY_BYTES_MAX)?)
    }
}

/// Bytes that are no records.
#[derive(Debug, thiserror::Error)]
pub(super) enum MalformedRecord {
    #[error("a record is cut short")]
    Short,
    #[error("a record of kind {0}; this release does not know it: install a newer release")]
    UnknownKind(u8),
    #[error("format {0}; this release reads up to {FORMAT}: install a newer release")]
    Newer(u16),
    #[error(transparent)]
    Codec(#[from] CodecError),
}

/// Appends a record of an entry; the entry needs not be given away.
pub(super) fn push_entry(entry: &Entry, out: &mut Vec<u8>) {
    push_body(ENTRY, entry, out);
}

pub(super) fn push(record: &Record, out: &mut Vec<u8>) {
    match record {
        Record::Entry(entry) => push_entry(entry, out),
        Record::Vote(vote) => push_body(VOTE, vote, out),
        Record::Commit(index) => push_body(COMMIT, index, out),
        Record::Cut(from) => push_body(CUT, from, out),
        Record::Kept(place) => push_body(KEPT, place, out),
        Record::Installed(place) => push_body(INSTALLED, place, out),
    }
}

fn push_body<T: Encode>(kind: u8, body: &T, out: &mut Vec<u8>) {
    let body = codec::encode(body).expect("what a log holds has an encoding");
    let len = u32::try_from(body.len()).expect("commands have a bound far below 4 GiB");
    out.extend(len.to_le_bytes());
    out.push(kind);
    out.extend(body);
}

/// The records in the content of a batch.
pub(super) fn parse(mut bytes: &[u8]) -> Result<Vec<Record>, MalformedRecord> {
    let mut records = Vec::new();
    while let [l0, l1, l2, l3, kind, rest @ ..] = bytes {
        let len = u32::from_le_bytes([*l0, *l1, *l2, *l3]) as usize;
        let (body, after) = rest.split_at_checked(len).ok_or(MalformedRecord::Short)?;
        records.push(open(*kind, body)?);
        bytes = after;
    }
    if bytes.is_empty() { Ok(records) } else { Err(MalformedRecord::Short) }
}

fn open(kind: u8, body: &[u8]) -> Result<Record, MalformedRecord> {
    Ok(match kind {
        ENTRY => Record::Entry(decode(body)?),
        VOTE => Record::Vote(decode(body)?),
        COMMIT => Record::Commit(decode(body)?),
        CUT => Record::Cut(decode(body)?),
        KEPT => Record::Kept(decode(body)?),
        INSTALLED => Record::Installed(decode(body)?),
        other => return Err(MalformedRecord::UnknownKind(other)),
    })
}

fn decode<T: Decode<()>>(body: &[u8]) -> Result<T, CodecError> {
    codec::decode(body, BODY_BYTES_MAX)
}
