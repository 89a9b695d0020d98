//! The identity in use, and its replacement.

use std::sync::Arc;

use tokio::sync::watch;

use super::{Identity, IdentityError};
use crate::tls;

/// The identity that new handshakes use. Renewal replaces it; live sessions go on and show the
/// new certificate to their peers.
#[derive(Debug)]
pub struct IdentityStore {
    current: watch::Sender<Arc<Identity>>,
}

impl IdentityStore {
    pub fn new(identity: Identity) -> Arc<Self> {
        Arc::new(Self { current: watch::Sender::new(Arc::new(identity)) })
    }

    pub fn current(&self) -> Arc<Identity> {
        Arc::clone(&self.current.borrow())
    }

    /// Takes a renewed identity, which must be the same peer's of the same CA.
    pub fn replace(&self, mut identity: Identity) -> Result<Arc<Identity>, IdentityError> {
        let old = self.current();
        if identity.peer() != old.peer() || identity.ca() != old.ca() {
            return Err(IdentityError::Unusable(format!(
                "it is for {} of cluster {}, not for {} of cluster {}",
                identity.peer(),
                identity.cluster(),
                old.peer(),
                old.cluster()
            )));
        }
        identity.adopt_secret(&old);
        let identity = Arc::new(identity);
        self.current.send_replace(Arc::clone(&identity));
        Ok(identity)
    }

    /// Sees every replacement.
    pub fn subscribe(&self) -> watch::Receiver<Arc<Identity>> {
        self.current.subscribe()
    }

    /// TLS 1.3 configuration of an HTTPS server (ALPN `http/1.1`) that shows the current
    /// certificate to each new client and asks for none.
    pub fn https_server_config(self: &Arc<Self>) -> Arc<rustls::ServerConfig> {
        Arc::new(tls::https(self))
    }
}
