//! The little that the log asks of a file system, so that tests can put another below it.
//!
//! One flat directory. Nothing is durable before it is synced: a file's bytes by [`DiskFile::sync`],
//! names by [`Disk::sync_names`].

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, OFlags, flock};

/// How long another user of the directory may take to let go of it, and the pause between two looks.
const LOCK_PATIENCE: Duration = Duration::from_secs(1);
const LOCK_RETRY: Duration = Duration::from_millis(5);
/// Alignment of direct writes in memory: the page, which suits every disk.
const ALIGNMENT: usize = 4096;

/// A directory of files.
pub(super) trait Disk: Send + Sync + fmt::Debug {
    /// Makes an empty file; one of that name is replaced.
    fn create(&self, name: &str) -> io::Result<Box<dyn DiskFile>>;
    /// Opens a file to write into it in place.
    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>>;
    fn read(&self, name: &str) -> io::Result<Vec<u8>>;
    fn names(&self) -> io::Result<Vec<String>>;
    /// A file that has the name `to` already gives it up.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    fn remove(&self, name: &str) -> io::Result<()>;
    /// Makes durable which names there are.
    fn sync_names(&self) -> io::Result<()>;
}

/// A file that is being written.
pub(super) trait DiskFile: Send + fmt::Debug {
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()>;
    /// Has on the disk what was written, the file's length included.
    fn sync(&mut self) -> io::Result<()>;
}

/// Makes `name` a file with `content` in one durable step.
pub(super) fn replace(disk: &dyn Disk, name: &str, content: &[u8]) -> io::Result<()> {
    let draft = format!("{name}.new");
    let mut file = disk.create(&draft)?;
    file.write_at(0, content)?;
    file.sync()?;
    disk.rename(&draft, name)?;
    disk.sync_names()
}

/// A real directory, used by one process at a time.
#[derive(Debug)]
pub(super) struct Directory {
    path: PathBuf,
    /// Locked for as long as this lives.
    _lock: File,
}

impl Directory {
    /// Makes the directory where there is none, and waits a moment for who used it before.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(path)?;
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(path.join("lock"))?;
        let deadline = Instant::now() + LOCK_PATIENCE;
        while let Err(error) = flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            if Instant::now() >= deadline {
                return Err(io::Error::other(format!("another process uses it: {error}")));
            }
            std::thread::sleep(LOCK_RETRY);
        }
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        File::open(parent.unwrap_or(Path::new(".")))?.sync_all()?;
        Ok(Self { path: path.to_owned(), _lock: lock })
    }

    fn file(&self, name: &str, options: &mut OpenOptions) -> io::Result<Box<dyn DiskFile>> {
        let path = self.path.join(name);
        let file = options.write(true).mode(0o600).open(&path)?;
        Ok(Box::new(RealFile { file, direct: Direct::Untried, path }))
    }
}

impl Disk for Directory {
    fn create(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        match fs::remove_file(self.path.join(name)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        self.file(name, OpenOptions::new().create_new(true))
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        self.file(name, &mut OpenOptions::new())
    }

    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        File::open(self.path.join(name))?.read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn names(&self) -> io::Result<Vec<String>> {
        let name = |item: io::Result<fs::DirEntry>| {
            item.map(|item| item.file_name().to_string_lossy().into_owned())
        };
        fs::read_dir(&self.path)?.map(name).collect()
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.path.join(from), self.path.join(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.path.join(name))
    }

    fn sync_names(&self) -> io::Result<()> {
        File::open(&self.path)?.sync_all()
    }
}

/// Writes around the page cache where the file system and the disk allow it: a small write then is
/// one of a sector, not of a page, and the sync that follows has only the disk's cache to flush.
#[derive(Debug)]
struct RealFile {
    file: File,
    direct: Direct,
    path: PathBuf,
}

#[derive(Debug)]
enum Direct {
    Untried,
    Works(Aligned),
    Refused,
}

impl RealFile {
    /// Opens the file once more, for direct writes of what is already allocated.
    fn try_direct(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let flags = OFlags::DIRECT.bits().cast_signed();
        let file = OpenOptions::new().write(true).custom_flags(flags).open(&self.path)?;
        let mut aligned = Aligned::default();
        file.write_all_at(aligned.copy(bytes), offset)?;
        self.file = file;
        self.direct = Direct::Works(aligned);
        Ok(())
    }

    fn suits_direct(offset: u64, bytes: &[u8]) -> bool {
        let sector = super::segments::SECTOR_BYTES;
        offset.is_multiple_of(sector as u64) && bytes.len().is_multiple_of(sector)
    }
}

impl DiskFile for RealFile {
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        if !Self::suits_direct(offset, bytes) {
            return self.file.write_all_at(bytes, offset);
        }
        match &mut self.direct {
            Direct::Works(aligned) => self.file.write_all_at(aligned.copy(bytes), offset),
            Direct::Refused => self.file.write_all_at(bytes, offset),
            Direct::Untried => {
                // What was written through the cache so far must not come after it.
                self.file.sync_data()?;
                match self.try_direct(offset, bytes) {
                    // How a file system, or a disk of larger sectors, says that it cannot.
                    Err(error) if error.kind() == io::ErrorKind::InvalidInput => {
                        self.direct = Direct::Refused;
                        self.file.write_all_at(bytes, offset)
                    }
                    tried => tried,
                }
            }
        }
    }

    fn sync(&mut self) -> io::Result<()> {
        self.file.sync_data()
    }
}

/// A buffer that begins where a disk can read from.
#[derive(Debug, Default)]
struct Aligned {
    buffer: Vec<u8>,
}

impl Aligned {
    fn copy(&mut self, bytes: &[u8]) -> &[u8] {
        let needed = bytes.len() + ALIGNMENT;
        if self.buffer.len() < needed {
            self.buffer = vec![0; needed];
        }
        let start = self.buffer.as_ptr().align_offset(ALIGNMENT);
        let place = &mut self.buffer[start..start + bytes.len()];
        place.copy_from_slice(bytes);
        place
    }
}
