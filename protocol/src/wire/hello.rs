//! The first frame in each direction of every session.
//!
//! `Hello` keeps its place and its first two fields for all time, so that a peer of any version
//! can be told why it is refused.

use bincode::{Decode, Encode};

use crate::version::{Version, VersionRange};
use crate::{ClusterId, HostId, MemberId};

/// Who a certificate says its bearer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode)]
pub enum Peer {
    Member(MemberId),
    Host(HostId),
}

impl std::fmt::Display for Peer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Member(id) => write!(f, "member {id}"),
            Self::Host(id) => write!(f, "host {id}"),
        }
    }
}

/// Sent by the side that dialled.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Hello {
    pub versions: VersionRange,
    pub cluster: ClusterId,
    /// Release, for people: `novacron-agent 0.1.0`.
    pub software: String,
}

/// The other side's answer.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum HelloAnswer {
    Welcome { version: Version, software: String },
    Refused(HelloRefusal),
}

/// Shows a renewed certificate on a live session: one frame on a stream of its own. The session's
/// deadline moves to the new certificate's end.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct CertificateUpdate {
    /// DER, for the same peer as before.
    pub certificate: Vec<u8>,
    /// By the certificate's key, over keying material exported from this session's TLS, which
    /// binds it to this session and side.
    pub signature: Vec<u8>,
}

/// Why a session was refused. Also the reason in the connection's close.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, thiserror::Error)]
pub enum HelloRefusal {
    #[error("no common protocol version: peer speaks {0}; upgrade the older side")]
    Version(VersionRange),
    #[error("peer belongs to another cluster ({0})")]
    WrongCluster(ClusterId),
    #[error("this identity was revoked; join again with a new token")]
    Revoked,
}
