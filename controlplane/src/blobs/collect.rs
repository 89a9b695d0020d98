//! Removing blobs that no image needs any more: those of deleted images and of imports that were
//! given up.
//!
//! An importer asks which chunks it need not upload, and names them in a manifest later. So a blob
//! that was stored or promised lately is kept, needed or not.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::Path;
use std::time::SystemTime;

use novacron_protocol::{ByteCount, Digest, ImageId};

use super::{BlobError, BlobStore, Inner, disk_error};

/// What was removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Collected {
    pub(super) blobs: u64,
    pub(super) size: ByteCount,
}

impl BlobStore {
    /// Every blob of `images`, manifests included. Fails where a manifest is not here: then it is
    /// not known what is needed.
    pub(super) async fn blobs_of(
        &self,
        images: impl IntoIterator<Item = ImageId>,
    ) -> Result<BTreeSet<Digest>, BlobError> {
        let mut needed = BTreeSet::new();
        for image in images {
            needed.insert(image.0);
            needed.extend(self.manifest(image).await?.chunks().map(|chunk| chunk.digest));
        }
        Ok(needed)
    }

    /// Removes blobs that are not `needed` and were neither stored nor promised after `since`.
    pub(super) async fn collect(
        &self,
        needed: BTreeSet<Digest>,
        since: SystemTime,
    ) -> Result<Collected, BlobError> {
        self.blocking(move |inner| inner.collect(&needed, since).map_err(disk_error)).await
    }
}

impl Inner {
    fn collect(&self, needed: &BTreeSet<Digest>, since: SystemTime) -> io::Result<Collected> {
        let mut collected = Collected::default();
        for shelf in fs::read_dir(&self.root)? {
            let shelf = shelf?.path();
            if shelf == self.root.join("tmp") || !shelf.is_dir() {
                continue;
            }
            for blob in fs::read_dir(shelf)? {
                let blob = blob?;
                let digest: Option<Digest> =
                    blob.file_name().to_str().and_then(|name| name.parse().ok());
                let is_idle = |digest: &Digest| !needed.contains(digest);
                let metadata = blob.metadata()?;
                if digest.as_ref().is_some_and(is_idle) && metadata.modified()? < since {
                    fs::remove_file(blob.path())?;
                    collected.blobs += 1;
                    collected.size += ByteCount(metadata.len());
                }
            }
        }
        Ok(collected)
    }
}

/// Takes note that the blob at `path` was promised now.
pub(super) fn promise(path: &Path) -> io::Result<()> {
    use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, UTIME_NOW, UTIME_OMIT, utimensat};
    let at = |tv_nsec| Timespec { tv_sec: 0, tv_nsec };
    let times = Timestamps { last_access: at(UTIME_OMIT), last_modification: at(UTIME_NOW) };
    Ok(utimensat(CWD, path, &times, AtFlags::empty())?)
}
