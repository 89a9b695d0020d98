//! Who may no longer talk.

use std::collections::BTreeSet;

use novacron_protocol::wire::hello::Peer;

use crate::certificate::{PeerCertificate, Serial};

/// Certificates and peers that are refused, and whose live sessions are closed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RevokedSet {
    pub serials: BTreeSet<Serial>,
    pub peers: BTreeSet<Peer>,
}

impl RevokedSet {
    /// Whether the bearer of this certificate is refused.
    pub fn covers(&self, certificate: &PeerCertificate) -> bool {
        self.serials.contains(&certificate.serial) || self.peers.contains(&certificate.peer)
    }
}
