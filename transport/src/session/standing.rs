//! How long a peer's certificate entitles it to its session, and its renewal on the live session.
//!
//! A renewed certificate is shown with a signature by its key over keying material exported from
//! this session's TLS: it proves that the key's holder sits at the other end of this very session.

use std::sync::Arc;

use novacron_protocol::wire::hello::CertificateUpdate;
use quinn::Side;
use rustls::SignatureScheme;
use rustls_pki_types::CertificateDer;
use tokio::sync::watch;
use webpki::EndEntityCert;

use super::connection::Connection;
use crate::authority::fingerprint;
use crate::certificate::{self, CertificateError, PeerCertificate, Role, Serial};
use crate::revocation::RevokedSet;
use crate::{Identity, IdentityStore, clock};

/// What the peer has shown, and when that ends.
#[derive(Debug)]
pub(crate) struct Standing {
    identity: Arc<IdentityStore>,
    first: Serial,
    current: watch::Sender<PeerCertificate>,
}

/// Why a certificate update was not taken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UpdateError {
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    #[error("it is for another peer")]
    OtherPeer,
    #[error("its signature does not hold")]
    BadSignature,
}

impl Standing {
    pub(crate) fn new(identity: Arc<IdentityStore>, shown: PeerCertificate) -> Arc<Self> {
        let first = shown.serial;
        Arc::new(Self { identity, first, current: watch::Sender::new(shown) })
    }

    pub(crate) fn current(&self) -> PeerCertificate {
        self.current.borrow().clone()
    }

    pub(crate) fn subscribe(&self) -> watch::Receiver<PeerCertificate> {
        self.current.subscribe()
    }

    pub(crate) fn is_revoked(&self, revoked: &RevokedSet) -> bool {
        let current = self.current.borrow();
        revoked.covers(&current) || revoked.serials.contains(&self.first)
    }

    /// Believes a renewed certificate, or says why not.
    pub(crate) fn take_update(
        &self,
        connection: &Connection,
        update: &CertificateUpdate,
    ) -> Result<(), UpdateError> {
        let own = self.identity.current();
        let der = CertificateDer::from(update.certificate.as_slice());
        let theirs = !connection.quic.side();
        let role = if theirs == Side::Client { Role::Dialler } else { Role::Acceptor };
        let ca = own.ca_certificate();
        let shown = certificate::verify(&der, ca, own.cluster(), role, clock::now())?;
        if shown.peer != self.current.borrow().peer {
            return Err(UpdateError::OtherPeer);
        }
        let leaf = EndEntityCert::try_from(&der).map_err(|_| UpdateError::BadSignature)?;
        let statement = statement(connection, theirs, &update.certificate);
        leaf.verify_signature(webpki::ring::ECDSA_P256_SHA256, &statement, &update.signature)
            .map_err(|_| UpdateError::BadSignature)?;
        tracing::debug!(peer = %shown.peer, serial = %shown.serial, "peer renewed its certificate");
        self.current.send_if_modified(|current| {
            let later = shown.not_after > current.not_after;
            if later {
                *current = shown;
            }
            later
        });
        Ok(())
    }
}

/// Shows this side's certificate on a live session.
pub(crate) fn update_of(
    connection: &Connection,
    identity: &Identity,
) -> Result<CertificateUpdate, rustls::Error> {
    let certificate = identity.certificate().to_vec();
    let signer = identity
        .certified()
        .key
        .choose_scheme(&[SignatureScheme::ECDSA_NISTP256_SHA256])
        .ok_or(rustls::Error::General("the key is not ECDSA P-256".into()))?;
    let signature = signer.sign(&statement(connection, connection.quic.side(), &certificate))?;
    Ok(CertificateUpdate { certificate, signature })
}

/// What is signed: this session, this side of it, this certificate.
fn statement(connection: &Connection, side: Side, certificate: &[u8]) -> Vec<u8> {
    let mut context = vec![u8::from(side.is_server())];
    context.extend(fingerprint(certificate));
    let mut exported = [0; 32];
    connection
        .quic
        .export_keying_material(&mut exported, EXPORTER_LABEL, &context)
        .expect("32 bytes may be exported after the handshake");
    let mut statement = b"novacron certificate update\0".to_vec();
    statement.extend(exported);
    statement
}

const EXPORTER_LABEL: &[u8] = b"EXPORTER-novacron-certificate-update";
