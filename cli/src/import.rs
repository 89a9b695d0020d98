//! Importing an image: files are cut into chunks, named, and only what the member lacks is sent.
//!
//! Two passes over each file. The first reads it once and names every chunk; the second reads only
//! the chunks that are missing, checks that they are what the first pass saw, compresses and
//! uploads them. Memory holds two chunks and the list of digests (36 MB for 1 TiB), never a file.
//! A rerun finds what is there already and goes on behind it.

mod format;
mod upload;

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use novacron_protocol::image::{Chunk, FileRole, ImageFile, Manifest, ManifestFile};
use novacron_protocol::limits::{CHUNK_BYTES, CHUNKS_MAX};
use novacron_protocol::{ByteCount, Digest, ImageId};

use crate::failure::Failure;
pub(crate) use upload::{UploadError, upload};

/// A file that becomes part of an image.
#[derive(Debug, Clone)]
pub(crate) struct Source {
    pub(crate) path: PathBuf,
    pub(crate) part: Part,
}

/// What a file is meant for; whether a disk is raw or qcow2 is in its header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    Disk,
    Kernel,
    Initrd,
}

/// An image that was named and not sent yet.
#[derive(Debug)]
pub(crate) struct Sealed {
    pub(crate) id: ImageId,
    pub(crate) manifest: Manifest,
    /// The manifest's encoding: the content of the blob that `id` names.
    pub(crate) encoded: Vec<u8>,
    /// One per file of the manifest.
    pub(crate) sources: Vec<Source>,
}

impl Sealed {
    pub(crate) fn size(&self) -> ByteCount {
        self.manifest.files.iter().map(|file| file.file.size).sum()
    }
}

/// Reads all files once and names the image; `advance` hears of each chunk's bytes.
pub(crate) fn seal(
    sources: Vec<Source>,
    cmdline: String,
    mut advance: impl FnMut(&Path, ByteCount),
) -> Result<Sealed, Failure> {
    let mut files = Vec::with_capacity(sources.len());
    for source in &sources {
        files.push(read(source, |bytes| advance(&source.path, bytes))?);
    }
    let manifest = Manifest { files, cmdline };
    let (id, encoded) = manifest
        .seal()
        .map_err(|error| Failure::new(format!("these files make no image: {error}")))?;
    Ok(Sealed { id, manifest, encoded, sources })
}

/// Names one file and its chunks.
fn read(source: &Source, mut advance: impl FnMut(ByteCount)) -> Result<ManifestFile, Failure> {
    let mut file = open(&source.path)?;
    let (role, virtual_size) = format::inspect(source, &mut file)?;
    let mut whole = blake3::Hasher::new();
    let mut chunks = Vec::new();
    let mut size = 0;
    loop {
        let chunk = next_chunk(&mut file).map_err(|error| unreadable(&source.path, &error))?;
        if chunk.is_empty() {
            break;
        }
        if chunks.len() == CHUNKS_MAX {
            let most = ByteCount(CHUNKS_MAX as u64 * CHUNK_BYTES);
            return Err(Failure::new(format!("{} is above {most}", source.path.display())));
        }
        whole.update(&chunk);
        let len = u32::try_from(chunk.len()).expect("a chunk is at most 1 MiB");
        chunks.push(Chunk { digest: Digest::of(&chunk), len });
        size += chunk.len() as u64;
        advance(ByteCount(chunk.len() as u64));
    }
    if chunks.is_empty() {
        return Err(Failure::new(format!("{} is empty", source.path.display())));
    }
    let size = ByteCount(size);
    let virtual_size = match role {
        FileRole::RawDisk => size,
        FileRole::Qcow2Disk | FileRole::Kernel | FileRole::Initrd => virtual_size,
    };
    let digest = Digest(*whole.finalize().as_bytes());
    Ok(ManifestFile { file: ImageFile { role, digest, size, virtual_size }, chunks })
}

/// The next [`CHUNK_BYTES`], or what is left.
fn next_chunk(reader: &mut impl Read) -> std::io::Result<Vec<u8>> {
    let mut chunk = Vec::with_capacity(usize::try_from(CHUNK_BYTES).expect("1 MiB fits"));
    reader.take(CHUNK_BYTES).read_to_end(&mut chunk)?;
    Ok(chunk)
}

fn open(path: &Path) -> Result<File, Failure> {
    let file = File::open(path).map_err(|error| unreadable(path, &error))?;
    let kind = file.metadata().map_err(|error| unreadable(path, &error))?.file_type();
    if !kind.is_file() {
        return Err(Failure::new(format!("{} is not a regular file", path.display()))
            .hint("copy its content to a file first: it is read more than once"));
    }
    Ok(file)
}

fn unreadable(path: &Path, error: &std::io::Error) -> Failure {
    Failure::new(format!("cannot read {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    pub(super) fn sealed(content: &[u8]) -> (tempfile::TempDir, Sealed) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("disk");
        fs::write(&path, content).unwrap();
        let source = Source { path, part: Part::Disk };
        let sealed = seal(vec![source], String::new(), |_, _| {}).unwrap();
        (dir, sealed)
    }

    #[test]
    fn files_of_odd_sizes_are_cut_so_that_the_chunks_add_up() {
        let chunk = usize::try_from(CHUNK_BYTES).unwrap();
        for size in [1, 511, chunk - 1, chunk, chunk + 1, 3 * chunk, 3 * chunk + 12_345] {
            let content: Vec<u8> = (0..size).map(|at| (at * 7 % 251) as u8).collect();
            let (_dir, sealed) = sealed(&content);
            let file = &sealed.manifest.files[0];
            assert_eq!(file.file.role, FileRole::RawDisk);
            assert_eq!(file.file.size, ByteCount(size as u64));
            assert_eq!(file.file.virtual_size, ByteCount(size as u64));
            assert_eq!(file.file.digest, Digest::of(&content));
            assert_eq!(file.chunks.len(), size.div_ceil(chunk));
            for (part, chunk) in content.chunks(chunk).zip(&file.chunks) {
                assert_eq!((chunk.digest, chunk.len as usize), (Digest::of(part), part.len()));
            }
            assert_eq!(Manifest::open(&sealed.encoded).unwrap(), sealed.manifest);
            assert_eq!(sealed.id.0, Digest::of(&sealed.encoded));
        }
    }

    #[test]
    fn the_same_files_have_the_same_name_wherever_they_are() {
        assert_eq!(sealed(b"content").1.id, sealed(b"content").1.id);
        assert_ne!(sealed(b"content").1.id, sealed(b"contenu").1.id);
    }

    #[test]
    fn a_kernel_with_an_initrd_and_a_command_line_is_an_image() {
        let dir = tempfile::tempdir().unwrap();
        let source = |name: &str, part| {
            let path = dir.path().join(name);
            fs::write(&path, name).unwrap();
            Source { path, part }
        };
        let sources = vec![source("vmlinuz", Part::Kernel), source("initrd", Part::Initrd)];
        let mut read = 0;
        let sealed = seal(sources, "console=ttyS0".to_owned(), |_, bytes| read += bytes.0).unwrap();
        let roles: Vec<FileRole> =
            sealed.manifest.files.iter().map(|file| file.file.role).collect();
        assert_eq!(roles, [FileRole::Kernel, FileRole::Initrd]);
        assert_eq!((read, sealed.size()), (13, ByteCount(13)));
        assert!(sealed.manifest.files.iter().all(|file| file.file.virtual_size == ByteCount::ZERO));
    }

    #[test]
    fn what_is_no_image_is_refused_with_its_name() {
        let dir = tempfile::tempdir().unwrap();
        let empty = dir.path().join("empty");
        fs::write(&empty, b"").unwrap();
        for (path, cause) in [
            (empty, "empty is empty"),
            (dir.path().to_owned(), "is not a regular file"),
            (dir.path().join("none"), "cannot read"),
        ] {
            let source = Source { path, part: Part::Kernel };
            let failure = seal(vec![source], String::new(), |_, _| {}).unwrap_err();
            assert!(failure.to_string().contains(cause), "{failure}");
        }
        let source = dir.path().join("kernel");
        fs::write(&source, b"x").unwrap();
        let source = Source { path: source, part: Part::Initrd };
        let failure = seal(vec![source], String::new(), |_, _| {}).unwrap_err();
        assert!(failure.to_string().contains("an image needs"), "{failure}");
    }
}
