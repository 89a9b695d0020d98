//! Images: a few files, cut into chunks, each named by the digest of its content.
//!
//! A blob (chunk or manifest) is stored and sent as zstd frames but named by the digest of what
//! they expand to, so recompressing never renames it.

use bincode::{Decode, Encode};
use serde::{Deserialize, Serialize};

use crate::codec::{self, CodecError};
use crate::limits::{BLOB_BYTES_MAX, CHUNK_BYTES, CHUNKS_MAX, IMAGE_FILES_MAX, TEXT_LEN_MAX};
use crate::{ByteCount, Digest, ImageId};

/// What a file of an image is for.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Encode, Decode, Serialize, Deserialize,
)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum FileRole {
    /// A bootable raw disk; VMs get a qcow2 overlay on it.
    RawDisk,
    /// A bootable qcow2 disk; VMs get a qcow2 overlay on it.
    Qcow2Disk,
    /// A Linux kernel for direct boot.
    Kernel,
    /// The initrd that goes with the kernel.
    Initrd,
}

/// One file of an image: the content the agent must have before the VM starts.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ImageFile {
    pub role: FileRole,
    /// Digest of the whole file.
    pub digest: Digest,
    pub size: ByteCount,
    /// Virtual size of a disk: equal to `size` for raw, from the header for qcow2, 0 otherwise.
    pub virtual_size: ByteCount,
}

/// What an agent needs to know of an image to boot from it.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ImageBoot {
    pub image: ImageId,
    pub files: Vec<ImageFile>,
    /// Kernel command line of a direct boot; empty without a kernel.
    pub cmdline: String,
}

/// Digest and length of one chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct Chunk {
    pub digest: Digest,
    pub len: u32,
}

/// A file with the chunks that it is the concatenation of.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct ManifestFile {
    pub file: ImageFile,
    pub chunks: Vec<Chunk>,
}

/// The whole content of an image. Its encoding is a blob, and that blob's digest is the image's id.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Manifest {
    pub files: Vec<ManifestFile>,
    pub cmdline: String,
}

/// A manifest that contradicts itself.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ManifestError {
    #[error(transparent)]
    Codec(#[from] CodecError),
    #[error("an image has 1 to {IMAGE_FILES_MAX} files, not {0}")]
    FileCount(usize),
    #[error("an image needs exactly one disk, or a kernel with an optional initrd and disk")]
    Roles,
    #[error("the chunks of {role:?} do not add up to its {size}")]
    Chunks { role: FileRole, size: ByteCount },
    #[error("a kernel command line is at most {TEXT_LEN_MAX} printable characters")]
    Cmdline,
}

impl Manifest {
    /// Encodes a manifest and names it. The name is a function of the content alone.
    pub fn seal(&self) -> Result<(ImageId, Vec<u8>), ManifestError> {
        self.validate()?;
        let bytes = codec::encode(self)?;
        Ok((ImageId(Digest::of(&bytes)), bytes))
    }

    /// Decodes and checks a manifest from outside.
    pub fn open(bytes: &[u8]) -> Result<Self, ManifestError> {
        let manifest: Self = codec::decode(bytes, BLOB_BYTES_MAX)?;
        manifest.validate()?;
        Ok(manifest)
    }

    pub fn boot(&self, image: ImageId) -> ImageBoot {
        let files = self.files.iter().map(|file| file.file.clone()).collect();
        ImageBoot { image, files, cmdline: self.cmdline.clone() }
    }

    /// All chunks, in file order; the same digest may come more than once.
    pub fn chunks(&self) -> impl Iterator<Item = &Chunk> {
        self.files.iter().flat_map(|file| &file.chunks)
    }

    fn validate(&self) -> Result<(), ManifestError> {
        if !(1..=IMAGE_FILES_MAX).contains(&self.files.len()) {
            return Err(ManifestError::FileCount(self.files.len()));
        }
        let count = |wanted: &[FileRole]| {
            self.files.iter().filter(|file| wanted.contains(&file.file.role)).count()
        };
        let disks = count(&[FileRole::RawDisk, FileRole::Qcow2Disk]);
        let (kernels, initrds) = (count(&[FileRole::Kernel]), count(&[FileRole::Initrd]));
        if disks > 1 || kernels > 1 || initrds > kernels || disks + kernels == 0 {
            return Err(ManifestError::Roles);
        }
        let text = |c: char| !c.is_control();
        if self.cmdline.len() > TEXT_LEN_MAX || !self.cmdline.chars().all(text) {
            return Err(ManifestError::Cmdline);
        }
        self.files.iter().try_for_each(ManifestFile::validate)
    }
}

impl ManifestFile {
    fn validate(&self) -> Result<(), ManifestError> {
        let refuse = || ManifestError::Chunks { role: self.file.role, size: self.file.size };
        let whole = self.file.size.0 / CHUNK_BYTES;
        let rest = self.file.size.0 % CHUNK_BYTES;
        let expected = whole + u64::from(rest > 0);
        if self.chunks.len() as u64 != expected || self.chunks.len() > CHUNKS_MAX || expected == 0 {
            return Err(refuse());
        }
        let expected_len = |at: usize| if (at as u64) < whole { CHUNK_BYTES } else { rest };
        let even = |(at, chunk): (usize, &Chunk)| u64::from(chunk.len) == expected_len(at);
        if self.chunks.iter().enumerate().all(even) { Ok(()) } else { Err(refuse()) }
    }
}

impl ImageBoot {
    pub fn file(&self, role: FileRole) -> Option<&ImageFile> {
        self.files.iter().find(|file| file.role == role)
    }

    pub fn disk(&self) -> Option<&ImageFile> {
        self.file(FileRole::RawDisk).or_else(|| self.file(FileRole::Qcow2Disk))
    }

    pub fn size(&self) -> ByteCount {
        self.files.iter().map(|file| file.size).sum()
    }
}
