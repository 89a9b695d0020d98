//! New certificates at two thirds of the old one's life.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use novacron_protocol::wire::Class;
use novacron_protocol::wire::call::{CallRefusal, Request, Response};

use crate::identity::{Identity, IdentityError, IdentityStore, KeyRequest};
use crate::session::{Session, SessionError};
use crate::{AuthorityError, clock};

/// Why a renewal did not work; it is tried again.
#[derive(Debug, thiserror::Error)]
pub enum RenewError {
    #[error("no member is connected")]
    NoSession,
    #[error(transparent)]
    Session(#[from] SessionError),
    #[error("a member refused: {0}")]
    Refused(#[from] CallRefusal),
    #[error("a member gave another answer than a certificate")]
    WrongAnswer,
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    #[error(transparent)]
    Identity(#[from] IdentityError),
}

/// Renews the store's identity for ever: at two thirds of each certificate's life `ask` is called
/// with a new key's request and answers with its certificate (DER): a host with [`ask`] on a
/// session that is up, a member with its own authority. The new identity is saved in `dir`, put
/// into the store, and shown on live sessions, which go on.
pub async fn keep_renewed<A, F>(store: Arc<IdentityStore>, dir: &Path, ask: A)
where
    A: Fn(Vec<u8>) -> F,
    F: Future<Output = Result<Vec<u8>, RenewError>>,
{
    loop {
        wait_until_due(&store).await;
        match renew(&store, dir, &ask).await {
            Ok(identity) => tracing::info!(serial = %identity.serial(), "renewed the certificate"),
            Err(error) => {
                let life = store.current().about().life();
                let wait = life.retry_in(clock::now(), rand::random());
                let left = life.left(clock::now());
                tracing::warn!(?left, retry_in = ?wait, "cannot renew the certificate: {error}");
                tokio::time::sleep(wait).await;
            }
        }
    }
}

/// Renews the store's identity once, now.
pub async fn renew<A, F>(
    store: &IdentityStore,
    dir: &Path,
    ask: A,
) -> Result<Arc<Identity>, RenewError>
where
    A: FnOnce(Vec<u8>) -> F,
    F: Future<Output = Result<Vec<u8>, RenewError>>,
{
    let request = KeyRequest::generate()?;
    let certificate = ask(request.csr().to_vec()).await?;
    let renewed = request.into_identity(&certificate, store.current().ca())?;
    let renewed = store.replace(renewed)?;
    // In use before it is on disk: when the disk fails, the process at least lives on, and says so.
    renewed.save(dir)?;
    Ok(renewed)
}

/// Asks a member for a certificate: the usual `ask` of [`keep_renewed`].
pub async fn ask(session: &Session, csr: Vec<u8>) -> Result<Vec<u8>, RenewError> {
    let request = Request::RenewCertificate { csr };
    match session.call(Class::Command, &request).await?.0 {
        Response::Certificate { certificate } => Ok(certificate),
        Response::Refused(refusal) => Err(refusal.into()),
        _ => Err(RenewError::WrongAnswer),
    }
}

/// Waits until the current certificate should be renewed. Reads the clock again and again,
/// because clocks are set, and looks at the store, because others may renew.
async fn wait_until_due(store: &IdentityStore) {
    let mut identity_rx = store.subscribe();
    let entropy = rand::random();
    loop {
        let life = identity_rx.borrow_and_update().about().life();
        let wait = life.renew_in(clock::now(), entropy);
        if wait == Duration::ZERO {
            return;
        }
        tokio::select! {
            () = tokio::time::sleep(wait.min(clock::RECHECK_AFTER)) => {}
            _ = identity_rx.changed() => {}
        }
    }
}
