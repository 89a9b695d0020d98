//! What this host has already that a new file may be like: an older image, most often.

use std::cmp::Reverse;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use novacron_protocol::Digest;
use novacron_protocol::image::{Chunk, ManifestFile};
use novacron_protocol::limits::CHUNK_BYTES;

/// A whole file of another image.
#[derive(Debug, Clone)]
pub(super) struct Held {
    path: PathBuf,
}

impl Held {
    /// The file in `dir` that is nearest in size to `wanted`, and the newest of those.
    pub(super) fn like(dir: &Path, wanted: &ManifestFile) -> io::Result<Option<Self>> {
        let mut best = None;
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            let name = entry.file_name();
            let digest: Option<Digest> = name.to_str().and_then(|name| name.parse().ok());
            if digest.is_none_or(|digest| digest == wanted.file.digest) {
                continue;
            }
            let metadata = entry.metadata()?;
            let far = metadata.len().abs_diff(wanted.file.size.0);
            let rank = (far, Reverse(metadata.modified().ok()));
            if metadata.is_file() && best.as_ref().is_none_or(|(least, _)| rank < *least) {
                best = Some((rank, entry.path()));
            }
        }
        Ok(best.map(|(_, path)| Self { path }))
    }

    /// What lies where chunk number `index` of the new file will. Empty where there is nothing, or
    /// nothing that can be read: then the chunk comes whole.
    pub(super) fn chunk(&self, index: usize, chunk: Chunk) -> Bytes {
        let read = || -> io::Result<Vec<u8>> {
            let file = File::open(&self.path)?;
            let start = index as u64 * CHUNK_BYTES;
            let len = file.metadata()?.len().saturating_sub(start).min(chunk.len.into());
            let mut content = vec![0; len as usize];
            file.read_exact_at(&mut content, start)?;
            Ok(content)
        };
        read().unwrap_or_default().into()
    }
}
