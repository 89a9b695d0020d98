//! The files of images on this host: fetched in chunks from the members, kept by digest.
//!
//! `<dir>/<digest>` is a whole, verified file that nobody writes to again. `<dir>/partial/<digest>`
//! is one in the making: verified chunks in file order, so a fetch that was cut off goes on where
//! it ended, after checking what is there. VMs that need the same file wait for one fetch of it.
//! What another image on this host has in the same place is not fetched, or only what differs.
//! Nothing that a member sends is believed: every blob has a bound on what it may expand to, and
//! is what its digest says or is thrown away.

mod held;
pub mod overlay;

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures_util::StreamExt as _;
use novacron_protocol::image::{Chunk, FileRole, ImageBoot, ImageFile, Manifest, ManifestFile};
use novacron_protocol::limits::{BLOB_BYTES_MAX, CHUNK_BYTES};
use novacron_protocol::{Digest, ImageId};
use tokio::task::spawn_blocking;

use crate::files;
use held::Held;

/// Where blobs come from.
pub trait BlobSource: Send + Sync {
    /// The stored bytes (zstd) of the blob that expands to content of digest `digest`, at most
    /// `max` of them.
    fn fetch(
        &self,
        digest: Digest,
        max: usize,
    ) -> impl Future<Output = Result<Bytes, ImageError>> + Send;

    /// A chunk that may be like `base`, which is at hand.
    fn fetch_like(
        &self,
        chunk: Chunk,
        base: Bytes,
    ) -> impl Future<Output = Result<Blob, ImageError>> + Send {
        drop(base);
        async move { self.fetch(chunk.digest, stored_max(chunk)).await.map(Blob::Stored) }
    }
}

/// A chunk as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Blob {
    /// As it is stored, unchecked.
    Stored(Bytes),
    /// Its content, checked against its digest.
    Content(Vec<u8>),
}

/// Most bytes that a chunk takes as it is stored.
pub fn stored_max(chunk: Chunk) -> usize {
    chunk.len as usize + STORED_SLACK_BYTES
}

/// Why an image cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ImageError {
    /// It is not to be had at the moment; try again.
    #[error("{0}")]
    Unavailable(String),
    /// It cannot be used as it is, or the disk does not take it.
    #[error("{0}")]
    Refused(String),
}

/// The images of this host.
#[derive(Debug)]
pub struct ImageStore {
    dir: PathBuf,
    /// Files that are being made right now.
    busy: Mutex<HashMap<Digest, Arc<tokio::sync::Mutex<()>>>>,
}

/// Chunks asked for ahead of the one being written: keeps a link of 40 ms and 100 MB/s busy.
const CHUNKS_AHEAD: usize = 4;
/// zstd adds a header and, to what does not compress, 3 bytes in 128 KiB; this is plenty.
const STORED_SLACK_BYTES: usize = 64 << 10;
/// Largest window a blob's decoder may ask for, as a power of two: 16 MiB, twice what zstd's
/// highest ordinary level uses.
const WINDOW_LOG_MAX: u32 = 24;
const PARTIAL: &str = "partial";

impl ImageStore {
    /// Uses `dir`, which is made if it is not there.
    pub fn open(dir: PathBuf) -> io::Result<Self> {
        fs::create_dir_all(dir.join(PARTIAL))?;
        Ok(Self { dir, busy: Mutex::default() })
    }

    /// Where the whole file of that digest is, once [`Self::ensure`] said so.
    pub fn path(&self, digest: Digest) -> PathBuf {
        self.dir.join(digest.to_string())
    }

    /// Has all files of `boot` on disk. Safe to give up at any point.
    pub async fn ensure(
        &self,
        boot: &ImageBoot,
        source: &impl BlobSource,
    ) -> Result<(), ImageError> {
        let mut manifest = None;
        for file in &boot.files {
            let busy = self.busy(file.digest);
            let _making = busy.lock().await;
            if self.has(file)? {
                continue;
            }
            if manifest.is_none() {
                manifest = Some(fetch_manifest(boot.image, source).await?);
            }
            let manifest = manifest.as_ref().expect("fetched just before");
            let wanted = manifest.files.iter().find(|candidate| candidate.file == *file);
            let wanted = wanted.ok_or_else(|| {
                ImageError::Refused(format!("image {} has no file {}", boot.image, file.digest))
            })?;
            self.make(wanted, source).await?;
        }
        self.forget_idle();
        Ok(())
    }

    /// Removes all files but those of `in_use`; says how many went.
    pub fn collect(&self, in_use: &[Digest]) -> io::Result<usize> {
        let mut removed = 0;
        for dir in [&self.dir, &self.dir.join(PARTIAL)] {
            for entry in fs::read_dir(dir)? {
                let entry = entry?;
                let digest = entry.file_name().to_str().and_then(|name| name.parse().ok());
                if digest.is_some_and(|digest: Digest| !in_use.contains(&digest)) {
                    fs::remove_file(entry.path())?;
                    removed += 1;
                }
            }
        }
        Ok(removed)
    }

    fn busy(&self, digest: Digest) -> Arc<tokio::sync::Mutex<()>> {
        let mut busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(busy.entry(digest).or_default())
    }

    fn forget_idle(&self) {
        let mut busy = self.busy.lock().unwrap_or_else(PoisonError::into_inner);
        busy.retain(|_, making| Arc::strong_count(making) > 1);
    }

    fn has(&self, file: &ImageFile) -> Result<bool, ImageError> {
        match fs::metadata(self.path(file.digest)) {
            Ok(found) => Ok(found.len() == file.size.0),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(disk(&error)),
        }
    }

    async fn make(
        &self,
        wanted: &ManifestFile,
        source: &impl BlobSource,
    ) -> Result<(), ImageError> {
        let partial = self.dir.join(PARTIAL).join(wanted.file.digest.to_string());
        let chunks = wanted.chunks.clone();
        let mut draft = blocking(move || Draft::open(&partial, &chunks)).await?;
        let (dir, like) = (self.dir.clone(), wanted.clone());
        let held = blocking(move || Held::like(&dir, &like).map_err(|error| disk(&error))).await?;
        let rest = wanted.chunks.iter().copied().enumerate().skip(draft.chunks_done);
        let fetches = rest.collect::<Vec<_>>().into_iter().map(|(index, chunk)| {
            let held = held.clone();
            async move { (chunk, fetch_chunk(index, chunk, held, source).await) }
        });
        let mut fetched = futures_util::stream::iter(fetches).buffered(CHUNKS_AHEAD);
        while let Some((chunk, blob)) = fetched.next().await {
            let blob = blob?;
            draft = blocking(move || draft.append(chunk, blob)).await?;
        }
        let (file, path) = (wanted.file.clone(), self.path(wanted.file.digest));
        blocking(move || draft.finish(&file, &path)).await
    }
}

/// A file in the making.
struct Draft {
    path: PathBuf,
    file: File,
    chunks_done: usize,
    hasher: blake3::Hasher,
}

impl Draft {
    /// Goes on with the draft at `path`, after the last of its chunks that is as it should be.
    fn open(path: &Path, chunks: &[Chunk]) -> Result<Self, ImageError> {
        let open = File::options().read(true).write(true).create(true).truncate(false).open(path);
        let mut file = open.map_err(|error| disk(&error))?;
        let mut hasher = blake3::Hasher::new();
        let mut content = Vec::new();
        let mut chunks_done = 0;
        let mut good_bytes = 0;
        for chunk in chunks {
            content.clear();
            let read = (&mut file).take(u64::from(chunk.len)).read_to_end(&mut content);
            read.map_err(|error| disk(&error))?;
            if content.len() != chunk.len as usize || Digest::of(&content) != chunk.digest {
                break;
            }
            hasher.update(&content);
            chunks_done += 1;
            good_bytes += u64::from(chunk.len);
        }
        file.set_len(good_bytes).map_err(|error| disk(&error))?;
        file.seek(SeekFrom::Start(good_bytes)).map_err(|error| disk(&error))?;
        Ok(Self { path: path.to_owned(), file, chunks_done, hasher })
    }

    fn append(mut self, chunk: Chunk, blob: Blob) -> Result<Self, ImageError> {
        let content = match blob {
            Blob::Stored(stored) => expand(chunk.digest, &stored, chunk.len as usize)?,
            Blob::Content(content) => content,
        };
        if content.len() != chunk.len as usize {
            return Err(damaged(chunk.digest));
        }
        self.hasher.update(&content);
        let zeros = content.iter().all(|byte| *byte == 0);
        let written = if zeros {
            // A hole reads as zeros and takes no room.
            self.file.seek(SeekFrom::Current(i64::from(chunk.len))).map(drop)
        } else {
            self.file.write_all(&content)
        };
        written.map_err(|error| disk(&error))?;
        Ok(self)
    }

    /// Gives the file its name, when it is what its name says.
    fn finish(self, file: &ImageFile, path: &Path) -> Result<(), ImageError> {
        let found = Digest(*self.hasher.finalize().as_bytes());
        if found != file.digest {
            // Every chunk was right, so the manifest contradicts itself: fetching again is no use.
            let _ = fs::remove_file(&self.path);
            let text = format!("the manifest's chunks are not the file {}", file.digest);
            return Err(ImageError::Refused(text));
        }
        self.file.set_len(file.size.0).map_err(|error| disk(&error))?;
        if file.role == FileRole::Qcow2Disk {
            overlay::check_base(&self.path)?;
        }
        self.file.sync_all().map_err(|error| disk(&error))?;
        files::publish(&self.path, path, files::Sync::Yes).map_err(|error| disk(&error))
    }
}

/// A chunk from the file that the host has already, when it is the same there, or else from `source`.
async fn fetch_chunk(
    index: usize,
    chunk: Chunk,
    held: Option<Held>,
    source: &impl BlobSource,
) -> Result<Blob, ImageError> {
    let base = match held {
        Some(held) => blocking(move || Ok(held.chunk(index, chunk))).await?,
        None => Bytes::new(),
    };
    if base.len() == chunk.len as usize {
        let copy = base.clone();
        if blocking(move || Ok(Digest::of(&copy))).await? == chunk.digest {
            return Ok(Blob::Content(base.into()));
        }
    }
    source.fetch_like(chunk, base).await
}

async fn fetch_manifest(image: ImageId, source: &impl BlobSource) -> Result<Manifest, ImageError> {
    let stored = source.fetch(image.0, BLOB_BYTES_MAX).await?;
    blocking(move || {
        let content = expand(image.0, &stored, BLOB_BYTES_MAX)?;
        Manifest::open(&content)
            .map_err(|error| ImageError::Refused(format!("image {image}: {error}")))
    })
    .await
}

/// What `stored` expands to, when that has digest `digest` and at most `max` bytes.
fn expand(digest: Digest, stored: &[u8], max: usize) -> Result<Vec<u8>, ImageError> {
    let bad = |_| damaged(digest);
    let mut decoder = zstd::stream::read::Decoder::with_buffer(stored).map_err(bad)?;
    decoder.window_log_max(WINDOW_LOG_MAX).map_err(bad)?;
    let mut content = Vec::with_capacity(max.min(CHUNK_BYTES as usize));
    decoder.take(max as u64 + 1).read_to_end(&mut content).map_err(bad)?;
    if content.len() > max || Digest::of(&content) != digest {
        return Err(damaged(digest));
    }
    Ok(content)
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, ImageError> + Send + 'static,
) -> Result<T, ImageError> {
    spawn_blocking(work).await.expect("the work does not panic, and the runtime outlives it")
}

/// Another member may have a better copy, so it is asked for again.
fn damaged(digest: Digest) -> ImageError {
    ImageError::Unavailable(format!("a member sent a damaged blob for {digest}"))
}

fn disk(error: &io::Error) -> ImageError {
    ImageError::Refused(format!("cannot keep the image: {error}"))
}

#[cfg(test)]
mod tests;
