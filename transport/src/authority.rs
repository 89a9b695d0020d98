//! The cluster CA: signs what hosts and members prove who they are with.

use std::net::IpAddr;
use std::path::Path;
use std::time::Duration;

use novacron_protocol::{ClusterId, HostId, MemberId};

/// The cluster's certificate authority. Every member holds its key.
#[derive(Debug)]
pub struct ClusterAuthority;

/// Why the authority did not sign, or is none.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// The newcomer's request is no PKCS #10 request, or not signed by the key it carries.
    #[error("certificate request is not valid: {0}")]
    BadRequest(String),
    #[error("{0}")]
    Internal(String),
}

#[expect(unused_variables, reason = "signatures first")]
impl ClusterAuthority {
    /// A new authority for a new cluster.
    pub fn create(cluster: ClusterId) -> Result<Self, AuthorityError> {
        unimplemented!()
    }

    /// The authority of an existing cluster: certificate (DER) and private key (PKCS #8 DER).
    pub fn from_parts(certificate: &[u8], key: &[u8]) -> Result<Self, AuthorityError> {
        unimplemented!()
    }

    /// Reads what [`Self::save`] wrote.
    pub fn load(dir: &Path) -> Result<Self, AuthorityError> {
        unimplemented!()
    }

    /// Writes `<dir>/authority.pem`, mode 0600, atomically.
    pub fn save(&self, dir: &Path) -> Result<(), AuthorityError> {
        unimplemented!()
    }

    pub fn cluster(&self) -> ClusterId {
        unimplemented!()
    }

    /// Certificate, DER.
    pub fn certificate(&self) -> &[u8] {
        unimplemented!()
    }

    pub fn certificate_pem(&self) -> String {
        unimplemented!()
    }

    /// Private key, PKCS #8 DER.
    pub fn key(&self) -> &[u8] {
        unimplemented!()
    }

    /// SHA-256 of the certificate.
    pub fn fingerprint(&self) -> [u8; 32] {
        unimplemented!()
    }

    /// Signs a host's key. Only the key is taken from the request. Returns DER.
    pub fn sign_host(
        &self,
        csr: &[u8],
        host: HostId,
        life: Duration,
    ) -> Result<Vec<u8>, AuthorityError> {
        unimplemented!()
    }

    /// Signs a member's key; `addresses` are where clients reach its HTTPS API.
    pub fn sign_member(
        &self,
        csr: &[u8],
        member: MemberId,
        addresses: &[IpAddr],
        life: Duration,
    ) -> Result<Vec<u8>, AuthorityError> {
        unimplemented!()
    }
}
