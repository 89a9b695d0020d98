//! Whether the blobs of an image are what its manifest says, down to its disk's header.

use novacron_protocol::Digest;
use novacron_protocol::image::{FileRole, Manifest, ManifestFile};

use super::{BlobError, Inner};

/// Reads everything once, a chunk at a time.
pub(super) fn image(inner: &Inner, manifest: &Manifest) -> Result<(), BlobError> {
    manifest.files.iter().try_for_each(|file| check_file(inner, file))
}

fn check_file(inner: &Inner, file: &ManifestFile) -> Result<(), BlobError> {
    let mut hasher = blake3::Hasher::new();
    for (at, chunk) in file.chunks.iter().enumerate() {
        let content = inner.content(&chunk.digest)?;
        if content.len() as u64 != u64::from(chunk.len) {
            let message =
                format!("chunk {} has {} bytes, not {}", chunk.digest, content.len(), chunk.len);
            return Err(BlobError::Invalid(message));
        }
        if at == 0 {
            check_head(file, &content)?;
        }
        hasher.update(&content);
    }
    let found = Digest(*hasher.finalize().as_bytes());
    if found != file.file.digest {
        let message =
            format!("the {:?} has the digest {found}, not {}", file.file.role, file.file.digest);
        return Err(BlobError::Invalid(message));
    }
    Ok(())
}

/// Checks what placement and the agents rely on of a file's beginning.
fn check_head(file: &ManifestFile, head: &[u8]) -> Result<(), BlobError> {
    let file = &file.file;
    let expected = match file.role {
        FileRole::RawDisk => file.size.0,
        FileRole::Qcow2Disk => qcow2_virtual_size(head).map_err(BlobError::Invalid)?,
        FileRole::Kernel | FileRole::Initrd => 0,
    };
    if file.virtual_size.0 == expected {
        return Ok(());
    }
    let message = format!(
        "the {:?} has a virtual size of {expected}, not {}",
        file.role, file.virtual_size.0
    );
    Err(BlobError::Invalid(message))
}

/// The size a guest sees of a qcow2 disk (docs/interop/qcow2.txt of QEMU). A disk that refers to
/// another file is refused: QEMU would open that file on the host, whatever it is.
fn qcow2_virtual_size(head: &[u8]) -> Result<u64, String> {
    const MAGIC: u32 = 0x5146_49fb;
    const EXTERNAL_DATA_FILE: u64 = 1 << 2;
    let word = |at: usize| -> Option<u32> {
        head.get(at..at + 4)?.first_chunk().map(|bytes| u32::from_be_bytes(*bytes))
    };
    let long = |at: usize| -> Option<u64> {
        head.get(at..at + 8)?.first_chunk().map(|bytes| u64::from_be_bytes(*bytes))
    };
    let cut = || "the qcow2 header is cut short".to_owned();
    if word(0) != Some(MAGIC) {
        return Err("the disk is not qcow2".to_owned());
    }
    let version = word(4).ok_or_else(cut)?;
    if !(2..=3).contains(&version) {
        return Err(format!("qcow2 version {version} is not known"));
    }
    if long(8).ok_or_else(cut)? != 0 {
        return Err("the qcow2 disk has a backing file; flatten it first".to_owned());
    }
    if version == 3 && long(72).ok_or_else(cut)? & EXTERNAL_DATA_FILE != 0 {
        return Err("the qcow2 disk has an external data file; convert it first".to_owned());
    }
    long(24).ok_or_else(cut)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn header(version: u32, backing: u64, size: u64, incompatible: u64) -> Vec<u8> {
        let mut head = vec![0; 104];
        head[0..4].copy_from_slice(b"QFI\xfb");
        head[4..8].copy_from_slice(&version.to_be_bytes());
        head[8..16].copy_from_slice(&backing.to_be_bytes());
        head[24..32].copy_from_slice(&size.to_be_bytes());
        head[72..80].copy_from_slice(&incompatible.to_be_bytes());
        head
    }

    #[test]
    fn a_disk_that_opens_other_files_is_refused() {
        assert_eq!(qcow2_virtual_size(&header(3, 0, 7 << 30, 0)), Ok(7 << 30));
        assert_eq!(qcow2_virtual_size(&header(2, 0, 7 << 30, 4)), Ok(7 << 30));
        assert!(qcow2_virtual_size(&header(3, 512, 7, 0)).unwrap_err().contains("backing"));
        assert!(qcow2_virtual_size(&header(3, 0, 7, 4)).unwrap_err().contains("external"));
        assert!(qcow2_virtual_size(&header(9, 0, 7, 0)).is_err());
    }

    proptest! {
        #[test]
        fn hostile_headers_never_panic(mut head: Vec<u8>) {
            let _ = qcow2_virtual_size(&head);
            head.splice(0..0, *b"QFI\xfb\0\0\0\x03");
            let _ = qcow2_virtual_size(&head);
        }
    }
}
