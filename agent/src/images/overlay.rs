//! A VM's own disk: a qcow2 overlay on the file of its image, made by `qemu-img`.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use novacron_protocol::ByteCount;
use novacron_protocol::image::{FileRole, ImageFile};

use super::ImageError;
use crate::files;

/// Making an overlay writes 200 KiB; a disk that needs this long for it is not usable.
const TIMEOUT: Duration = Duration::from_secs(60);
/// How often a child is looked at. `qemu-img create` takes 10 to 20 ms.
const POLL: Duration = Duration::from_millis(2);

/// Makes the overlay at `path` on the image file at `base`, unless there is one: what a guest
/// wrote is never replaced. `size` is what the guest sees; `None` is the size of the base.
pub fn ensure(
    path: &Path,
    image: &ImageFile,
    base: &Path,
    size: Option<ByteCount>,
) -> Result<(), ImageError> {
    if path.try_exists().map_err(|error| disk(&error))? {
        return Ok(());
    }
    if let Some(size) = size.filter(|size| *size < image.virtual_size) {
        let text = format!("a disk of {size} is smaller than the image's, {}", image.virtual_size);
        return Err(ImageError::Refused(text));
    }
    let draft = path.with_extension("draft");
    let format = if image.role == FileRole::RawDisk { "raw" } else { "qcow2" };
    let mut command = Command::new("qemu-img");
    command.args(["create", "-q", "-f", "qcow2", "-F", format, "-b"]).arg(base).arg(&draft);
    if let Some(size) = size {
        command.arg(size.0.to_string());
    }
    run(command)?;
    File::open(&draft).and_then(|file| file.sync_all()).map_err(|error| disk(&error))?;
    files::publish(&draft, path, files::Sync::Yes).map_err(|error| disk(&error))
}

/// Refuses a qcow2 that names another file: QEMU would open that file of the host for the guest.
pub fn check_base(path: &Path) -> Result<(), ImageError> {
    let mut header = Vec::new();
    File::open(path)
        .and_then(|file| file.take(HEADER_BYTES).read_to_end(&mut header))
        .map_err(|error| disk(&error))?;
    refusal_of(&header).map_or(Ok(()), |text| Err(ImageError::Refused(text.to_owned())))
}

/// As docs/interop/qcow2.txt of QEMU has it; numbers are big-endian.
const HEADER_BYTES: u64 = 104;
const BACKING_FILE_OFFSET: usize = 8;
const INCOMPATIBLE_FEATURES: usize = 72;
const EXTERNAL_DATA_FILE: u64 = 1 << 2;

fn refusal_of(header: &[u8]) -> Option<&'static str> {
    let number = |at: usize| {
        let bytes = header.get(at..at + 8).and_then(|bytes| bytes.try_into().ok());
        bytes.map(u64::from_be_bytes)
    };
    let version = header.strip_prefix(b"QFI\xfb").and_then(|rest| rest.first_chunk::<4>());
    let Some(version) = version.map(|bytes| u32::from_be_bytes(*bytes)) else {
        return Some("the image's disk is not qcow2");
    };
    let external = number(INCOMPATIBLE_FEATURES).map(|bits| bits & EXTERNAL_DATA_FILE);
    match (version, number(BACKING_FILE_OFFSET), external) {
        (2 | 3, Some(1..), _) => Some("the image's disk has a backing file"),
        (3, _, Some(1..)) => Some("the image's disk has an external data file"),
        (2, Some(0), _) | (3, Some(0), Some(0)) => None,
        _ => Some("the image's disk is of an unknown qcow2 version, or cut short"),
    }
}

fn run(mut command: Command) -> Result<(), ImageError> {
    let child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| ImageError::Refused(format!("cannot run qemu-img: {error}")))?;
    let (status, text) = wait(child).map_err(|error| disk(&error))?;
    match status {
        Some(true) => Ok(()),
        Some(false) => Err(ImageError::Refused(format!("qemu-img: {}", text.trim()))),
        None => Err(ImageError::Unavailable(format!("qemu-img took longer than {TIMEOUT:?}"))),
    }
}

/// Whether the child succeeded, and what it complained of; `None` when it had to be killed.
fn wait(mut child: Child) -> io::Result<(Option<bool>, String)> {
    let deadline = Instant::now() + TIMEOUT;
    let status = loop {
        match child.try_wait()? {
            Some(status) => break Some(status.success()),
            None if Instant::now() > deadline => break None,
            None => std::thread::sleep(POLL),
        }
    };
    if status.is_none() {
        child.kill()?;
        child.wait()?;
    }
    let mut text = String::new();
    if let Some(stderr) = child.stderr.take() {
        // A full pipe would have stopped it; 4 KiB of complaint are enough.
        let _ = stderr.take(4096).read_to_string(&mut text);
    }
    Ok((status, text))
}

fn disk(error: &io::Error) -> ImageError {
    ImageError::Refused(format!("cannot make the disk: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use novacron_protocol::Digest;
    use std::fs;

    fn header(version: u32, backing: u64, features: u64) -> Vec<u8> {
        let mut header = b"QFI\xfb".to_vec();
        header.extend(version.to_be_bytes());
        header.extend(backing.to_be_bytes());
        header.resize(INCOMPATIBLE_FEATURES, 0);
        header.extend(features.to_be_bytes());
        header
    }

    #[test]
    fn a_qcow2_that_names_a_file_of_the_host_is_refused() {
        assert_eq!(refusal_of(&header(3, 0, 0)), None);
        assert_eq!(refusal_of(&header(2, 0, 0)), None);
        assert_eq!(refusal_of(&header(3, 0, 1)), None, "dirty is no harm");
        assert!(refusal_of(&header(3, 512, 0)).unwrap().contains("backing"));
        assert!(refusal_of(&header(2, 512, 0)).unwrap().contains("backing"));
        assert!(refusal_of(&header(3, 0, 4)).unwrap().contains("external"));
        assert!(refusal_of(&header(4, 0, 0)).is_some());
        for cut in 0..80 {
            assert!(refusal_of(&header(3, 0, 0)[..cut]).is_some(), "{cut}");
        }
    }

    #[test]
    fn an_overlay_is_made_once_and_never_replaced() {
        if Command::new("qemu-img").arg("--version").output().is_err() {
            eprintln!("qemu-img is not installed: nothing to prove");
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let (base, disk) = (dir.path().join("base"), dir.path().join("disk.qcow2"));
        fs::write(&base, vec![7; 1 << 20]).unwrap();
        let image = ImageFile {
            role: FileRole::RawDisk,
            digest: Digest::of(b""),
            size: ByteCount::mib(1),
            virtual_size: ByteCount::mib(1),
        };
        let small = ensure(&disk, &image, &base, Some(ByteCount(512)));
        assert!(matches!(small, Err(ImageError::Refused(_))));
        ensure(&disk, &image, &base, Some(ByteCount::mib(8))).unwrap();
        let made = fs::read(&disk).unwrap();
        assert_eq!(u64::from_be_bytes(made[24..32].try_into().unwrap()), 8 << 20, "virtual size");
        assert!(refusal_of(&made).unwrap().contains("backing"));
        fs::write(&disk, b"what the guest wrote").unwrap();
        ensure(&disk, &image, &base, None).unwrap();
        assert_eq!(fs::read(&disk).unwrap(), b"what the guest wrote");
    }
}
