//! One process's key, certificate and CA.

use std::path::Path;
use std::sync::Arc;

use novacron_protocol::wire::hello::Peer;
use novacron_protocol::{ClusterId, Timestamp};
use tokio::sync::watch;

use crate::certificate::Serial;

/// A new key and the request for its certificate.
#[derive(Debug)]
pub struct KeyRequest;

/// Who this process is: key, certificate, CA. Immutable; renewal makes a new one.
#[derive(Debug)]
pub struct Identity;

/// The identity that new handshakes use; replaced by renewal without touching live sessions.
#[derive(Debug)]
pub struct IdentityStore;

/// Why there is no such identity.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    #[error("no identity in {0}: join the cluster first")]
    Missing(String),
    #[error("{0}")]
    Invalid(String),
}

#[expect(unused_variables, reason = "signatures first")]
impl KeyRequest {
    pub fn generate() -> Result<Self, IdentityError> {
        unimplemented!()
    }

    /// The request kept in `dir` by an earlier, unfinished join, or a new one, which is kept
    /// there: a join that is tried again uses the same key. [`Identity::save`] removes it.
    pub fn load_or_generate(dir: &Path) -> Result<Self, IdentityError> {
        unimplemented!()
    }

    /// PKCS #10 request, DER.
    pub fn csr(&self) -> &[u8] {
        unimplemented!()
    }

    /// The identity made of this key, its certificate and the CA's (DER).
    pub fn into_identity(self, certificate: &[u8], ca: &[u8]) -> Result<Identity, IdentityError> {
        unimplemented!()
    }
}

#[expect(unused_variables, reason = "signatures first")]
impl Identity {
    /// Reads what [`Self::save`] wrote.
    pub fn load(dir: &Path) -> Result<Self, IdentityError> {
        unimplemented!()
    }

    /// Writes `<dir>/identity.pem`, mode 0600, atomically.
    pub fn save(&self, dir: &Path) -> Result<(), IdentityError> {
        unimplemented!()
    }

    pub fn cluster(&self) -> ClusterId {
        unimplemented!()
    }

    pub fn peer(&self) -> Peer {
        unimplemented!()
    }

    pub fn serial(&self) -> Serial {
        unimplemented!()
    }

    pub fn not_before(&self) -> Timestamp {
        unimplemented!()
    }

    pub fn not_after(&self) -> Timestamp {
        unimplemented!()
    }

    /// The CA's certificate, DER.
    pub fn ca(&self) -> &[u8] {
        unimplemented!()
    }

    pub fn ca_pem(&self) -> String {
        unimplemented!()
    }

    /// SHA-256 of the CA's certificate.
    pub fn ca_fingerprint(&self) -> [u8; 32] {
        unimplemented!()
    }
}

#[expect(unused_variables, reason = "signatures first")]
impl IdentityStore {
    pub fn new(identity: Identity) -> Arc<Self> {
        unimplemented!()
    }

    pub fn current(&self) -> Arc<Identity> {
        unimplemented!()
    }

    /// Takes a renewed identity of the same cluster and peer.
    pub fn replace(&self, identity: Identity) -> Result<(), IdentityError> {
        unimplemented!()
    }

    pub fn subscribe(&self) -> watch::Receiver<Arc<Identity>> {
        unimplemented!()
    }

    /// TLS 1.3 configuration of an HTTPS server that shows the current certificate to each new
    /// client and asks for none.
    pub fn https_server_config(self: &Arc<Self>) -> Arc<rustls::ServerConfig> {
        unimplemented!()
    }
}
