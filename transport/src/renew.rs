//! New certificates at two thirds of the old one's life.

use std::path::Path;
use std::sync::Arc;

use crate::identity::IdentityStore;
use crate::session::{Session, SessionError};

/// Why a renewal did not work; it is tried again.
#[derive(Debug, thiserror::Error)]
pub enum RenewError {
    #[error("no member is connected")]
    NoSession,
    #[error(transparent)]
    Session(#[from] SessionError),
    #[error("a member refused: {0}")]
    Refused(String),
    #[error("the new identity cannot be used: {0}")]
    Unusable(String),
}

/// Renews the store's identity for ever: at two thirds of each certificate's life `ask` is called
/// with a new key's request and answers with its certificate (DER). The new identity is saved in
/// `dir`, put into the store, and shown on live sessions, which go on.
#[expect(unused_variables, reason = "signatures first")]
pub async fn keep_renewed<A>(store: Arc<IdentityStore>, dir: &Path, ask: A)
where
    A: AsyncFn(Vec<u8>) -> Result<Vec<u8>, RenewError>,
{
    unimplemented!()
}

/// Asks a member for a certificate: the usual `ask` of [`keep_renewed`].
#[expect(unused_variables, reason = "signatures first")]
pub async fn ask(session: &Session, csr: Vec<u8>) -> Result<Vec<u8>, RenewError> {
    unimplemented!()
}
