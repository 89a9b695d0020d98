//! Gives blobs to members and agents.

use novacron_protocol::Digest;
use novacron_protocol::wire::call::{CallRefusal, Response};
use novacron_transport::{IncomingCall, SessionError};

use super::{BlobError, BlobStore};

impl BlobStore {
    /// Answers a request for a blob from disk, as it is stored.
    pub async fn answer(&self, call: IncomingCall, digest: Digest) -> Result<(), SessionError> {
        match self.stored(digest).await {
            Ok((file, stored_len)) => {
                call.respond_with_body(&Response::Blob { stored_len }, file).await
            }
            Err(error @ BlobError::Missing(_)) => {
                let refusal = CallRefusal::NotFound(error.to_string());
                call.respond(&Response::Refused(refusal)).await
            }
            Err(error) => {
                tracing::warn!("blob {digest} could not be read: {error}");
                let refusal = CallRefusal::Unavailable(error.to_string());
                call.respond(&Response::Refused(refusal)).await
            }
        }
    }
}
