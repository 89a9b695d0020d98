//! What a certificate says about its bearer.

use std::fmt;

use novacron_protocol::wire::hello::Peer;
use novacron_protocol::{ClusterId, Timestamp};

/// Serial number of a certificate: 16 random bytes, unique in a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Serial(pub [u8; 16]);

impl fmt::Display for Serial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A host's or member's certificate, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerCertificate {
    pub cluster: ClusterId,
    pub peer: Peer,
    pub serial: Serial,
    pub not_before: Timestamp,
    pub not_after: Timestamp,
}

impl PeerCertificate {
    /// Reads a DER certificate. Says nothing about who signed it.
    pub fn from_der(_der: &[u8]) -> Result<Self, CertificateError> {
        unimplemented!()
    }
}

/// A certificate that is not a host's or member's of this cluster, now.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    #[error("not a certificate: {0}")]
    Malformed(String),
}
