//! Images.
//!
//! An import uploads every chunk and then the manifest as blobs (`/blobs`), all to one member, and
//! names the result with `POST /images` there.

use serde::{Deserialize, Serialize};

use crate::api::operation::OperationView;
use crate::api::time::UtcTime;
use crate::image::ImageFile;
use crate::{ByteCount, Digest, ImageId, LogIndex, MemberId, Name};

/// `POST /images`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CreateImage {
    pub name: Name,
    /// Digest of the manifest's blob, uploaded before.
    pub manifest: Digest,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ImageView {
    pub id: ImageId,
    pub name: Name,
    /// Bytes of its files together.
    pub size: ByteCount,
    pub files: Vec<ImageFile>,
    /// Kernel command line of a direct boot; empty without a kernel.
    pub cmdline: String,
    /// Members that have every blob of it.
    pub holders: Vec<MemberId>,
    /// Whether a majority of the voters hold it.
    pub safe: bool,
    pub created_at: UtcTime,
    /// The log index of its last change; also the header `ETag`, in quotes.
    pub etag: LogIndex,
}

/// `202` to `POST /images`: it can be used; the operation ends when a majority of the members
/// hold it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ImageAccepted {
    pub operation: OperationView,
    /// `null` when it is gone already.
    pub image: Option<ImageView>,
}
