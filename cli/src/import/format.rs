//! What kind of file this is, from its first bytes.
//!
//! A disk that refers to another file is refused: that file is on this machine, and on a host the
//! same path would be somebody else's.

use std::fs::File;
use std::io::{Read, Seek as _};

use novacron_protocol::ByteCount;
use novacron_protocol::image::FileRole;

use super::{Part, Source, unreadable};
use crate::failure::Failure;

const QCOW2_MAGIC: &[u8] = b"QFI\xfb";
/// Length of the header of qcow2 version 3 up to its incompatible features; of version 2, 72.
const HEADER_LEN: usize = 80;
/// Incompatible feature bit of qcow2: the data is in another file (QEMU docs/interop/qcow2.txt).
const EXTERNAL_DATA: u64 = 1 << 2;

/// What is wrong with a disk, and what to do about it.
type WhyNot = (&'static str, &'static str);

/// Formats that would be taken for a raw disk, and then not boot.
const FOREIGN: [(&[u8], &str, &str); 8] = [
    (b"KDMV", "a VMDK disk", CONVERT),
    (b"# Disk DescriptorFile", "a VMDK descriptor", CONVERT),
    (b"vhdxfile", "a VHDX disk", CONVERT),
    (b"<<< ", "a VDI disk", CONVERT),
    (b"QED\0", "a QED disk", CONVERT),
    (b"\x1f\x8b\x08", "compressed with gzip", UNPACK),
    (b"\xfd7zXZ\0", "compressed with xz", UNPACK),
    (b"\x28\xb5\x2f\xfd", "compressed with zstd", UNPACK),
];
const CONVERT: &str = "convert it with `qemu-img convert -O qcow2 FROM TO`";
const UNPACK: &str = "unpack it first; the upload is compressed anyway";

/// The role of a file, and its virtual size where the header has one. Leaves the file at its
/// beginning.
pub(super) fn inspect(source: &Source, file: &mut File) -> Result<(FileRole, ByteCount), Failure> {
    match source.part {
        Part::Kernel => return Ok((FileRole::Kernel, ByteCount::ZERO)),
        Part::Initrd => return Ok((FileRole::Initrd, ByteCount::ZERO)),
        Part::Disk => {}
    }
    let path = source.path.display();
    let mut head = Vec::with_capacity(HEADER_LEN);
    let mut read = || {
        file.take(HEADER_LEN as u64).read_to_end(&mut head)?;
        file.rewind()
    };
    read().map_err(|error| unreadable(&source.path, &error))?;
    if let Some((_, what, hint)) = FOREIGN.iter().find(|(magic, ..)| head.starts_with(magic)) {
        return Err(Failure::new(format!("{path} is {what}, not a raw or qcow2 disk")).hint(*hint));
    }
    if !head.starts_with(QCOW2_MAGIC) {
        return Ok((FileRole::RawDisk, ByteCount::ZERO));
    }
    let size = qcow2_virtual_size(&head)
        .map_err(|(why, hint)| Failure::new(format!("{path} {why}")).hint(hint))?;
    Ok((FileRole::Qcow2Disk, size))
}

/// The size of the disk as a guest sees it, or why the file is no disk of its own.
fn qcow2_virtual_size(head: &[u8]) -> Result<ByteCount, WhyNot> {
    const BROKEN: &str = "check it with `qemu-img check`";
    let short = ("ends within its qcow2 header", BROKEN);
    let word = |at: usize| -> Result<u32, WhyNot> {
        let bytes = head.get(at..at + 4).and_then(|bytes| bytes.try_into().ok());
        bytes.map(u32::from_be_bytes).ok_or(short)
    };
    let long = |at: usize| -> Result<u64, WhyNot> {
        Ok((u64::from(word(at)?) << 32) | u64::from(word(at + 4)?))
    };
    let version = word(4)?;
    if !(2..=3).contains(&version) {
        return Err(("is a qcow disk of a version other than 2 and 3", CONVERT));
    }
    if long(8)? != 0 || word(16)? != 0 {
        return Err(("has a backing file, which the hosts do not have", CONVERT));
    }
    if word(32)? != 0 {
        return Err(("is encrypted", CONVERT));
    }
    if version == 3 && long(72)? & EXTERNAL_DATA != 0 {
        return Err(("keeps its data in another file, which the hosts do not have", CONVERT));
    }
    match long(24)? {
        0 => Err(("has a qcow2 header with a size of 0", BROKEN)),
        size => Ok(ByteCount(size)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn header(version: u32) -> Vec<u8> {
        let mut head = vec![0; 104];
        head[..4].copy_from_slice(QCOW2_MAGIC);
        head[4..8].copy_from_slice(&version.to_be_bytes());
        head[24..32].copy_from_slice(&(10_u64 << 30).to_be_bytes());
        head
    }

    fn with(version: u32, at: usize, byte: u8) -> Vec<u8> {
        let mut head = header(version);
        head[at] = byte;
        head
    }

    fn inspected(head: &[u8]) -> Result<(FileRole, ByteCount), Failure> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("disk.img");
        fs::write(&path, head).unwrap();
        let mut file = File::open(&path).unwrap();
        let inspected = inspect(&Source { path, part: Part::Disk }, &mut file);
        assert!(inspected.is_err() || file.stream_position().unwrap() == 0, "not rewound");
        inspected
    }

    #[test]
    fn the_virtual_size_of_a_qcow2_disk_is_in_its_header() {
        for version in [2, 3] {
            let expected = (FileRole::Qcow2Disk, ByteCount::gib(10));
            assert_eq!(inspected(&header(version)), Ok(expected));
        }
        assert_eq!(inspected(&header(2)[..72]), Ok((FileRole::Qcow2Disk, ByteCount::gib(10))));
    }

    #[test]
    fn a_disk_that_is_not_whole_in_itself_is_refused() {
        for (head, cause) in [
            (with(3, 15, 1), "has a backing file"),
            (with(3, 19, 1), "has a backing file"),
            (with(2, 35, 1), "is encrypted"),
            (with(3, 79, 4), "keeps its data in another file"),
            (with(3, 7, 4), "a version other than"),
            (with(3, 7, 1), "a version other than"),
            (header(3)[..79].to_vec(), "ends within its qcow2 header"),
            (header(2)[..20].to_vec(), "ends within its qcow2 header"),
            (QCOW2_MAGIC.to_vec(), "ends within its qcow2 header"),
        ] {
            let failure = inspected(&head).unwrap_err().to_string();
            assert!(failure.contains(cause), "{failure}");
        }
        let mut empty = header(3);
        empty[24..32].fill(0);
        assert!(inspected(&empty).unwrap_err().to_string().contains("a size of 0"));
    }

    #[test]
    fn disks_of_other_formats_are_not_taken_for_raw_ones() {
        for (magic, what, _) in FOREIGN {
            let failure = inspected(&[magic, &[0; 100]].concat()).unwrap_err();
            assert!(failure.to_string().contains(what), "{failure}");
        }
        assert_eq!(inspected(b"\xeb\x3c\x90"), Ok((FileRole::RawDisk, ByteCount::ZERO)));
    }
}
