//! Watches a live session: ends it when its peer's certificate ends or is revoked, and shows this
//! side's renewed certificate to the peer.

use std::sync::Arc;

use novacron_protocol::wire::Class;
use novacron_transport_core::header::StreamHeader;
use tokio::sync::watch;

use super::connection::Connection;
use super::standing::{Standing, update_of};
use super::writer::{FrameWriter, framed};
use crate::certificate::Serial;
use crate::close::CloseReason;
use crate::revocation::RevokedSet;
use crate::{Identity, IdentityStore, clock};

/// One session's guard.
#[derive(Debug)]
pub(crate) struct Guard {
    pub(crate) connection: Arc<Connection>,
    pub(crate) standing: Arc<Standing>,
    pub(crate) identity: Arc<IdentityStore>,
    pub(crate) revoked: Arc<watch::Sender<RevokedSet>>,
    /// Certificate that this side has shown last.
    pub(crate) shown: Serial,
}

impl Guard {
    /// Runs until the session ends. The senders of all three channels are held, so `changed`
    /// never fails.
    pub(crate) async fn run(mut self) {
        let mut revoked_rx = self.revoked.subscribe();
        let mut identity_rx = self.identity.subscribe();
        let mut standing_rx = self.standing.subscribe();
        loop {
            if self.standing.is_revoked(&revoked_rx.borrow_and_update()) {
                return self.connection.close(CloseReason::Revoked);
            }
            let left = standing_rx.borrow_and_update().life().left(clock::now());
            if left.is_zero() {
                return self.connection.close(CloseReason::Expired);
            }
            let own = Arc::clone(&identity_rx.borrow_and_update());
            if own.serial() != self.shown {
                self.shown = own.serial();
                tokio::spawn(show(Arc::clone(&self.connection), own));
            }
            tokio::select! {
                _ = self.connection.closed() => return,
                _ = revoked_rx.changed() => {}
                _ = identity_rx.changed() => {}
                _ = standing_rx.changed() => {}
                () = tokio::time::sleep(left.min(clock::RECHECK_AFTER)) => {}
            }
        }
    }
}

/// Sends one certificate update.
async fn show(connection: Arc<Connection>, identity: Arc<Identity>) {
    let update = match update_of(&connection, &identity) {
        Ok(update) => update,
        Err(error) => return tracing::error!("cannot sign a certificate update: {error}"),
    };
    let frame = framed(Some(StreamHeader::CertificateUpdate.to_byte()), &update)
        .expect("a certificate and a signature fit a frame");
    let Ok(stream) = connection.quic.open_uni(Class::Lease).await else { return };
    let mut writer = FrameWriter::new(stream);
    // Fails only when the session ended meanwhile.
    if writer.write(frame).await.is_ok() {
        writer.finish();
    }
}
