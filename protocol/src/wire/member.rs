//! Between members, beside calls.

use bincode::{Decode, Encode};

use crate::wire::raft::Message;

/// From a member to a member, class `lease`.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum FromMember {
    /// A Raft message that fits a frame. Snapshots go by [`super::call::Request::InstallSnapshot`].
    Raft(Message),
}
