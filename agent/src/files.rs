//! Files that are whole or not there.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::Path;

/// Whether a file must survive the loss of power.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sync {
    Yes,
    No,
}

/// Replaces `path` by a file with `content`, in one step.
pub fn replace(path: &Path, content: &[u8], sync: Sync) -> io::Result<()> {
    let draft = path.with_extension("draft");
    let mut file = File::create(&draft)?;
    file.write_all(content)?;
    if sync == Sync::Yes {
        file.sync_all()?;
    }
    drop(file);
    publish(&draft, path, sync)
}

/// Gives the finished file `draft` its name.
pub fn publish(draft: &Path, path: &Path, sync: Sync) -> io::Result<()> {
    fs::rename(draft, path)?;
    match (sync, path.parent()) {
        (Sync::Yes, Some(dir)) => File::open(dir)?.sync_all(),
        _ => Ok(()),
    }
}

/// Removes what is there; what is not is no error.
pub fn remove_all(dir: &Path) -> io::Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
