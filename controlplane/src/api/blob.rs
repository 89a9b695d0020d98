//! `/blobs`: uploads of chunks and manifests to this member's store.

use std::time::Duration;

use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use futures_util::StreamExt as _;
use novacron_protocol::api::ProblemCode;
use novacron_protocol::api::blob::{BLOBS_ASKED_MAX, BlobStored, MissingBlobs, MissingBlobsAnswer};
use novacron_protocol::limits::BLOB_BYTES_MAX;
use novacron_protocol::{ByteCount, Digest};

use super::Shared;
use super::access::too_large;
use super::answer::{Answer, Reply};
use super::failure::Failure;
use super::input::{Json, Params};
use crate::blobs::BlobUpload;

/// How long an upload may stand still before it is given up.
const STALL_TIMEOUT: Duration = Duration::from_secs(30);

/// Ask which blobs this member lacks.
#[utoipa::path(post, path = "/api/v1/blobs/missing", tag = "blobs",
    request_body = MissingBlobs,
    responses((status = 200, description = "Those it lacks", body = MissingBlobsAnswer)))]
pub(crate) async fn missing(
    State(api): State<Shared>,
    params: Params,
    Json(request): Json<MissingBlobs>,
) -> Reply {
    params.finish()?;
    if request.digests.len() > BLOBS_ASKED_MAX {
        let message = format!("must be at most {BLOBS_ASKED_MAX}");
        let failure = Failure::new(ProblemCode::InvalidRequest, format!("/digests: {message}"));
        return Err(failure.on("/digests", message));
    }
    let missing = api.blobs.missing(request.digests).await?;
    Ok(Answer::ok(&MissingBlobsAnswer { missing }))
}

/// Store a blob.
///
/// The body is the content as zstd frames; the digest names what they expand to. Sending a blob
/// again is harmless.
#[utoipa::path(put, path = "/api/v1/blobs/{digest}", tag = "blobs",
    params(("digest" = Digest, Path, description = "BLAKE3 of the content, expanded")),
    request_body(content = Vec<u8>, content_type = "application/zstd"),
    responses(
        (status = 201, description = "It is stored", body = BlobStored),
        (status = 200, description = "It was there already", body = BlobStored),
    ))]
pub(crate) async fn put(
    State(api): State<Shared>,
    Path(digest): Path<String>,
    params: Params,
    request: Request,
) -> Reply {
    params.finish()?;
    let digest: Digest =
        digest.parse().map_err(|error: novacron_protocol::digest::DigestError| {
            Failure::new(ProblemCode::InvalidParameter, error.to_string())
                .on("{digest}", error.to_string())
        })?;
    check_media_type(request.headers())?;
    if let Some(size) = api.blobs.size(digest).await? {
        return Ok(Answer::ok(&BlobStored { digest, size }));
    }
    let upload = api.blobs.upload(digest).await?;
    let size = receive(upload, request.into_body()).await?;
    Ok(Answer::json(StatusCode::CREATED, &BlobStored { digest, size }))
}

async fn receive(mut upload: BlobUpload, body: Body) -> Result<ByteCount, Failure> {
    let mut stream = body.into_data_stream();
    let mut received = 0;
    loop {
        let chunk = match tokio::time::timeout(STALL_TIMEOUT, stream.next()).await {
            Ok(Some(Ok(chunk))) => chunk,
            Ok(None) => return Ok(upload.finish().await?),
            Ok(Some(Err(error))) => {
                let detail = format!("the body broke off: {error}");
                return Err(Failure::new(ProblemCode::RequestTimeout, detail));
            }
            Err(_) => {
                return Err(Failure::new(ProblemCode::RequestTimeout, "the body stands still"));
            }
        };
        received += chunk.len();
        if received > BLOB_BYTES_MAX {
            return Err(too_large(BLOB_BYTES_MAX));
        }
        upload.write(chunk).await?;
    }
}

fn check_media_type(headers: &HeaderMap) -> Result<(), Failure> {
    let Some(value) = headers.get(header::CONTENT_TYPE) else { return Ok(()) };
    match value.to_str() {
        Ok("application/zstd" | "application/octet-stream") => Ok(()),
        _ => Err(Failure::new(ProblemCode::UnsupportedMediaType, "a blob is sent as zstd frames")
            .hint("send it with the header Content-Type: application/zstd")),
    }
}
