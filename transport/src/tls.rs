//! TLS 1.3 as this cluster speaks it: mutual, pinned to the CA, no resumption, no 0-RTT.
//!
//! A certificate is always checked in full: without tickets there is no session that outlives a
//! revocation, and nothing is ever replayed.

use std::sync::{Arc, LazyLock, OnceLock};

use novacron_protocol::ClusterId;
use novacron_protocol::version::{ALPN_JOIN, ALPN_SESSION};
use novacron_protocol::wire::hello::Peer;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{ResolvesClientCert, Resumption};
use rustls::crypto::{CryptoProvider, verify_tls13_signature};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{
    ClientConfig, DigitallySignedStruct, DistinguishedName, ServerConfig, SignatureScheme,
};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

use crate::authority::fingerprint;
use crate::certificate::{self, CertificateError, PeerCertificate, Role};
use crate::clock;
use crate::identity::{Identity, IdentityStore};

/// Whom a dialler accepts as the other side.
#[derive(Debug, Clone)]
pub(crate) enum Expected {
    /// This peer of this identity's cluster.
    Peer(Arc<Identity>, Peer),
    /// Any member of this identity's cluster.
    AnyMember(Arc<Identity>),
    /// Any member of this cluster, whose CA has this fingerprint: all that a join token knows.
    Pinned { cluster: ClusterId, fingerprint: [u8; 32] },
}

impl Expected {
    fn verify(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
    ) -> Result<PeerCertificate, CertificateError> {
        let (ca, cluster) = match self {
            Self::Peer(identity, _) | Self::AnyMember(identity) => {
                (identity.ca_certificate(), identity.cluster())
            }
            Self::Pinned { cluster, fingerprint: pin } => {
                let pinned = others.iter().find(|other| fingerprint(other) == *pin);
                (pinned.ok_or(CertificateError::NotSigned)?, *cluster)
            }
        };
        let found = certificate::verify(leaf, ca, cluster, Role::Acceptor, clock::now())?;
        let expected = match (self, found.peer) {
            (Self::Peer(_, wanted), peer) if *wanted == peer => return Ok(found),
            (Self::AnyMember(_) | Self::Pinned { .. }, Peer::Member(_)) => return Ok(found),
            (Self::Peer(_, wanted), _) => wanted.to_string(),
            (Self::AnyMember(_) | Self::Pinned { .. }, Peer::Host(_)) => "a member".into(),
        };
        Err(CertificateError::WrongPeer { expected, found: found.peer })
    }
}

/// Checks the side that was dialled, and keeps what was wrong in our own words: TLS only carries
/// an alert number.
#[derive(Debug)]
pub(crate) struct AcceptorCheck {
    expected: Expected,
    problem: OnceLock<CertificateError>,
}

impl AcceptorCheck {
    pub(crate) fn new(expected: Expected) -> Arc<Self> {
        Arc::new(Self { expected, problem: OnceLock::new() })
    }

    /// Why the other side was not believed.
    pub(crate) fn problem(&self) -> Option<&CertificateError> {
        self.problem.get()
    }
}

impl ServerCertVerifier for AcceptorCheck {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        match self.expected.verify(leaf, others) {
            Ok(_) => Ok(ServerCertVerified::assertion()),
            Err(problem) => {
                let alert = alert(&problem);
                let _ = self.problem.set(problem);
                Err(alert)
            }
        }
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _leaf: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::General("only TLS 1.3 is spoken here".into()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &PROVIDER.signature_verification_algorithms;
        verify_tls13_signature(message, leaf, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ECDSA_NISTP256_SHA256]
    }
}

/// Checks the side that dialled. Newcomers have no certificate yet, so none is demanded here; the
/// endpoint closes what asked for a session without one.
#[derive(Debug)]
struct DiallerCheck {
    identity: Arc<IdentityStore>,
}

impl ClientCertVerifier for DiallerCheck {
    fn client_auth_mandatory(&self) -> bool {
        false
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        _others: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        let own = self.identity.current();
        let ca = own.ca_certificate();
        match certificate::verify(leaf, ca, own.cluster(), Role::Dialler, clock::now()) {
            Ok(_) => Ok(ClientCertVerified::assertion()),
            Err(problem) => Err(alert(&problem)),
        }
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _leaf: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Err(rustls::Error::General("only TLS 1.3 is spoken here".into()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        leaf: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &PROVIDER.signature_verification_algorithms;
        verify_tls13_signature(message, leaf, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ECDSA_NISTP256_SHA256]
    }
}

/// Shows the store's current certificate.
#[derive(Debug)]
struct CurrentCertificate(Arc<IdentityStore>);

impl ResolvesServerCert for CurrentCertificate {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(self.0.current().certified()))
    }
}

/// Shows one certificate, whatever the other side hints at.
#[derive(Debug)]
struct OneCertificate(Arc<CertifiedKey>);

impl ResolvesClientCert for OneCertificate {
    fn resolve(&self, _hints: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0))
    }

    fn has_certs(&self) -> bool {
        true
    }
}

/// For dialling a session as `identity`.
pub(crate) fn session_dialler(identity: &Identity, check: Arc<AcceptorCheck>) -> ClientConfig {
    let shown = Arc::new(OneCertificate(Arc::clone(identity.certified())));
    let config = dialler(check).with_client_cert_resolver(shown);
    finish_dialler(config, ALPN_SESSION)
}

/// For dialling as a newcomer.
pub(crate) fn join_dialler(check: Arc<AcceptorCheck>) -> ClientConfig {
    finish_dialler(dialler(check).with_no_client_auth(), ALPN_JOIN)
}

/// For accepting sessions and newcomers.
pub(crate) fn acceptor(identity: &Arc<IdentityStore>) -> ServerConfig {
    let check = Arc::new(DiallerCheck { identity: Arc::clone(identity) });
    let mut config = server_builder()
        .with_client_cert_verifier(check)
        .with_cert_resolver(Arc::new(CurrentCertificate(Arc::clone(identity))));
    config.alpn_protocols = vec![ALPN_SESSION.to_vec(), ALPN_JOIN.to_vec()];
    without_resumption(&mut config);
    config
}

/// For an HTTPS server.
pub(crate) fn https(identity: &Arc<IdentityStore>) -> ServerConfig {
    let mut config = server_builder()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(CurrentCertificate(Arc::clone(identity))));
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    without_resumption(&mut config);
    config
}

static PROVIDER: LazyLock<Arc<CryptoProvider>> =
    LazyLock::new(|| Arc::new(rustls::crypto::ring::default_provider()));

fn dialler(
    check: Arc<AcceptorCheck>,
) -> rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert> {
    ClientConfig::builder_with_provider(Arc::clone(&PROVIDER))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("the provider has TLS 1.3 suites")
        .dangerous()
        .with_custom_certificate_verifier(check)
}

fn finish_dialler(mut config: ClientConfig, alpn: &[u8]) -> ClientConfig {
    config.alpn_protocols = vec![alpn.to_vec()];
    config.resumption = Resumption::disabled();
    config.enable_sni = false;
    config.enable_early_data = false;
    config
}

fn server_builder() -> rustls::ConfigBuilder<ServerConfig, rustls::WantsVerifier> {
    ServerConfig::builder_with_provider(Arc::clone(&PROVIDER))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("the provider has TLS 1.3 suites")
}

fn without_resumption(config: &mut ServerConfig) {
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.max_early_data_size = 0;
}

/// The nearest thing that TLS can say.
fn alert(problem: &CertificateError) -> rustls::Error {
    rustls::Error::InvalidCertificate(match problem {
        CertificateError::Malformed(_) => rustls::CertificateError::BadEncoding,
        CertificateError::NotSigned => rustls::CertificateError::UnknownIssuer,
        CertificateError::Expired => rustls::CertificateError::Expired,
        CertificateError::NotYetValid => rustls::CertificateError::NotValidYet,
        CertificateError::WrongCluster(_) | CertificateError::WrongPeer { .. } => {
            rustls::CertificateError::ApplicationVerificationFailure
        }
    })
}
