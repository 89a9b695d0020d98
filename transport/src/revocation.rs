//! Who may no longer talk.

use std::collections::BTreeSet;

use novacron_protocol::wire::hello::Peer;

use crate::certificate::Serial;

/// Certificates and peers that are refused, and whose live sessions are closed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RevokedSet {
    pub serials: BTreeSet<Serial>,
    pub peers: BTreeSet<Peer>,
}
