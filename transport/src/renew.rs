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
        match obtain(&store, &ask).await {
            Ok(identity) => {
                tracing::info!(serial = %identity.serial(), "renewed the certificate");
                // Already in use: should the disk fail, the process lives on and keeps trying.
                while let Err(error) = identity.save(dir) {
                    retry_later(&store, &error.into()).await;
                }
            }
            Err(error) => retry_later(&store, &error).await,
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
    let renewed = obtain(store, ask).await?;
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

/// Gets a certificate for a new key and puts both to use.
async fn obtain<A, F>(store: &IdentityStore, ask: A) -> Result<Arc<Identity>, RenewError>
where
    A: FnOnce(Vec<u8>) -> F,
    F: Future<Output = Result<Vec<u8>, RenewError>>,
{
    let request = KeyRequest::generate()?;
    let certificate = ask(request.csr().to_vec()).await?;
    let renewed = request.into_identity(&certificate, store.current().ca())?;
    Ok(store.replace(renewed)?)
}

/// Tells what failed, and waits before the next try.
async fn retry_later(store: &IdentityStore, error: &RenewError) {
    let (life, now) = (store.current().about().life(), clock::now());
    let wait = life.retry_in(now, rand::random());
    tracing::warn!(left = ?life.left(now), retry_in = ?wait, "cannot renew the certificate: {error}");
    tokio::time::sleep(wait).await;
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
