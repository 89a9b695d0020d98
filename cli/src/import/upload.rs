//! The second pass: sends the blobs that one member lacks.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use novacron_protocol::Digest;
use novacron_protocol::api::blob::{BLOBS_ASKED_MAX, MissingBlobs, MissingBlobsAnswer};
use novacron_protocol::limits::CHUNK_BYTES;

use super::{Sealed, Source, open, unreadable};
use crate::client::{Answer, Client, ClientError};
use crate::failure::Failure;

/// Uploads at a time: one is compressed while the other is on its way.
const UPLOADS_MAX: usize = 2;
/// zstd level of chunks. Of 300 MB of a Debian system, in chunks, level 1 leaves 41 % at 240 MB/s
/// and core, level 3 37 % at 175, level 6 35 % at 61, level 9 35 % at 38: beyond 3 there is little
/// left to win, and the network waits for the compressor.
const ZSTD_LEVEL: i32 = 3;

/// What came of an upload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Uploaded {
    /// Different blobs of the image, its manifest among them.
    pub(crate) blobs: usize,
    /// How many of them the member had before.
    pub(crate) known: usize,
}

/// Why an upload did not come to its end.
#[derive(Debug)]
pub(crate) enum UploadError {
    /// The member could not be talked to, or refused; another may do.
    Member(ClientError),
    /// Nothing that another member could change.
    Local(Failure),
}

/// Where a chunk is read again.
#[derive(Debug, Clone, Copy)]
struct Place {
    file: usize,
    offset: u64,
    len: u32,
}

/// Sends all blobs of `sealed` that the member behind `client` lacks, the manifest last. `client`
/// must be of one endpoint; `advance` hears how many blobs of all are there.
pub(crate) fn upload(
    client: &Client,
    sealed: &Sealed,
    advance: impl Fn(Uploaded, usize) + Sync,
) -> Result<Uploaded, UploadError> {
    let places = places(sealed);
    let missing = missing(client, places.keys().copied())?;
    let blobs = places.len() + 1;
    let uploaded = Uploaded { blobs, known: places.len().saturating_sub(missing.len()) };
    advance(uploaded, uploaded.known);
    let place = |digest: &Digest| Some((*digest, *places.get(digest)?));
    let work: Vec<(Digest, Place)> = missing.iter().filter_map(place).collect();
    send_chunks(client, &sealed.sources, &work, |sent| advance(uploaded, uploaded.known + sent))?;
    if missing_of(client, &[sealed.id.0])?.is_empty() {
        return Ok(Uploaded { known: uploaded.known + 1, ..uploaded });
    }
    let frames = zstd::bulk::compress(&sealed.encoded, ZSTD_LEVEL).map_err(compressing)?;
    client.put_blob(sealed.id.0, frames)?;
    advance(uploaded, blobs);
    Ok(uploaded)
}

/// Each different chunk, and one place where it stands.
fn places(sealed: &Sealed) -> BTreeMap<Digest, Place> {
    let mut places = BTreeMap::new();
    for (file, content) in sealed.manifest.files.iter().enumerate() {
        for (at, chunk) in content.chunks.iter().enumerate() {
            let offset = at as u64 * CHUNK_BYTES;
            places.insert(chunk.digest, Place { file, offset, len: chunk.len });
        }
    }
    places
}

fn missing(
    client: &Client,
    digests: impl Iterator<Item = Digest>,
) -> Result<Vec<Digest>, UploadError> {
    let digests: Vec<Digest> = digests.collect();
    let mut missing = Vec::new();
    for batch in digests.chunks(BLOBS_ASKED_MAX) {
        missing.extend(missing_of(client, batch)?);
    }
    Ok(missing)
}

/// Those of `digests` that the member lacks.
fn missing_of(client: &Client, digests: &[Digest]) -> Result<Vec<Digest>, UploadError> {
    let question = MissingBlobs { digests: digests.to_vec() };
    let answer: Answer<MissingBlobsAnswer> = client.ask("/blobs/missing", &question)?;
    Ok(answer.view.missing)
}

/// Sends `work` from [`UPLOADS_MAX`] threads, and stops at the first error.
fn send_chunks(
    client: &Client,
    sources: &[Source],
    work: &[(Digest, Place)],
    advance: impl Fn(usize) + Sync,
) -> Result<(), UploadError> {
    let next = AtomicUsize::new(0);
    let sent = AtomicUsize::new(0);
    let first_error = Mutex::new(None);
    let sender = || {
        let outcome = open_all(sources).and_then(|files| {
            while let Some((digest, place)) = work.get(next.fetch_add(1, Ordering::Relaxed)) {
                let path = &sources[place.file].path;
                send_chunk(client, path, &files[place.file], *digest, *place)?;
                advance(sent.fetch_add(1, Ordering::Relaxed) + 1);
            }
            Ok(())
        });
        if let Err(error) = outcome {
            // Leaves nothing for the others to begin.
            next.store(work.len(), Ordering::Relaxed);
            let mut first = first_error.lock().unwrap_or_else(PoisonError::into_inner);
            first.get_or_insert(error);
        }
    };
    thread::scope(|scope| {
        for _ in 0..UPLOADS_MAX.min(work.len()) {
            scope.spawn(sender);
        }
    });
    match first_error.into_inner().unwrap_or_else(PoisonError::into_inner) {
        None => Ok(()),
        Some(error) => Err(error),
    }
}

fn open_all(sources: &[Source]) -> Result<Vec<File>, UploadError> {
    sources.iter().map(|source| Ok(open(&source.path)?)).collect()
}

fn send_chunk(
    client: &Client,
    path: &Path,
    file: &File,
    digest: Digest,
    place: Place,
) -> Result<(), UploadError> {
    let mut content = vec![0; place.len as usize];
    let changed = || {
        Failure::new(format!("{} changed while it was imported", path.display()))
            .hint("import it again when nothing writes to it any more")
    };
    file.read_exact_at(&mut content, place.offset).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => changed(),
        _ => unreadable(path, &error),
    })?;
    if Digest::of(&content) != digest {
        return Err(changed().into());
    }
    let frames = zstd::bulk::compress(&content, ZSTD_LEVEL).map_err(compressing)?;
    Ok(client.put_blob(digest, frames)?)
}

fn compressing(error: io::Error) -> Failure {
    Failure::new(format!("cannot compress: {error}"))
}

impl From<ClientError> for UploadError {
    fn from(error: ClientError) -> Self {
        Self::Member(error)
    }
}

impl From<Failure> for UploadError {
    fn from(failure: Failure) -> Self {
        Self::Local(failure)
    }
}
