//! Changes of who votes and who learns.
//!
//! raft-rs writes such a change as protobuf into its entry, and the leader's raft-rs parses its own
//! bytes back as it takes the proposal. Nobody else parses them: the change travels beside them, in
//! the entry's context and our own encoding, and applying reads only that. So protobuf's parser
//! sees no byte that came over the network or from disk. An entry without a context is the one by
//! which Raft leaves a joint configuration.

use bincode::{Decode, Encode};
use novacron_protocol::MemberId;
use novacron_protocol::codec::{self, CodecError};
use raft::eraftpb;

/// Bytes of the longest encoded change.
const CHANGE_BYTES_MAX: usize = 64;

/// One change of the Raft group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub enum MembershipChange {
    AddLearner(MemberId),
    Promote(MemberId),
    Remove(MemberId),
}

impl MembershipChange {
    pub(super) fn to_raft(self) -> eraftpb::ConfChangeV2 {
        use eraftpb::ConfChangeType as T;
        let (kind, id) = match self {
            Self::AddLearner(id) => (T::AddLearnerNode, id),
            Self::Promote(id) => (T::AddNode, id),
            Self::Remove(id) => (T::RemoveNode, id),
        };
        let mut change = eraftpb::ConfChangeSingle::default();
        change.set_change_type(kind);
        change.node_id = id.0;
        let mut out = eraftpb::ConfChangeV2::default();
        out.set_changes(vec![change].into());
        out
    }

    pub(super) fn encode(self) -> Vec<u8> {
        codec::encode(&self).expect("a change is a few bytes")
    }
}

/// The change that a configuration entry with this context stands for.
pub(super) fn change_from_context(context: &[u8]) -> Result<eraftpb::ConfChangeV2, CodecError> {
    if context.is_empty() {
        return Ok(eraftpb::ConfChangeV2::default());
    }
    codec::decode::<MembershipChange>(context, CHANGE_BYTES_MAX).map(MembershipChange::to_raft)
}
