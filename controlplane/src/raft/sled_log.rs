//! Logs of builds that kept them in sled, read once to become segments.
//!
//! One tree with records named `e<index>` for entries, `h` for the hard state, `m` for where the
//! snapshot stands and `s` for its body, each in pieces. Records are sealed, and nothing is trusted
//! that does not verify. The sled files stay, under another name, until the operator removes them.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use novacron_protocol::LogIndex;
use novacron_protocol::record::{self, RecordError};
use novacron_protocol::wire::raft::{Entry, SnapshotMeta};

use super::store::{Loaded, StoreError, StoredSnapshot};

/// Newest format of its records.
const FORMAT: u16 = 1;
/// How long another user of the log may take to let go of it, and the pause between two looks.
const LOCK_PATIENCE: Duration = Duration::from_secs(1);
const LOCK_RETRY: Duration = Duration::from_millis(5);

const HARD_STATE: &[u8] = b"h";
const SNAPSHOT_META: &[u8] = b"m";
const SNAPSHOT: &[u8] = b"s";
const PREFIX_ENTRY: u8 = b'e';

/// A log in sled.
#[derive(Debug)]
pub(super) struct SledLog {
    db: sled::Db,
    path: PathBuf,
}

impl SledLog {
    /// The log in `path`, when it is one of sled's.
    pub(super) fn find(path: &Path) -> Result<Option<Self>, StoreError> {
        if !sled_path(path).join("db").exists() {
            return Ok(None);
        }
        let path = path.to_owned();
        let config = sled::Config::new().path(sled_path(&path)).flush_every_ms(None);
        match open_unlocked(&config) {
            Ok(db) => Ok(Some(Self { db, path })),
            Err(sled::Error::Corruption { .. }) => {
                let what = "sled cannot read its files".into();
                Err(StoreError::Corrupt { path, what })
            }
            Err(error) => Err(StoreError::Unavailable { path, detail: error.to_string() }),
        }
    }

    pub(super) fn load(&self) -> Result<Loaded, StoreError> {
        let hard_state = self.read_record(HARD_STATE, "the hard state")?;
        let meta = self.read_record(SNAPSHOT_META, "the place of the snapshot")?;
        let snapshot = self.read_snapshot(meta)?;
        let corrupt = |what| StoreError::Corrupt { path: self.path.clone(), what };
        Loaded::assemble(hard_state, snapshot, self.read_entries()?).map_err(corrupt)
    }

    /// Puts it aside: what it held is elsewhere.
    pub(super) fn retire(self) -> std::io::Result<()> {
        let Self { db, path } = self;
        drop(db);
        fs::rename(sled_path(&path), path.join("sled.imported"))?;
        fs::File::open(&path)?.sync_all()
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

    fn corrupt(&self, what: &str, why: impl std::fmt::Display) -> StoreError {
        StoreError::Corrupt { path: self.path.clone(), what: format!("{what}: {why}") }
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

fn entry_index(key: &[u8]) -> Option<LogIndex> {
    let index = key.get(1..9)?.try_into().ok()?;
    (key.len() == 13).then_some(LogIndex(u64::from_be_bytes(index)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::raft::segments::SegmentStore;
    use crate::raft::store::{HardState, LogStore as _};
    use novacron_protocol::wire::raft::EntryKind;
    use novacron_protocol::{MemberId, Term};

    const PIECE_BYTES: usize = 4 << 10;

    fn put(db: &sled::Db, name: &[u8], bytes: &[u8]) {
        for (number, piece) in (0_u32..).zip(bytes.chunks(PIECE_BYTES)) {
            db.insert([name, &number.to_be_bytes()].concat(), piece).unwrap();
        }
    }

    fn entry(index: u64) -> Entry {
        let (term, index) = (Term(1), LogIndex(index));
        Entry { kind: EntryKind::Normal, term, index, data: vec![7; 9_000], context: vec![] }
    }

    /// A log as those builds left it: entries 3 to 5 after a snapshot at 2, a vote in term 2.
    fn keep_in_sled(dir: &Path) -> HardState {
        let hard_state = HardState { term: Term(2), vote: Some(MemberId(3)), commit: LogIndex(4) };
        let db = sled::open(sled_path(dir)).unwrap();
        let meta =
            SnapshotMeta { index: LogIndex(2), term: Term(1), configuration: Default::default() };
        put(&db, HARD_STATE, &record::seal(FORMAT, &hard_state).unwrap());
        put(&db, SNAPSHOT_META, &record::seal(FORMAT, &meta).unwrap());
        put(&db, SNAPSHOT, &record::seal(1, &vec![1_u8; 10_000]).unwrap());
        for index in 3..=5_u64 {
            let name = [&[PREFIX_ENTRY], index.to_be_bytes().as_slice()].concat();
            put(&db, &name, &record::seal(FORMAT, &entry(index)).unwrap());
        }
        db.flush().unwrap();
        fs::write(dir.join("mark"), record::seal(FORMAT, &hard_state).unwrap()).unwrap();
        hard_state
    }

    #[test]
    fn a_log_in_sled_is_taken_over_once_and_whole() {
        let dir = tempfile::tempdir().unwrap();
        let hard_state = keep_in_sled(dir.path());
        for _ in 0..2 {
            let mut store = SegmentStore::open(dir.path()).unwrap();
            let loaded = store.load().unwrap();
            assert_eq!(loaded.hard_state, hard_state);
            assert_eq!(loaded.snapshot.meta.index, LogIndex(2));
            assert_eq!(loaded.entries, [entry(3), entry(4), entry(5)]);
        }
        assert!(dir.path().join("sled.imported").exists() && !sled_path(dir.path()).exists());
    }

    #[test]
    fn a_log_in_sled_that_lacks_what_was_promised_is_not_taken_over() {
        let dir = tempfile::tempdir().unwrap();
        let hard_state = keep_in_sled(dir.path());
        let newer = HardState { term: Term(3), ..hard_state };
        fs::write(dir.path().join("mark"), record::seal(FORMAT, &newer).unwrap()).unwrap();
        let error = SegmentStore::open(dir.path()).unwrap_err().to_string();
        assert!(error.contains("vote, of term 3, is missing"), "{error}");
        assert!(sled_path(dir.path()).exists());
    }
}
