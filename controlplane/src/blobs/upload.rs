//! One blob on its way to disk: written, expanded and hashed as it comes.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write as _};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use novacron_protocol::{ByteCount, Digest};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::task::JoinHandle;

use super::{BlobError, CONTENT_BYTES_MAX, Inner, disk_error, expand};

/// Takes the bytes of one blob. Dropped before [`BlobUpload::finish`], it leaves nothing.
#[derive(Debug)]
pub struct BlobUpload {
    bytes_tx: mpsc::Sender<Bytes>,
    writer: JoinHandle<Result<ByteCount, BlobError>>,
}

/// Pieces that may wait for the disk; then the sender waits. A piece is what one read of a socket
/// brings, up to some 64 KiB.
const QUEUE_PIECES: usize = 8;

impl BlobUpload {
    pub(super) fn begin(inner: Arc<Inner>, digest: Digest, slot: OwnedSemaphorePermit) -> Self {
        let (bytes_tx, bytes_rx) = mpsc::channel(QUEUE_PIECES);
        let writer = tokio::task::spawn_blocking(move || {
            let stored = store(&inner, digest, bytes_rx);
            drop(slot);
            stored
        });
        Self { bytes_tx, writer }
    }

    /// Takes the next bytes.
    pub async fn write(&mut self, bytes: Bytes) -> Result<(), BlobError> {
        if self.bytes_tx.send(bytes).await.is_ok() {
            return Ok(());
        }
        // The writer gave up before the end; it says why.
        match (&mut self.writer).await {
            Ok(Err(error)) => Err(error),
            Ok(Ok(_)) => Err(BlobError::Malformed("bytes after the end".to_owned())),
            Err(error) => Err(BlobError::Disk(error.to_string())),
        }
    }

    /// Checks and keeps the blob; gives the bytes it takes on disk.
    pub async fn finish(self) -> Result<ByteCount, BlobError> {
        drop(self.bytes_tx);
        self.writer.await.unwrap_or_else(|error| Err(BlobError::Disk(error.to_string())))
    }
}

/// Receives, checks and keeps one blob. An upload that was given up looks like one that ended
/// early; its content does not have the digest, so it is not kept.
fn store(
    inner: &Inner,
    digest: Digest,
    pieces: mpsc::Receiver<Bytes>,
) -> Result<ByteCount, BlobError> {
    let temporary = inner.temporary_path();
    let file = OpenOptions::new().write(true).create_new(true).open(&temporary);
    let stored = receive(file.map_err(disk_error)?, digest, pieces).and_then(|stored| {
        keep(&temporary, &inner.path(&digest)).map_err(disk_error)?;
        Ok(stored)
    });
    if stored.is_err() {
        // Never renamed: what there is of it is of no use. The next start removes it otherwise.
        let _ = fs::remove_file(&temporary);
    }
    stored
}

fn receive(
    file: File,
    digest: Digest,
    pieces: mpsc::Receiver<Bytes>,
) -> Result<ByteCount, BlobError> {
    let mut tee = Tee { pieces, current: Bytes::new(), file, stored: 0, failed: None };
    let hashed = hash_content(&mut tee);
    if let Some(error) = tee.failed {
        return Err(disk_error(error));
    }
    let found = hashed?;
    if found != digest {
        return Err(BlobError::WrongDigest { expected: digest, found });
    }
    tee.file.sync_all().map_err(disk_error)?;
    Ok(ByteCount(tee.stored))
}

/// Digest of what the frames expand to.
fn hash_content(tee: &mut Tee) -> Result<Digest, BlobError> {
    let malformed = |error: io::Error| BlobError::Malformed(error.to_string());
    let mut content = expand(tee).map_err(malformed)?;
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; 64 << 10];
    let mut total = 0_u64;
    loop {
        let len = content.read(&mut buffer).map_err(malformed)?;
        if len == 0 {
            return Ok(Digest(*hasher.finalize().as_bytes()));
        }
        total += len as u64;
        if total > CONTENT_BYTES_MAX {
            return Err(BlobError::TooLarge { max: ByteCount(CONTENT_BYTES_MAX) });
        }
        hasher.update(&buffer[..len]);
    }
}

/// Gives on what comes while it writes it to the file.
struct Tee {
    pieces: mpsc::Receiver<Bytes>,
    current: Bytes,
    file: File,
    stored: u64,
    /// What went wrong with the file: told apart from what is wrong with the content.
    failed: Option<io::Error>,
}

impl Read for Tee {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        while self.current.is_empty() {
            let Some(piece) = self.pieces.blocking_recv() else { return Ok(0) };
            if let Err(error) = self.file.write_all(&piece) {
                self.failed = Some(error);
                return Err(io::ErrorKind::BrokenPipe.into());
            }
            self.stored += piece.len() as u64;
            self.current = piece;
        }
        let len = out.len().min(self.current.len());
        out[..len].copy_from_slice(&self.current.split_to(len));
        Ok(len)
    }
}

/// Moves a synced file to its place, for good.
fn keep(temporary: &Path, path: &Path) -> io::Result<()> {
    let directory = path.parent().expect("a blob's path has a directory");
    if !directory.exists() {
        fs::create_dir_all(directory)?;
        if let Some(root) = directory.parent() {
            File::open(root)?.sync_all()?;
        }
    }
    fs::rename(temporary, path)?;
    File::open(directory)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_named_and_not_taken_for_bad_content() {
        let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
        let (bytes_tx, bytes_rx) = mpsc::channel(1);
        let content = b"content";
        let stored = zstd::encode_all(&content[..], 1).unwrap();
        bytes_tx.try_send(stored.into()).unwrap();
        drop(bytes_tx);
        assert_eq!(receive(full, Digest::of(content), bytes_rx), Err(BlobError::Full));
    }
}
