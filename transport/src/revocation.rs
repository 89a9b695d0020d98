//! Who may no longer talk.

use std::collections::{BTreeMap, BTreeSet};

use novacron_protocol::wire::hello::Peer;
use novacron_protocol::{Millis, Timestamp};

use crate::certificate::{PeerCertificate, Serial};

/// Certificates and peers that are refused, and whose live sessions are closed.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RevokedSet {
    pub serials: BTreeSet<Serial>,
    pub peers: BTreeSet<Peer>,
    /// Peers that were given another identity at that time: certificates from before are refused.
    pub replaced: BTreeMap<Peer, Timestamp>,
}

/// Certificates are backdated, and clocks of members differ: one that was made so shortly before a
/// replacement is taken for a new one.
const UNCERTAINTY: Millis = Millis(10 * 60 * 1000);

impl RevokedSet {
    /// Whether the bearer of this certificate is refused.
    pub fn covers(&self, certificate: &PeerCertificate) -> bool {
        let is_replaced = |at: &Timestamp| certificate.not_before + UNCERTAINTY < *at;
        self.serials.contains(&certificate.serial)
            || self.peers.contains(&certificate.peer)
            || self.replaced.get(&certificate.peer).is_some_and(is_replaced)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_peer_that_was_replaced_only_the_certificates_from_before_are_refused() {
        const HOUR_MS: u64 = 3_600_000;
        const CLUSTER: &str = "00000000-0000-4000-8000-000000000009";
        let host = |n| Peer::Host(format!("00000000-0000-4000-8000-{n:012x}").parse().unwrap());
        let made_at = |peer, hour: u64| PeerCertificate {
            cluster: CLUSTER.parse().unwrap(),
            peer,
            serial: Serial([1; 16]),
            not_before: Timestamp(hour * HOUR_MS),
            not_after: Timestamp((hour + 168) * HOUR_MS),
        };
        let replaced = [(host(1), Timestamp(5 * HOUR_MS))].into();
        let revoked = RevokedSet { replaced, ..RevokedSet::default() };
        assert!(revoked.covers(&made_at(host(1), 4)));
        assert!(!revoked.covers(&made_at(host(1), 5)), "the new one");
        assert!(!revoked.covers(&made_at(host(2), 4)), "another's");
    }
}
