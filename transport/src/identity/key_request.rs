//! A new key, and the request for its certificate.

use std::io;
use std::path::Path;

use pem::Pem;
use rcgen::{CertificateParams, DistinguishedName, KeyPair};

use super::{Identity, IdentityError, file};
use crate::authority::new_key;

/// A new key and its PKCS #10 request. The key never leaves the process but to a private file.
pub struct KeyRequest {
    key: KeyPair,
    csr: Vec<u8>,
}

impl KeyRequest {
    pub fn generate() -> Result<Self, IdentityError> {
        Self::of_key(new_key().map_err(key_error)?)
    }

    /// The request kept in `dir` by an earlier, unfinished join, or a new one, which is kept
    /// there: a join that is tried again uses the same key. [`Identity::save`] removes it.
    pub fn load_or_generate(dir: &Path) -> Result<Self, IdentityError> {
        let path = dir.join(FILE_NAME);
        let io_error = |source| IdentityError::File { path: path.display().to_string(), source };
        match file::read(&path) {
            Ok(sections) => {
                let key = file::section(&sections, "PRIVATE KEY", 0)
                    .ok_or_else(|| super::damaged(&path, &"it holds no key"))?;
                Self::of_key(KeyPair::try_from(key).map_err(key_error)?)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let request = Self::generate()?;
                let key = Pem::new("PRIVATE KEY", request.key.serialized_der());
                file::write(&path, &[key]).map_err(io_error)?;
                Ok(request)
            }
            Err(error) => Err(io_error(error)),
        }
    }

    /// PKCS #10 request, DER.
    pub fn csr(&self) -> &[u8] {
        &self.csr
    }

    /// The identity made of this key, its certificate and the CA's (DER).
    pub fn into_identity(self, certificate: &[u8], ca: &[u8]) -> Result<Identity, IdentityError> {
        Identity::new(self.key.serialized_der(), certificate, ca)
    }

    /// Removes the key of an unfinished join from `dir`.
    pub(super) fn forget(dir: &Path) -> io::Result<()> {
        match std::fs::remove_file(dir.join(FILE_NAME)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    fn of_key(key: KeyPair) -> Result<Self, IdentityError> {
        let mut params = CertificateParams::default();
        // The signer decides who this is; an empty name claims nothing.
        params.distinguished_name = DistinguishedName::new();
        let csr = params.serialize_request(&key).map_err(key_error)?.der().to_vec();
        Ok(Self { key, csr })
    }
}

impl std::fmt::Debug for KeyRequest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("KeyRequest(..)")
    }
}

fn key_error(error: rcgen::Error) -> IdentityError {
    IdentityError::Key(error.to_string())
}

const FILE_NAME: &str = "join-key.pem";
