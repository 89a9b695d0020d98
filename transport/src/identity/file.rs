//! Private files: PEM sections that only their owner may read, replaced as a whole or not at all.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use pem::Pem;

/// Longest private file that is read; ours are under 4 KiB.
const FILE_BYTES_MAX: u64 = 64 << 10;

/// Replaces `path` by `sections`, mode 0600, so that a crash leaves the old file or the new one.
pub(crate) fn write(path: &Path, sections: &[Pem]) -> io::Result<()> {
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let draft = path.with_extension(format!("{:016x}.new", rand::random::<u64>()));
    let written = write_new(&draft, pem::encode_many(sections).as_bytes())
        .and_then(|()| fs::rename(&draft, path))
        .and_then(|()| File::open(dir)?.sync_all());
    if written.is_err() {
        // The first error is the one worth telling; a leftover draft harms nobody.
        let _ = fs::remove_file(&draft);
    }
    written
}

/// The sections of `path`.
pub(crate) fn read(path: &Path) -> io::Result<Vec<Pem>> {
    let mut text = String::new();
    File::open(path)?.take(FILE_BYTES_MAX).read_to_string(&mut text)?;
    pem::parse_many(text).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

/// The contents of the `nth` section with this label.
pub(crate) fn section<'a>(sections: &'a [Pem], label: &str, nth: usize) -> Option<&'a [u8]> {
    sections.iter().filter(|pem| pem.tag() == label).nth(nth).map(Pem::contents)
}

fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}
