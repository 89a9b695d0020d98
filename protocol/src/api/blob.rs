//! Blobs: chunks and manifests of images, named by the digest of their content.
//!
//! `PUT /blobs/{digest}` takes the content as zstd frames, at most
//! [`crate::limits::BLOB_BYTES_MAX`] of them.

use serde::{Deserialize, Serialize};

use crate::{ByteCount, Digest};

/// `POST /blobs/missing`: which of these does the member lack?
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct MissingBlobs {
    /// At most [`BLOBS_ASKED_MAX`].
    pub digests: Vec<Digest>,
}

/// The answer: in the order asked, each once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct MissingBlobsAnswer {
    pub missing: Vec<Digest>,
}

/// `201` to `PUT /blobs/{digest}`; `200` when it was there already.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct BlobStored {
    pub digest: Digest,
    /// Bytes it takes as it is stored, compressed.
    pub size: ByteCount,
}

/// Most digests in one [`MissingBlobs`]; more are refused: 10,000 of them are 670 kB of JSON,
/// within the limit of a body.
pub const BLOBS_ASKED_MAX: usize = 10_000;
