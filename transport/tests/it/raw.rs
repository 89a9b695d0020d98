//! A QUIC client that follows no rule but TLS: for what no well-behaved peer would send.

use std::net::SocketAddr;
use std::sync::Arc;

use novacron_protocol::codec;
use novacron_protocol::frame::put_frame;
use novacron_protocol::version::{ALPN_JOIN, ALPN_SESSION, SUPPORTED};
use novacron_protocol::wire::hello::Hello;
use novacron_transport::CloseReason;
use quinn::{Connection, ConnectionError};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::{DigitallySignedStruct, SignatureScheme};
use rustls_pki_types::{CertificateDer, PrivatePkcs8KeyDer, ServerName, UnixTime};

use crate::cluster::{Cluster, DAY, host_id};

pub(crate) struct Client {
    endpoint: quinn::Endpoint,
    config: quinn::ClientConfig,
    hello: Vec<u8>,
}

impl Client {
    /// Has host 9's certificate.
    pub(crate) fn of(cluster: &Cluster) -> Self {
        let key = rcgen::KeyPair::generate().unwrap();
        let csr = rcgen::CertificateParams::default().serialize_request(&key).unwrap();
        let signed = cluster.authority.sign_host(csr.der(), host_id(9), DAY).unwrap();
        let config = builder()
            .with_client_auth_cert(
                vec![CertificateDer::from(signed)],
                PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
            )
            .unwrap();
        let hello = Hello {
            versions: SUPPORTED,
            cluster: cluster.authority.cluster(),
            software: "raw".into(),
        };
        Self { hello: codec::encode(&hello).unwrap(), ..Self::new(config, ALPN_SESSION) }
    }

    pub(crate) fn without_certificate() -> Self {
        Self::new(builder().with_no_client_auth(), ALPN_SESSION)
    }

    pub(crate) fn newcomer() -> Self {
        Self::new(builder().with_no_client_auth(), ALPN_JOIN)
    }

    fn new(mut tls: rustls::ClientConfig, alpn: &[u8]) -> Self {
        tls.alpn_protocols = vec![alpn.to_vec()];
        let crypto = quinn::crypto::rustls::QuicClientConfig::try_from(tls).unwrap();
        Self {
            endpoint: quinn::Endpoint::client("127.0.0.1:0".parse().unwrap()).unwrap(),
            config: quinn::ClientConfig::new(Arc::new(crypto)),
            hello: Vec::new(),
        }
    }

    pub(crate) async fn connect(&self, addr: SocketAddr) -> Result<Connection, ConnectionError> {
        self.endpoint.connect_with(self.config.clone(), addr, "novacron").unwrap().await
    }

    /// How the other side ends a connection that it does not take.
    pub(crate) async fn rejected(&self, addr: SocketAddr) -> ConnectionError {
        match self.connect(addr).await {
            Ok(connection) => connection.closed().await,
            Err(error) => error,
        }
    }

    /// Sends `bytes` as all there is of the first stream.
    pub(crate) async fn begin_with(&self, addr: SocketAddr, bytes: &[u8]) -> Connection {
        let connection = self.connect(addr).await.unwrap();
        let (mut send, _recv) = connection.open_bi().await.unwrap();
        // The other side may hang up while this is still writing.
        let _ = send.write_all(bytes).await;
        let _ = send.finish();
        let _ = send.stopped().await;
        connection
    }

    /// A connection on which a proper hello was answered.
    pub(crate) async fn greeted(&self, addr: SocketAddr) -> Connection {
        let connection = self.connect(addr).await.unwrap();
        let (mut send, mut recv) = connection.open_bi().await.unwrap();
        send.write_all(&frame(&self.hello)).await.unwrap();
        send.finish().unwrap();
        assert!(!recv.read_to_end(1024).await.unwrap().is_empty());
        connection
    }
}

/// `payload` as a frame.
pub(crate) fn frame(payload: &[u8]) -> Vec<u8> {
    let mut out = bytes::BytesMut::new();
    put_frame(&mut out, payload, usize::MAX).unwrap();
    out.to_vec()
}

/// Sends `bytes` on a one-way stream of their own.
pub(crate) async fn one_way(connection: &Connection, bytes: &[u8]) {
    let mut send = connection.open_uni().await.unwrap();
    let _ = send.write_all(bytes).await;
    let _ = send.finish();
    let _ = send.stopped().await;
}

/// Sends `bytes` on a two-way stream of their own.
pub(crate) async fn two_way(connection: &Connection, bytes: &[u8]) {
    let (mut send, _recv) = connection.open_bi().await.unwrap();
    let _ = send.write_all(bytes).await;
    let _ = send.finish();
    let _ = send.stopped().await;
}

/// What the other side says when it closes.
pub(crate) async fn close_reason(connection: &Connection) -> CloseReason {
    match connection.closed().await {
        ConnectionError::ApplicationClosed(close) => match close.error_code.into_inner() {
            2 => CloseReason::Violation(String::from_utf8_lossy(&close.reason).into_owned()),
            4 => CloseReason::WrongCluster,
            7 => CloseReason::NoCertificate,
            code => panic!("closed with code {code}"),
        },
        other => panic!("not closed but {other}"),
    }
}

fn builder() -> rustls::ConfigBuilder<rustls::ClientConfig, rustls::client::WantsClientCert> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    rustls::ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Gullible))
}

/// Believes everybody.
#[derive(Debug)]
struct Gullible;

impl ServerCertVerifier for Gullible {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ECDSA_NISTP256_SHA256]
    }
}
