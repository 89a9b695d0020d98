//! Protocol versions: what a peer speaks, and what two peers speak together.
//!
//! A *generation* names a wire format that cannot talk to another; it is part of the ALPN name and
//! decided in the TLS handshake. Within a generation, *versions* add messages; the first message
//! of a session offers a range and the answer picks one.

use std::fmt;

use bincode::{Decode, Encode};

/// ALPN name of a session between processes that hold certificates.
pub const ALPN_SESSION: &[u8] = b"novacron/1";
/// ALPN name of a process that comes with a join token and no certificate yet.
pub const ALPN_JOIN: &[u8] = b"novacron-join/1";

/// One version of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub struct Version(pub u16);

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "v{}", self.0)
    }
}

/// The versions a program speaks, both ends included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct VersionRange {
    pub oldest: Version,
    pub newest: Version,
}

/// What this build speaks.
pub const SUPPORTED: VersionRange = VersionRange { oldest: Version(1), newest: Version(2) };

/// From here on samples and blobs may travel as differences to what the peer has.
pub const DIFFERENCES: Version = Version(2);

/// Two peers have no version in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "no common protocol version: this side speaks {ours}, the peer {theirs}; upgrade the older"
)]
pub struct NoCommonVersion {
    pub ours: VersionRange,
    pub theirs: VersionRange,
}

impl VersionRange {
    /// The newest version that both ranges hold.
    pub fn negotiate(self, theirs: Self) -> Result<Version, NoCommonVersion> {
        let newest = self.newest.min(theirs.newest);
        let oldest = self.oldest.max(theirs.oldest);
        if oldest <= newest { Ok(newest) } else { Err(NoCommonVersion { ours: self, theirs }) }
    }
}

impl fmt::Display for VersionRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} to {}", self.oldest, self.newest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn range(oldest: u16, newest: u16) -> VersionRange {
        VersionRange { oldest: Version(oldest), newest: Version(newest) }
    }

    #[test]
    fn a_peer_one_version_away_is_served_and_one_too_far_is_told_so() {
        assert_eq!(range(1, 2).negotiate(range(2, 3)), Ok(Version(2)));
        assert_eq!(range(1, 1).negotiate(range(1, 2)), Ok(Version(1)));
        let error = range(1, 1).negotiate(range(2, 3)).unwrap_err();
        assert!(error.to_string().contains("v2 to v3"), "{error}");
        assert!(range(5, 4).negotiate(range(1, 9)).is_err(), "an inverted range is no range");
    }
}
