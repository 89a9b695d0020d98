//! The log in sled: one tree with records named `e<index>` for entries, `h` for the hard state, `m`
//! for where the snapshot stands and `s` for its body. Records are sealed, so sled's own promises
//! are checked on every load.
//!
//! One batch and one sync per call. sled 0.34 is no longer developed and has open reports of damage
//! after kills; that is why nothing is trusted that does not verify, and why two things are done
//! that it leaves out:
//! - its flush is `sync_file_range`, which reaches neither the file's length nor the disk's cache:
//!   `fdatasync` follows;
//! - a page of more than about 128 KiB goes to a file of its own that is never synced: records lie
//!   in pieces so small that no page gets there.

use std::fs::{self, File};
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use novacron_protocol::LogIndex;
use novacron_protocol::record::{self, RecordError};
use novacron_protocol::wire::raft::{Entry, SnapshotMeta};

use super::mark::{Mark, MarkError};
use super::store::{HardState, Loaded, LogStore, StoreError, StoredSnapshot};
use crate::files;

/// Newest format of the records in the log this build writes and reads.
const FORMAT: u16 = 1;
/// Cache of sled: the log is written and, in life, hardly read.
const CACHE_BYTES: u64 = 4 << 20;
/// Longest piece of a record. A page of sled holds 16 keys, up to 20 between two splits.
const PIECE_BYTES: usize = 4 << 10;

/// How long another user of the log may take to let go of it, and the pause between two looks.
const LOCK_PATIENCE: Duration = Duration::from_secs(1);
const LOCK_RETRY: Duration = Duration::from_millis(5);

const HARD_STATE: &[u8] = b"h";
const SNAPSHOT_META: &[u8] = b"m";
const SNAPSHOT: &[u8] = b"s";
const PREFIX_ENTRY: u8 = b'e';

/// A [`LogStore`] in a directory of its own.
#[derive(Debug)]
pub struct SledStore {
    db: sled::Db,
    /// The file that sled writes, to sync it.
    file: File,
    mark: Mark,
    path: PathBuf,
}

impl SledStore {
    /// Makes the log that a member begins with. Only a log made so can be opened: one that is gone
    /// is not taken for a new one, because its member may have voted.
    pub fn create(
        path: &Path,
        snapshot: &StoredSnapshot,
        hard_state: HardState,
    ) -> Result<Self, StoreError> {
        fs::create_dir_all(path).map_err(failed)?;
        let mut store = Self::open_sled(path, Mark::new(&mark_path(path)))?;
        store.install_snapshot(snapshot, hard_state)?;
        store.sync_files().map_err(failed)?;
        Ok(store)
    }

    /// Opens the log in `path`.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        if !sled_path(path).join("db").exists() {
            return Err(StoreError::Corrupt { path: path.to_owned(), what: "it is gone".into() });
        }
        let mark = Mark::open(&mark_path(path)).map_err(|error| match error {
            MarkError::Record(RecordError::Version { .. }) => {
                StoreError::TooNew { path: path.to_owned(), detail: error.to_string() }
            }
            other => StoreError::Corrupt { path: path.to_owned(), what: other.to_string() },
        })?;
        Self::open_sled(path, mark)
    }

    fn open_sled(path: &Path, mark: Mark) -> Result<Self, StoreError> {
        let path = path.to_owned();
        let config = sled::Config::new()
            .path(sled_path(&path))
            .cache_capacity(CACHE_BYTES)
            .flush_every_ms(None)
            .mode(sled::Mode::HighThroughput);
        let db = match open_unlocked(&config) {
            Ok(db) => db,
            Err(sled::Error::Corruption { .. }) => {
                return Err(StoreError::Corrupt {
                    path,
                    what: "sled cannot read its files".into(),
                });
            }
            Err(error) => return Err(StoreError::Unavailable { path, detail: error.to_string() }),
        };
        match File::open(sled_path(&path).join("db")) {
            Ok(file) => Ok(Self { db, file, mark, path }),
            Err(error) => Err(StoreError::Unavailable { path, detail: error.to_string() }),
        }
    }

    /// Makes durable what is written once, when the log is made: sled's own files, and the names of
    /// all of them.
    fn sync_files(&self) -> io::Result<()> {
        let sled = sled_path(&self.path);
        for item in fs::read_dir(&sled)? {
            File::open(item?.path())?.sync_all()?;
        }
        File::open(&sled)?.sync_all()?;
        files::sync_names(&sled)?;
        files::sync_names(&self.path)
    }

    /// The bytes under `name`, put together from their pieces.
    fn read(&self, name: &[u8], what: &str) -> Result<Vec<u8>, StoreError> {
        let mut bytes = Vec::new();
        for item in self.db.scan_prefix(name) {
            let (_, piece) = item.map_err(|error| self.corrupt(what, error))?;
            bytes.extend_from_slice(&piece);
        }
        Ok(bytes)
    }

    fn read_record<T: bincode::Decode<()>>(
        &self,
        name: &[u8],
        what: &str,
    ) -> Result<T, StoreError> {
        match self.read(name, what)?.as_slice() {
            [] => Err(self.corrupt(what, "it is missing")),
            bytes => self.open_record(bytes, what),
        }
    }

    /// The body of the snapshot that stands at `meta`; a member that has none begins at 0.
    fn read_snapshot(&self, meta: SnapshotMeta) -> Result<StoredSnapshot, StoreError> {
        let state = self.read(SNAPSHOT, "the snapshot")?;
        if meta.index > LogIndex(0) {
            // Of which version the state is, is for whoever reads it.
            record::verify(u16::MAX, &state)
                .map_err(|error| self.corrupt("the snapshot", error))?;
        }
        Ok(StoredSnapshot { meta, state: Bytes::from(state) })
    }

    fn read_entries(&self) -> Result<Vec<Entry>, StoreError> {
        let mut entries = Vec::new();
        let mut gathered: Option<(LogIndex, Vec<u8>)> = None;
        for item in self.db.scan_prefix([PREFIX_ENTRY]) {
            let (key, piece) = item.map_err(|error| self.corrupt("an entry", error))?;
            let index = entry_index(&key)
                .ok_or_else(|| self.corrupt("an entry", "its key is malformed"))?;
            match &mut gathered {
                Some((at, bytes)) if *at == index => bytes.extend_from_slice(&piece),
                _ => {
                    let whole = gathered.replace((index, piece.to_vec()));
                    entries.extend(whole.map(|whole| self.open_entry(whole)).transpose()?);
                }
            }
        }
        entries.extend(gathered.map(|whole| self.open_entry(whole)).transpose()?);
        Ok(entries)
    }

    fn open_entry(&self, (index, bytes): (LogIndex, Vec<u8>)) -> Result<Entry, StoreError> {
        let what = format!("entry {index}");
        let entry: Entry = self.open_record(&bytes, &what)?;
        match entry.index == index {
            true => Ok(entry),
            false => Err(self.corrupt(&what, "it says that it is another")),
        }
    }

    fn open_record<T: bincode::Decode<()>>(
        &self,
        bytes: &[u8],
        what: &str,
    ) -> Result<T, StoreError> {
        record::open(FORMAT, bytes).map_err(|error| match error {
            RecordError::Version { .. } => StoreError::TooNew {
                path: self.path.clone(),
                detail: format!("{what} has {error}"),
            },
            damage => self.corrupt(what, damage),
        })
    }

    /// Has `batch` on disk when it returns.
    fn commit(&self, batch: sled::Batch) -> Result<(), StoreError> {
        self.db.apply_batch(batch).map_err(failed)?;
        self.db.flush().map_err(failed)?;
        self.file.sync_data().map_err(failed)
    }

    /// Removes every piece whose key is in `keys`.
    fn remove(&self, batch: &mut sled::Batch, keys: Range<Vec<u8>>) -> Result<(), StoreError> {
        for key in self.db.range(keys).keys() {
            batch.remove(key.map_err(failed)?);
        }
        Ok(())
    }

    fn put_snapshot(
        &self,
        batch: &mut sled::Batch,
        snapshot: &StoredSnapshot,
    ) -> Result<(), StoreError> {
        self.remove(batch, SNAPSHOT.to_vec()..vec![SNAPSHOT[0] + 1])?;
        put(batch, SNAPSHOT_META, &seal(&snapshot.meta));
        put(batch, SNAPSHOT, &snapshot.state);
        Ok(())
    }

    fn corrupt(&self, what: &str, why: impl std::fmt::Display) -> StoreError {
        StoreError::Corrupt { path: self.path.clone(), what: format!("{what}: {why}") }
    }
}

impl LogStore for SledStore {
    fn load(&mut self) -> Result<Loaded, StoreError> {
        let hard_state = self.read_record(HARD_STATE, "the hard state")?;
        let meta = self.read_record(SNAPSHOT_META, "the place of the snapshot")?;
        let snapshot = self.read_snapshot(meta)?;
        let corrupt = |what| StoreError::Corrupt { path: self.path.clone(), what };
        let loaded =
            Loaded::assemble(hard_state, snapshot, self.read_entries()?).map_err(corrupt)?;
        match self.mark.missing(&loaded) {
            Some(what) => Err(corrupt(what)),
            None => Ok(loaded),
        }
    }

    fn append(
        &mut self,
        entries: &[Entry],
        hard_state: Option<HardState>,
    ) -> Result<(), StoreError> {
        let mut batch = sled::Batch::default();
        if let Some(first) = entries.first() {
            self.remove(&mut batch, entry_name(first.index)..vec![PREFIX_ENTRY + 1])?;
        }
        for entry in entries {
            put(&mut batch, &entry_name(entry.index), &seal(entry));
        }
        if let Some(hard_state) = hard_state {
            put(&mut batch, HARD_STATE, &seal(&hard_state));
        }
        self.commit(batch)?;
        match hard_state.filter(|state| self.mark.is_behind(*state)) {
            Some(state) => self.mark.keep(state).map_err(failed),
            None => Ok(()),
        }
    }

    fn save_snapshot(&mut self, snapshot: &StoredSnapshot) -> Result<(), StoreError> {
        let mut batch = sled::Batch::default();
        self.put_snapshot(&mut batch, snapshot)?;
        self.commit(batch)?;
        self.mark.keep_commit(snapshot.meta.index).map_err(failed)
    }

    fn install_snapshot(
        &mut self,
        snapshot: &StoredSnapshot,
        hard_state: HardState,
    ) -> Result<(), StoreError> {
        let mut batch = sled::Batch::default();
        self.remove(&mut batch, vec![PREFIX_ENTRY]..vec![PREFIX_ENTRY + 1])?;
        self.put_snapshot(&mut batch, snapshot)?;
        put(&mut batch, HARD_STATE, &seal(&hard_state));
        self.commit(batch)?;
        self.mark.keep(hard_state).map_err(failed)
    }

    fn compact(&mut self, index: LogIndex) -> Result<(), StoreError> {
        let mut batch = sled::Batch::default();
        self.remove(&mut batch, vec![PREFIX_ENTRY]..entry_name(index.next()))?;
        self.commit(batch)
    }
}

/// Opens sled, waiting for its lock: its threads hold that a moment longer than its last user does.
fn open_unlocked(config: &sled::Config) -> sled::Result<sled::Db> {
    let deadline = Instant::now() + LOCK_PATIENCE;
    loop {
        match config.open() {
            Err(sled::Error::Io(_)) if Instant::now() < deadline => thread::sleep(LOCK_RETRY),
            opened => return opened,
        }
    }
}

fn sled_path(path: &Path) -> PathBuf {
    path.join("sled")
}

fn mark_path(path: &Path) -> PathBuf {
    path.join("mark")
}

fn failed(error: impl std::fmt::Display) -> StoreError {
    StoreError::Failed(error.to_string())
}

/// Puts `bytes` under `name`, in pieces. Pieces of a longer value before must be removed already.
fn put(batch: &mut sled::Batch, name: &[u8], bytes: &[u8]) {
    for (number, piece) in (0_u32..).zip(bytes.chunks(PIECE_BYTES)) {
        batch.insert([name, &number.to_be_bytes()].concat(), piece);
    }
}

fn seal<T: bincode::Encode>(value: &T) -> Vec<u8> {
    record::seal(FORMAT, value).expect("entries, and where things stand, are far below the bound")
}

/// Names of entries sort as their indexes do.
fn entry_name(index: LogIndex) -> Vec<u8> {
    [&[PREFIX_ENTRY], index.0.to_be_bytes().as_slice()].concat()
}

fn entry_index(key: &[u8]) -> Option<LogIndex> {
    let index = key.get(1..9)?.try_into().ok()?;
    (key.len() == 13).then_some(LogIndex(u64::from_be_bytes(index)))
}

#[cfg(test)]
mod tests;
