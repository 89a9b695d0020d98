//! How a machine with a token becomes one with a certificate.

use std::net::SocketAddr;

use bincode::{Decode, Encode};

use crate::join_token::{JoinRole, Secret};
use crate::{ClusterId, HostId, MemberId, Name, TokenId};

/// Asks to be let in. Sending it again with the same key and token is harmless: the answer names
/// the same id.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct JoinRequest {
    pub token: TokenId,
    pub secret: Secret,
    pub role: JoinRole,
    /// PKCS #10 request (DER), signed by the newcomer's own key. Only its key is used.
    pub csr: Vec<u8>,
    pub name: Name,
    /// Where a new member will be reached; `None` for a host.
    pub member: Option<MemberAddresses>,
}

/// Where a member listens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct MemberAddresses {
    /// QUIC, for members and agents.
    pub cluster: SocketAddr,
    /// HTTPS, for clients.
    pub api: SocketAddr,
}

#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum JoinAnswer {
    Host(HostWelcome),
    Member(MemberWelcome),
    Refused(JoinRefusal),
}

/// Identity and directions for a new host.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct HostWelcome {
    pub cluster: ClusterId,
    pub host: HostId,
    /// Certificate (DER) of the key in the request.
    pub certificate: Vec<u8>,
    /// The cluster CA's certificate (DER).
    pub ca: Vec<u8>,
    pub members: Vec<MemberAddress>,
}

/// Identity and directions for a new member; it starts as a learner.
#[derive(Clone, PartialEq, Eq, Encode, Decode)]
pub struct MemberWelcome {
    pub cluster: ClusterId,
    pub member: MemberId,
    pub certificate: Vec<u8>,
    pub ca: Vec<u8>,
    /// The CA's private key (PKCS #8 DER): every member signs host certificates.
    pub ca_key: Vec<u8>,
    pub members: Vec<MemberAddress>,
}

impl std::fmt::Debug for MemberWelcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MemberWelcome")
            .field("cluster", &self.cluster)
            .field("member", &self.member)
            .field("members", &self.members)
            .finish_non_exhaustive()
    }
}

/// A member and where to dial it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct MemberAddress {
    pub id: MemberId,
    pub cluster: SocketAddr,
}

#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, thiserror::Error)]
pub enum JoinRefusal {
    #[error("this cluster knows no such token, or its secret is wrong")]
    UnknownToken,
    #[error("the token expired; make a new one with `novacron token create`")]
    Expired,
    #[error("the token has no uses left; make a new one with `novacron token create`")]
    UsedUp,
    #[error("the token is for another role")]
    WrongRole,
    #[error("the certificate request is not valid: {0}")]
    BadRequest(String),
    #[error("{0}")]
    Rejected(String),
    #[error("the cluster cannot answer now ({0}); try again")]
    Unavailable(String),
}
