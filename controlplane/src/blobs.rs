//! This member's blobs: chunks and manifests of images, on disk.
//!
//! A blob lies at `blobs/<first two digits>/<digest>`, as the zstd frames it came in. It gets there
//! by an atomic rename after its content was checked against its digest and synced, so a blob that
//! is there is whole, whatever happened: half an upload stays in `blobs/tmp` and is removed at the
//! next start. File I/O runs on blocking threads.

mod collect;
mod replicate;
mod serve;
mod upload;
mod verify;

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use novacron_protocol::image::Manifest;
use novacron_protocol::limits::BLOB_BYTES_MAX;
use novacron_protocol::{ByteCount, Digest, ImageId};
use tokio::sync::Semaphore;

pub use replicate::replicate;
pub use upload::BlobUpload;

/// A cheap handle to the store.
#[derive(Debug, Clone)]
pub struct BlobStore {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    root: PathBuf,
    /// Tells temporary files apart.
    uploads: AtomicU64,
    slots: Arc<Semaphore>,
}

/// Why a blob was not stored or given.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BlobError {
    #[error("this member's disk is full; nothing was stored")]
    Full,
    #[error("the content is not that of {expected}: its digest is {found}")]
    WrongDigest { expected: Digest, found: Digest },
    #[error("not zstd frames: {0}")]
    Malformed(String),
    #[error("the content is larger than {max}")]
    TooLarge { max: ByteCount },
    /// The sender went away.
    #[error("the upload ended early: {0}")]
    Interrupted(String),
    #[error("there is no blob {0}")]
    Missing(Digest),
    /// Blobs that are whole, but make no valid image.
    #[error("{0}")]
    Invalid(String),
    #[error("failed to use the blob store: {0}")]
    Disk(String),
}

/// Uploads written at once; more wait. Each takes a blocking thread and up to [`WINDOW_LOG_MAX`]
/// of memory.
const UPLOADS_MAX: usize = 8;
/// Largest zstd window taken, as a power of two: 8 MiB. What zstd's levels up to 19 use; a frame
/// that wants more is refused, or one upload could claim 2 GiB.
const WINDOW_LOG_MAX: u32 = 23;
/// Largest content of a blob: a manifest of the largest image, with room. A chunk has 1 MiB.
const CONTENT_BYTES_MAX: u64 = BLOB_BYTES_MAX as u64;

impl BlobStore {
    /// Opens the store under `data_dir`, and removes what uploads left unfinished.
    pub fn open(data_dir: &Path) -> Result<Self, BlobError> {
        let root = data_dir.join("blobs");
        let temporary = root.join("tmp");
        match fs::remove_dir_all(&temporary) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(disk_error(error)),
            _ => fs::create_dir_all(&temporary).map_err(disk_error)?,
        }
        let slots = Arc::new(Semaphore::new(UPLOADS_MAX));
        Ok(Self { inner: Arc::new(Inner { root, uploads: AtomicU64::new(0), slots }) })
    }

    /// Bytes that a blob takes on disk; `None` when it is not here.
    pub async fn size(&self, digest: Digest) -> Result<Option<ByteCount>, BlobError> {
        self.blocking(move |inner| inner.size(&digest)).await
    }

    /// Which of `digests` are not here, in order, each once. Those that are here stay for as long
    /// as an importer may take to name them in an image.
    pub async fn missing(&self, digests: Vec<Digest>) -> Result<Vec<Digest>, BlobError> {
        self.blocking(move |inner| {
            let mut seen = std::collections::BTreeSet::new();
            let mut missing = Vec::new();
            for digest in digests {
                if seen.insert(digest) && !inner.promise(&digest)? {
                    missing.push(digest);
                }
            }
            Ok(missing)
        })
        .await
    }

    /// Opens a blob as it is stored, with its length.
    pub async fn stored(&self, digest: Digest) -> Result<(tokio::fs::File, u64), BlobError> {
        self.blocking(move |inner| {
            let file = inner.file(&digest)?;
            let len = file.metadata().map_err(disk_error)?.len();
            Ok((tokio::fs::File::from_std(file), len))
        })
        .await
    }

    /// The manifest of an image, if it is here and consistent in itself.
    pub async fn manifest(&self, image: ImageId) -> Result<Manifest, BlobError> {
        self.blocking(move |inner| {
            let content = inner.content(&image.0)?;
            Manifest::open(&content).map_err(|error| BlobError::Invalid(error.to_string()))
        })
        .await
    }

    /// Reads all content of an image and checks it: every chunk, every whole file, and that disks
    /// are what the manifest says. Gives the manifest back.
    pub async fn verify(&self, manifest: Manifest) -> Result<Manifest, BlobError> {
        self.blocking(move |inner| {
            verify::image(inner, &manifest)?;
            Ok(manifest)
        })
        .await
    }

    /// Begins to store a blob. Waits while too many are being stored.
    pub async fn upload(&self, digest: Digest) -> Result<BlobUpload, BlobError> {
        let slot = self.inner.slots.clone().acquire_owned().await;
        let slot = slot.expect("nobody closes the semaphore");
        Ok(BlobUpload::begin(self.inner.clone(), digest, slot))
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner) -> Result<T, BlobError> + Send + 'static,
    ) -> Result<T, BlobError> {
        let inner = self.inner.clone();
        let done = tokio::task::spawn_blocking(move || work(&inner)).await;
        done.unwrap_or_else(|error| Err(BlobError::Disk(error.to_string())))
    }
}

impl Inner {
    fn path(&self, digest: &Digest) -> PathBuf {
        let name = digest.to_string();
        self.root.join(&name[..2]).join(name)
    }

    fn temporary_path(&self) -> PathBuf {
        let number = self.uploads.fetch_add(1, Ordering::Relaxed);
        self.root.join("tmp").join(number.to_string())
    }

    fn size(&self, digest: &Digest) -> Result<Option<ByteCount>, BlobError> {
        match fs::metadata(self.path(digest)) {
            Ok(metadata) => Ok(Some(ByteCount(metadata.len()))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(disk_error(error)),
        }
    }

    /// Whether a blob is here; then it counts as stored just now.
    fn promise(&self, digest: &Digest) -> Result<bool, BlobError> {
        match collect::promise(&self.path(digest)) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(disk_error(error)),
        }
    }

    fn file(&self, digest: &Digest) -> Result<File, BlobError> {
        File::open(self.path(digest)).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => BlobError::Missing(*digest),
            _ => disk_error(error),
        })
    }

    /// The whole content of a blob, expanded and checked. A blob that was damaged on disk is
    /// removed, so that it can be stored anew.
    fn content(&self, digest: &Digest) -> Result<Vec<u8>, BlobError> {
        let mut content = Vec::new();
        let read = expand(self.file(digest)?)
            .and_then(|stream| stream.take(CONTENT_BYTES_MAX + 1).read_to_end(&mut content));
        if read.is_ok() && Digest::of(&content) == *digest {
            return Ok(content);
        }
        let reason = match read {
            Ok(_) => "its content does not match its digest".to_owned(),
            Err(error) => error.to_string(),
        };
        tracing::error!("blob {digest} was damaged on disk ({reason}) and is removed");
        fs::remove_file(self.path(digest)).map_err(disk_error)?;
        Err(BlobError::Invalid(format!("blob {digest} was damaged on disk; upload it again")))
    }
}

/// Expands zstd frames, with bounded memory.
fn expand<R: Read>(frames: R) -> io::Result<zstd::Decoder<'static, io::BufReader<R>>> {
    let mut stream = zstd::Decoder::new(frames)?;
    stream.window_log_max(WINDOW_LOG_MAX)?;
    Ok(stream)
}

fn disk_error(error: io::Error) -> BlobError {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => BlobError::Full,
        _ => BlobError::Disk(error.to_string()),
    }
}

#[cfg(test)]
mod tests;
