//! The cluster CA: signs what hosts and members prove who they are with.
//!
//! Made once at `init`; every member holds its key, so that any of them can let hosts in. Of a
//! newcomer's request only the public key is used: who it becomes, for how long and for what is
//! the signer's decision alone.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::time::Duration;

use novacron_protocol::wire::hello::Peer;
use novacron_protocol::{ClusterId, Digest, HostId, MemberId};
use pem::Pem;
use rcgen::PublicKeyData as _;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateSigningRequestParams, DistinguishedName,
    DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType, SerialNumber,
    date_time_ymd,
};
use rustls_pki_types::{CertificateDer, CertificateSigningRequestDer};

use crate::certificate::{authority_cluster, spiffe_authority_uri, spiffe_uri};
use crate::clock;
use crate::identity::file;

/// The cluster's certificate authority. Its key is never printed.
pub struct ClusterAuthority {
    cluster: ClusterId,
    certificate: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

/// Why the authority did not sign, or is none.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// The newcomer's request is no PKCS #10 request for a P-256 key, signed by that key.
    #[error("certificate request is not valid: {0}")]
    BadRequest(String),
    /// The stored authority is damaged; restore it from another member.
    #[error("stored authority is not usable: {0}")]
    Unusable(String),
    #[error("the signing library failed")]
    Signing(#[source] rcgen::Error),
    #[error("cannot read or write {path}")]
    File { path: String, source: std::io::Error },
}

impl ClusterAuthority {
    /// A new authority for a new cluster.
    pub fn create(cluster: ClusterId) -> Result<Self, AuthorityError> {
        let key = new_key().map_err(AuthorityError::Signing)?;
        let mut params = CertificateParams::default();
        set_life(&mut params, BACKDATE, AUTHORITY_LIFE);
        params.serial_number = Some(new_serial());
        params.distinguished_name = common_name(format!("NovaCron {cluster}"));
        params.subject_alt_names = vec![uri(spiffe_authority_uri(cluster))];
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = params.self_signed(&key).map_err(AuthorityError::Signing)?;
        Self::from_parts(certificate.der(), key.serialized_der())
    }

    /// The authority of an existing cluster: certificate (DER) and private key (PKCS #8 DER).
    pub fn from_parts(certificate: &[u8], key: &[u8]) -> Result<Self, AuthorityError> {
        let unusable =
            |detail: &dyn std::fmt::Display| AuthorityError::Unusable(detail.to_string());
        let cluster = authority_cluster(certificate).map_err(|error| unusable(&error))?;
        let certificate = CertificateDer::from(certificate.to_vec());
        let key = KeyPair::try_from(key).map_err(|error| unusable(&error))?;
        if !carries_key(&certificate, &key) {
            return Err(unusable(&"its key does not fit its certificate"));
        }
        let issuer =
            Issuer::from_ca_cert_der(&certificate, key).map_err(|error| unusable(&error))?;
        Ok(Self { cluster, certificate, issuer })
    }

    /// Reads what [`Self::save`] wrote.
    pub fn load(dir: &Path) -> Result<Self, AuthorityError> {
        let path = dir.join(FILE_NAME);
        let sections = file::read(&path)
            .map_err(|source| AuthorityError::File { path: path.display().to_string(), source })?;
        let part = |label| {
            file::section(&sections, label, 0)
                .ok_or_else(|| AuthorityError::Unusable(format!("it has no section `{label}`")))
        };
        Self::from_parts(part("CERTIFICATE")?, part("PRIVATE KEY")?)
    }

    /// Writes `<dir>/authority.pem`, mode 0600, atomically.
    pub fn save(&self, dir: &Path) -> Result<(), AuthorityError> {
        let path = dir.join(FILE_NAME);
        let sections =
            [Pem::new("PRIVATE KEY", self.key()), Pem::new("CERTIFICATE", self.certificate())];
        file::write(&path, &sections)
            .map_err(|source| AuthorityError::File { path: path.display().to_string(), source })
    }

    pub fn cluster(&self) -> ClusterId {
        self.cluster
    }

    /// Certificate, DER.
    pub fn certificate(&self) -> &[u8] {
        &self.certificate
    }

    pub fn certificate_pem(&self) -> String {
        pem::encode(&Pem::new("CERTIFICATE", self.certificate()))
    }

    /// Private key, PKCS #8 DER.
    pub fn key(&self) -> &[u8] {
        self.issuer.key().serialized_der()
    }

    /// SHA-256 of the certificate.
    pub fn fingerprint(&self) -> [u8; 32] {
        fingerprint(&self.certificate)
    }

    /// Signs a host's key. Only the key is taken from the request. Returns DER.
    pub fn sign_host(
        &self,
        csr: &[u8],
        host: HostId,
        life: Duration,
    ) -> Result<Vec<u8>, AuthorityError> {
        self.sign(csr, Peer::Host(host), &[], life)
    }

    /// Signs a member's key; `addresses` are where clients reach its HTTPS API, which shows the
    /// same certificate. `localhost` and the loopback addresses are always among them.
    pub fn sign_member(
        &self,
        csr: &[u8],
        member: MemberId,
        addresses: &[IpAddr],
        life: Duration,
    ) -> Result<Vec<u8>, AuthorityError> {
        let loopback = [IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST)];
        let others = addresses.iter().filter(|addr| !addr.is_unspecified() && !addr.is_loopback());
        let mut names: Vec<_> =
            loopback.iter().chain(others).map(|addr| SanType::IpAddress(*addr)).collect();
        names.push(SanType::DnsName("localhost".try_into().expect("localhost is ASCII")));
        self.sign(csr, Peer::Member(member), &names, life)
    }

    fn sign(
        &self,
        csr: &[u8],
        peer: Peer,
        names: &[SanType],
        life: Duration,
    ) -> Result<Vec<u8>, AuthorityError> {
        let public_key = public_key(csr)?;
        let mut params = CertificateParams::default();
        set_life(&mut params, BACKDATE.min(life / 10), life);
        params.serial_number = Some(new_serial());
        params.distinguished_name = common_name(peer.to_string());
        params.subject_alt_names = vec![uri(spiffe_uri(self.cluster, peer))];
        params.subject_alt_names.extend_from_slice(names);
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let signed =
            params.signed_by(&public_key, &self.issuer).map_err(AuthorityError::Signing)?;
        Ok(signed.der().to_vec())
    }
}

impl std::fmt::Debug for ClusterAuthority {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ClusterAuthority").field("cluster", &self.cluster).finish_non_exhaustive()
    }
}

/// SHA-256 of a certificate: how join tokens name a CA.
pub(crate) fn fingerprint(certificate: &[u8]) -> [u8; 32] {
    let digest = ring::digest::digest(&ring::digest::SHA256, certificate);
    digest.as_ref().try_into().expect("SHA-256 has 32 bytes")
}

/// A new ECDSA P-256 key.
pub(crate) fn new_key() -> Result<KeyPair, rcgen::Error> {
    KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)
}

/// Whether a certificate is for this key.
pub(crate) fn carries_key(certificate: &[u8], key: &KeyPair) -> bool {
    use rcgen::PublicKeyData as _;
    use x509_parser::prelude::{FromDer, X509Certificate};
    X509Certificate::from_der(certificate)
        .is_ok_and(|(_, parsed)| parsed.public_key().raw == key.subject_public_key_info())
}

/// BLAKE3 of the public key that a request is for: how a newcomer that asks again is recognised.
pub fn key_digest(csr: &[u8]) -> Result<Digest, AuthorityError> {
    Ok(Digest::of(public_key(csr)?.der_bytes()))
}

/// The key of a request whose self-signature holds.
fn public_key(csr: &[u8]) -> Result<rcgen::PublicKey, AuthorityError> {
    if csr.len() > REQUEST_BYTES_MAX {
        return Err(AuthorityError::BadRequest(format!("{} bytes are too many", csr.len())));
    }
    let request =
        CertificateSigningRequestParams::from_der(&CertificateSigningRequestDer::from(csr))
            .map_err(|error| AuthorityError::BadRequest(error.to_string()))?;
    if request.public_key.algorithm() != &rcgen::PKCS_ECDSA_P256_SHA256 {
        return Err(AuthorityError::BadRequest("its key is not ECDSA P-256".into()));
    }
    Ok(request.public_key)
}

fn new_serial() -> SerialNumber {
    let mut bytes: [u8; 16] = rand::random();
    // Clear the sign bit and set the next: always one positive number of exactly 16 bytes.
    bytes[0] = bytes[0] & 0x7f | 0x40;
    SerialNumber::from_slice(&bytes)
}

fn common_name(name: String) -> DistinguishedName {
    let mut names = DistinguishedName::new();
    names.push(DnType::CommonName, name);
    names
}

fn uri(text: String) -> SanType {
    SanType::URI(text.try_into().expect("a URI of ids is ASCII"))
}

/// From `before` ago until `life` from now.
fn set_life(params: &mut CertificateParams, before: Duration, life: Duration) {
    let now = Duration::from_millis(clock::now().0);
    let epoch = date_time_ymd(1970, 1, 1);
    params.not_before = epoch + Duration::from_secs(now.saturating_sub(before).as_secs());
    params.not_after = epoch + Duration::from_secs((now + life.min(LIFE_MAX)).as_secs());
}

const FILE_NAME: &str = "authority.pem";
/// Certificates begin this much in the past, for machines whose clocks are behind; at most a
/// tenth of their life.
const BACKDATE: Duration = Duration::from_secs(5 * 60);
/// The CA outlives the hardware; replacing one is an operator's work.
const AUTHORITY_LIFE: Duration = Duration::from_secs(20 * 365 * 86_400);
/// Longest life of anything; more would leave the calendar of certificates.
const LIFE_MAX: Duration = Duration::from_secs(100 * 365 * 86_400);
/// Longest certificate request; ours have 200 bytes.
const REQUEST_BYTES_MAX: usize = 4 << 10;
