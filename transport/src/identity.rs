//! One process's key, certificate and CA.
//!
//! Kept as one private PEM file, so that key and certificate are never of different ages. An
//! [`Identity`] does not change; renewal puts a new one into the [`IdentityStore`], where the next
//! handshake finds it.

use std::path::Path;
use std::sync::Arc;

use novacron_protocol::wire::hello::Peer;
use novacron_protocol::{ClusterId, Timestamp};
use pem::Pem;
use rcgen::KeyPair;
use rustls::sign::CertifiedKey;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::authority::{carries_key, fingerprint};
use crate::certificate::{self, CertificateError, PeerCertificate, Role, Serial};

pub(crate) mod file;
mod key_request;
mod store;

pub use key_request::KeyRequest;
pub use store::IdentityStore;

/// Who this process is. Its key is never printed.
pub struct Identity {
    key: PrivatePkcs8KeyDer<'static>,
    certificate: CertificateDer<'static>,
    ca: CertificateDer<'static>,
    about: PeerCertificate,
    /// What rustls shows and signs with: leaf and CA, and the parsed key.
    certified: Arc<CertifiedKey>,
    endpoint_secret: [u8; 32],
}

/// Why there is no such identity.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The directory holds none: join first.
    #[error("there is no identity in {0}; join the cluster first")]
    Missing(String),
    #[error("{path} is damaged: {detail}; join the cluster again")]
    Damaged { path: String, detail: String },
    #[error("cannot read or write {path}")]
    File { path: String, source: std::io::Error },
    /// The certificate is not one of this key, this CA or this process.
    #[error("the certificate cannot be used: {0}")]
    Unusable(String),
    #[error("the key library failed: {0}")]
    Key(String),
}

impl Identity {
    /// The identity made of a key (PKCS #8 DER), its certificate and the CA's (DER). All three
    /// must belong together; a certificate that expired meanwhile is still an identity, which a
    /// peer will refuse with the reason.
    pub fn new(key: &[u8], certificate: &[u8], ca: &[u8]) -> Result<Self, IdentityError> {
        Self::with_secret(key, certificate, ca, rand::random())
    }

    fn with_secret(
        key: &[u8],
        certificate: &[u8],
        ca: &[u8],
        endpoint_secret: [u8; 32],
    ) -> Result<Self, IdentityError> {
        let pair = KeyPair::try_from(key).map_err(|error| IdentityError::Key(error.to_string()))?;
        if !carries_key(certificate, &pair) {
            return Err(IdentityError::Unusable("it is for another key".into()));
        }
        let key = PrivatePkcs8KeyDer::from(key.to_vec());
        let certificate = CertificateDer::from(certificate.to_vec());
        let ca = CertificateDer::from(ca.to_vec());
        let about = believe(&certificate, &ca)?;
        let signer =
            rustls::crypto::ring::sign::any_ecdsa_type(&PrivateKeyDer::from(key.clone_key()))
                .map_err(|error| IdentityError::Key(error.to_string()))?;
        let shown = vec![certificate.clone(), ca.clone()];
        let certified = Arc::new(CertifiedKey::new(shown, signer));
        Ok(Self { key, certificate, ca, about, certified, endpoint_secret })
    }

    /// Reads what [`Self::save`] wrote.
    pub fn load(dir: &Path) -> Result<Self, IdentityError> {
        let path = dir.join(FILE_NAME);
        let sections = file::read(&path).map_err(|source| match source.kind() {
            std::io::ErrorKind::NotFound => IdentityError::Missing(dir.display().to_string()),
            std::io::ErrorKind::InvalidData => damaged(&path, &source),
            _ => IdentityError::File { path: path.display().to_string(), source },
        })?;
        let part = |label, nth| {
            file::section(&sections, label, nth)
                .ok_or_else(|| damaged(&path, &format!("section `{label}` is missing")))
        };
        let secret = part(SECRET_LABEL, 0)?
            .try_into()
            .map_err(|_| damaged(&path, &"the endpoint secret is not 32 bytes long"))?;
        let (key, leaf, ca) =
            (part("PRIVATE KEY", 0)?, part("CERTIFICATE", 0)?, part("CERTIFICATE", 1)?);
        Self::with_secret(key, leaf, ca, secret).map_err(|error| damaged(&path, &error))
    }

    /// Writes `<dir>/identity.pem`, mode 0600, atomically, and removes the key of an unfinished
    /// join.
    pub fn save(&self, dir: &Path) -> Result<(), IdentityError> {
        let path = dir.join(FILE_NAME);
        let sections = [
            Pem::new("PRIVATE KEY", self.key.secret_pkcs8_der()),
            Pem::new("CERTIFICATE", self.certificate.as_ref()),
            Pem::new("CERTIFICATE", self.ca.as_ref()),
            Pem::new(SECRET_LABEL, self.endpoint_secret),
        ];
        file::write(&path, &sections)
            .and_then(|()| KeyRequest::forget(dir))
            .map_err(|source| IdentityError::File { path: path.display().to_string(), source })
    }

    pub fn cluster(&self) -> ClusterId {
        self.about.cluster
    }

    pub fn peer(&self) -> Peer {
        self.about.peer
    }

    pub fn serial(&self) -> Serial {
        self.about.serial
    }

    pub fn not_before(&self) -> Timestamp {
        self.about.not_before
    }

    pub fn not_after(&self) -> Timestamp {
        self.about.not_after
    }

    /// What the certificate says.
    pub fn about(&self) -> &PeerCertificate {
        &self.about
    }

    /// The certificate, DER.
    pub fn certificate(&self) -> &[u8] {
        &self.certificate
    }

    /// The CA's certificate, DER.
    pub fn ca(&self) -> &[u8] {
        &self.ca
    }

    pub fn ca_pem(&self) -> String {
        pem::encode(&Pem::new("CERTIFICATE", self.ca()))
    }

    /// SHA-256 of the CA's certificate.
    pub fn ca_fingerprint(&self) -> [u8; 32] {
        fingerprint(&self.ca)
    }

    pub(crate) fn ca_certificate(&self) -> &CertificateDer<'static> {
        &self.ca
    }

    pub(crate) fn certified(&self) -> &Arc<CertifiedKey> {
        &self.certified
    }

    /// Random, and the same across restarts and renewals: with it a restarted endpoint can tell
    /// peers at once that their sessions are gone, rather than leave them to their timeouts.
    pub(crate) fn endpoint_secret(&self) -> &[u8; 32] {
        &self.endpoint_secret
    }

    fn adopt_secret(&mut self, of: &Self) {
        self.endpoint_secret = of.endpoint_secret;
    }
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Identity").field("about", &self.about).finish_non_exhaustive()
    }
}

/// The certificate taken apart, if the CA signed it at all. Its end is not looked at: the chain is
/// checked at an instant at which the certificate says it is valid.
fn believe(
    certificate: &CertificateDer<'_>,
    ca: &CertificateDer<'_>,
) -> Result<PeerCertificate, IdentityError> {
    let unusable = |error: CertificateError| IdentityError::Unusable(error.to_string());
    let about = PeerCertificate::from_der(certificate).map_err(unusable)?;
    let cluster = certificate::authority_cluster(ca).map_err(unusable)?;
    certificate::verify(certificate, ca, cluster, Role::Dialler, about.not_before).map_err(unusable)
}

fn damaged(path: &Path, detail: &dyn std::fmt::Display) -> IdentityError {
    IdentityError::Damaged { path: path.display().to_string(), detail: detail.to_string() }
}

const FILE_NAME: &str = "identity.pem";
const SECRET_LABEL: &str = "NOVACRON ENDPOINT SECRET";
