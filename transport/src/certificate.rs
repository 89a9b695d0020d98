//! What a certificate says about its bearer, and whether to believe it.
//!
//! The subject is a SPIFFE URI: `spiffe://<cluster>/host/<id>` or `/member/<id>`. Names and
//! addresses of machines are never part of the decision. [`verify`] is the one way from bytes of
//! a peer to a trusted [`PeerCertificate`].

use std::fmt;

use novacron_protocol::wire::hello::Peer;
use novacron_protocol::{ClusterId, Timestamp};
use novacron_transport_core::certificate::Life;
use rustls_pki_types::{CertificateDer, UnixTime};
use webpki::{EndEntityCert, KeyUsage};
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};

/// Serial number of a certificate: 16 bytes, random but for a first byte that keeps them one
/// positive number. Unique in a cluster.
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
    /// Reads a DER certificate. Says nothing about who signed it: peers go through `verify`.
    pub fn from_der(der: &[u8]) -> Result<Self, CertificateError> {
        let certificate = parse(der)?;
        let uri = only_uri(&certificate)?;
        let (cluster, peer) = parse_spiffe(&uri)
            .ok_or_else(|| malformed(format!("`{uri}` names no host and no member")))?;
        let serial = certificate
            .raw_serial()
            .try_into()
            .map(Serial)
            .map_err(|_| malformed("its serial number is not 16 bytes long"))?;
        Ok(Self {
            cluster,
            peer,
            serial,
            not_before: timestamp(certificate.validity().not_before.timestamp()),
            not_after: timestamp(certificate.validity().not_after.timestamp()),
        })
    }

    pub fn life(&self) -> Life {
        Life { not_before: self.not_before, not_after: self.not_after }
    }
}

/// A certificate that is not a host's or member's of this cluster, now.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    #[error("not a certificate of this kind: {0}")]
    Malformed(String),
    #[error("the certificate is not signed by the cluster's CA")]
    NotSigned,
    #[error("the certificate expired")]
    Expired,
    #[error("the certificate is not valid yet; compare the clocks")]
    NotYetValid,
    #[error("the certificate is for another cluster ({0})")]
    WrongCluster(ClusterId),
    #[error("the certificate is {found}'s, not {expected}'s")]
    WrongPeer { expected: String, found: Peer },
}

/// What a certificate is shown for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Role {
    Dialler,
    Acceptor,
}

/// Whether `der` is, at `now`, a certificate of `cluster` that `ca` signed for `role`.
pub(crate) fn verify(
    der: &CertificateDer<'_>,
    ca: &CertificateDer<'_>,
    cluster: ClusterId,
    role: Role,
    now: Timestamp,
) -> Result<PeerCertificate, CertificateError> {
    let leaf = EndEntityCert::try_from(der).map_err(refusal)?;
    let anchor = webpki::anchor_from_trusted_cert(ca).map_err(refusal)?;
    let usage = match role {
        Role::Dialler => KeyUsage::client_auth(),
        Role::Acceptor => KeyUsage::server_auth(),
    };
    let time = UnixTime::since_unix_epoch(std::time::Duration::from_millis(now.0));
    let algorithms = [webpki::ring::ECDSA_P256_SHA256];
    leaf.verify_for_usage(&algorithms, &[anchor], &[], time, usage, None, None).map_err(refusal)?;
    let certificate = PeerCertificate::from_der(der)?;
    if certificate.cluster != cluster {
        return Err(CertificateError::WrongCluster(certificate.cluster));
    }
    Ok(certificate)
}

/// The URI of a peer.
pub(crate) fn spiffe_uri(cluster: ClusterId, peer: Peer) -> String {
    match peer {
        Peer::Host(id) => format!("{SCHEME}{cluster}/host/{id}"),
        Peer::Member(id) => format!("{SCHEME}{cluster}/member/{id}"),
    }
}

/// The URI of a cluster's CA.
pub(crate) fn spiffe_authority_uri(cluster: ClusterId) -> String {
    format!("{SCHEME}{cluster}")
}

/// The cluster whose CA a certificate names.
pub(crate) fn authority_cluster(der: &[u8]) -> Result<ClusterId, CertificateError> {
    let uri = only_uri(&parse(der)?)?;
    uri.strip_prefix(SCHEME)
        .and_then(|cluster| cluster.parse().ok())
        .ok_or_else(|| malformed(format!("`{uri}` names no cluster")))
}

const SCHEME: &str = "spiffe://";

fn parse_spiffe(uri: &str) -> Option<(ClusterId, Peer)> {
    let mut parts = uri.strip_prefix(SCHEME)?.split('/');
    let cluster = parts.next()?.parse().ok()?;
    let peer = match (parts.next()?, parts.next()?) {
        ("host", id) => Peer::Host(id.parse().ok()?),
        ("member", id) => Peer::Member(id.parse().ok()?),
        _ => return None,
    };
    parts.next().is_none().then_some((cluster, peer))
}

fn parse(der: &[u8]) -> Result<X509Certificate<'_>, CertificateError> {
    match X509Certificate::from_der(der) {
        Ok(([], certificate)) => Ok(certificate),
        Ok(_) => Err(malformed("bytes follow it")),
        Err(error) => Err(malformed(error)),
    }
}

/// The one URI among a certificate's alternative names. Two would leave open who the bearer is.
fn only_uri(certificate: &X509Certificate<'_>) -> Result<String, CertificateError> {
    let names = certificate
        .subject_alternative_name()
        .map_err(malformed)?
        .ok_or_else(|| malformed("it names nobody"))?;
    let mut uris = names.value.general_names.iter().filter_map(|name| match name {
        GeneralName::URI(uri) => Some((*uri).to_owned()),
        _ => None,
    });
    match (uris.next(), uris.next()) {
        (Some(uri), None) => Ok(uri),
        _ => Err(malformed("it does not have one URI")),
    }
}

fn timestamp(seconds: i64) -> Timestamp {
    Timestamp(u64::try_from(seconds).unwrap_or(0).saturating_mul(1000))
}

fn malformed(detail: impl fmt::Display) -> CertificateError {
    CertificateError::Malformed(detail.to_string())
}

fn refusal(error: webpki::Error) -> CertificateError {
    match error {
        webpki::Error::CertExpired { .. } => CertificateError::Expired,
        webpki::Error::CertNotValidYet { .. } => CertificateError::NotYetValid,
        webpki::Error::UnknownIssuer | webpki::Error::InvalidSignatureForPublicKey => {
            CertificateError::NotSigned
        }
        other => malformed(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use novacron_protocol::{HostId, MemberId};
    use proptest::prelude::*;

    const CLUSTER: &str = "0190a1b2-0000-7000-8000-000000000001";
    const HOST: &str = "0190a1b2-0000-7000-8000-000000000002";

    #[test]
    fn uris_name_one_peer_of_one_cluster() {
        let cluster: ClusterId = CLUSTER.parse().unwrap();
        let host = Peer::Host(HOST.parse::<HostId>().unwrap());
        let member = Peer::Member(MemberId(3));
        for peer in [host, member] {
            assert_eq!(parse_spiffe(&spiffe_uri(cluster, peer)), Some((cluster, peer)));
        }
        assert_eq!(spiffe_uri(cluster, member), format!("spiffe://{CLUSTER}/member/3"));
        for wrong in [
            format!("https://{CLUSTER}/member/3"),
            format!("spiffe://{CLUSTER}"),
            format!("spiffe://{CLUSTER}/member/3/4"),
            format!("spiffe://{CLUSTER}/member/x"),
            format!("spiffe://{CLUSTER}/root/3"),
            format!("spiffe://nobody/host/{HOST}"),
        ] {
            assert_eq!(parse_spiffe(&wrong), None, "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn hostile_certificates_and_uris_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400), uri in ".{0,80}") {
            prop_assert!(PeerCertificate::from_der(&bytes).is_err());
            let _ = parse_spiffe(&format!("spiffe://{CLUSTER}/{uri}"));
        }
    }
}
