//! Gives blobs to members and agents: as they are stored, or as differences to what the caller has.

use bytes::Bytes;
use novacron_hde::delta::{Signature, encode_once};
use novacron_protocol::Digest;
use novacron_protocol::limits::CHUNK_BYTES;
use novacron_protocol::wire::call::{CallRefusal, Response};
use novacron_transport::{IncomingCall, SessionError};

use super::{BlobError, BlobStore, Inner};

/// Stored bytes of a blob that is coded anew for its caller, at most: a chunk's, never a manifest's.
const CODED_BYTES_MAX: u64 = 2 * CHUNK_BYTES;
/// On a faster link than this, 200 Mbit/s, expanding a chunk and compressing it anew takes longer than
/// it saves: what it is stored as is sent, unless the caller has something like it.
const RECODE_BYTES_PER_S_MAX: f64 = 25e6;
/// A coded form must be shorter than the stored one by a twentieth to be worth it.
const WORTH: f64 = 0.95;

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

    /// Answers a request for a blob in the form that is on a link of `bytes_per_s` sooner there.
    pub async fn answer_coded(
        &self,
        call: IncomingCall,
        digest: Digest,
        signature: &[u8],
        bytes_per_s: f64,
    ) -> Result<(), SessionError> {
        let signature = match Signature::decode(signature) {
            Ok(signature) => signature,
            Err(error) => {
                let refusal = CallRefusal::Rejected(error.to_string());
                return call.respond(&Response::Refused(refusal)).await;
            }
        };
        let coded = self.blocking(move |inner| inner.coded(digest, signature, bytes_per_s)).await;
        match coded {
            Ok(Some(coded)) => {
                let response = Response::CodedBlob { coded_len: coded.len() as u64 };
                call.respond_with_bytes(&response, coded).await
            }
            // What is wrong with the blob is said once, there.
            Ok(None) | Err(_) => self.answer(call, digest).await,
        }
    }
}

impl Inner {
    /// The coded form, when it is worth it.
    pub(super) fn coded(
        &self,
        digest: Digest,
        signature: Signature,
        bytes_per_s: f64,
    ) -> Result<Option<Bytes>, BlobError> {
        let stored = self.size(&digest)?.ok_or(BlobError::Missing(digest))?;
        let fast = signature.is_empty() && bytes_per_s > RECODE_BYTES_PER_S_MAX;
        if fast || stored.0 > CODED_BYTES_MAX {
            return Ok(None);
        }
        let content = Bytes::from(self.content(&digest)?);
        let coded = encode_once(signature, &content, bytes_per_s);
        Ok(((coded.len() as f64) < stored.0 as f64 * WORTH).then_some(coded))
    }
}
