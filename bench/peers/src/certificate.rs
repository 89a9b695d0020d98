//! One self-signed certificate per serving end; its senders trust that one and no other.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};

/// Certificate and key of a serving end.
pub(crate) struct Secret {
    pub(crate) certificate: CertificateDer<'static>,
    key: PrivatePkcs8KeyDer<'static>,
    pub(crate) certificate_pem: String,
    pub(crate) key_pem: String,
}

/// The name that every serving end's certificate says.
pub(crate) const NAME: &str = "peer";
const FILE: &str = "peer.pem";
/// QUIC asks for the name of an application protocol.
pub(crate) const ALPN: &[u8] = b"novacron-workload";

impl Secret {
    pub(crate) fn key(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::Pkcs8(self.key.clone_key())
    }
}

/// Makes a certificate and leaves it, without its key, in `dir`.
pub(crate) fn make(dir: &Path) -> Result<Secret> {
    let made = rcgen::generate_simple_self_signed([NAME.to_owned()]).context("make a key")?;
    let path = dir.join(FILE);
    fs::write(&path, made.cert.pem()).with_context(|| format!("write {}", path.display()))?;
    Ok(Secret {
        certificate: made.cert.der().clone(),
        key: PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()),
        certificate_pem: made.cert.pem(),
        key_pem: made.signing_key.serialize_pem(),
    })
}

/// What the serving end left in `dir`, as text.
pub(crate) fn load_pem(dir: &Path) -> Result<String> {
    let path = dir.join(FILE);
    fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))
}

/// A client that trusts the serving end that left its certificate in `dir`.
pub(crate) fn client_config(dir: &Path) -> Result<rustls::ClientConfig> {
    use rustls::pki_types::pem::PemObject as _;
    let pem = load_pem(dir)?;
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(pem.as_bytes()).context("read a certificate")?)?;
    let mut config =
        rustls::ClientConfig::builder_with_protocol_versions(&[&rustls::version::TLS13])
            .with_root_certificates(roots)
            .with_no_client_auth();
    config.alpn_protocols = vec![ALPN.to_vec()];
    Ok(config)
}

pub(crate) fn server_config(secret: &Secret) -> Result<rustls::ServerConfig> {
    let mut config =
        rustls::ServerConfig::builder_with_protocol_versions(&[&rustls::version::TLS13])
            .with_no_client_auth()
            .with_single_cert(vec![secret.certificate.clone()], secret.key())?;
    config.alpn_protocols = vec![ALPN.to_vec()];
    Ok(config)
}
