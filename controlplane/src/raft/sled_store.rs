//! The log in sled: one tree, keys `e<index>` for entries, `h` for the hard state, `s` for the
//! snapshot. Values are sealed records, so sled's own promises are checked on every load.
//!
//! One batch and one flush per call. sled 0.34 is no longer developed and has open reports of
//! damage after kills; that is why nothing is trusted that does not verify.

use std::path::Path;

use novacron_protocol::limits::{COMMAND_BYTES_MAX, RECORD_BYTES_MAX};
use novacron_protocol::record;
use novacron_protocol::wire::raft::Entry;
use novacron_protocol::{LogIndex, Term};

use super::store::{HardState, Loaded, LogStore, StoreError, StoredSnapshot};

/// Newest format of the records in the log this build writes and reads.
const FORMAT: u16 = 1;
/// Cache of sled: the log is written and, in life, never read.
const CACHE_BYTES: u64 = 4 << 20;

const KEY_HARD_STATE: &[u8] = b"h";
const KEY_SNAPSHOT: &[u8] = b"s";
const PREFIX_ENTRY: u8 = b'e';

/// A [`LogStore`] in a directory of its own.
#[derive(Debug)]
pub struct SledStore {
    db: sled::Db,
    path: String,
    /// First and last entry kept, `None` for an empty log; spares reading keys to cut the log.
    range: Option<(LogIndex, LogIndex)>,
}

impl SledStore {
    /// Opens or makes the log in `path`.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let text = path.display().to_string();
        let opened = sled::Config::new()
            .path(path)
            .cache_capacity(CACHE_BYTES)
            .flush_every_ms(None)
            .mode(sled::Mode::HighThroughput)
            .open();
        match opened {
            Ok(db) => Ok(Self { db, path: text, range: None }),
            Err(sled::Error::Corruption { .. }) => {
                Err(StoreError::Corrupt { path: text, what: "sled cannot read its files".into() })
            }
            Err(error) => Err(StoreError::Unavailable { path: text, detail: error.to_string() }),
        }
    }

    fn read<T: bincode::Decode<()>>(
        &self,
        key: &[u8],
        what: &str,
    ) -> Result<Option<T>, StoreError> {
        let Some(bytes) = self.db.get(key).map_err(|error| self.unreadable(what, &error))? else {
            return Ok(None);
        };
        record::open(FORMAT, &bytes).map(Some).map_err(|error| self.corrupt(what, error))
    }

    fn read_entries(&self) -> Result<Vec<Entry>, StoreError> {
        let mut entries: Vec<Entry> = Vec::new();
        for item in self.db.scan_prefix([PREFIX_ENTRY]) {
            let (key, bytes) = item.map_err(|error| self.unreadable("an entry", &error))?;
            let what = || format!("entry {}", entry_key_text(&key));
            let entry: Entry =
                record::open(FORMAT, &bytes).map_err(|error| self.corrupt(&what(), error))?;
            if entry_key(entry.index).as_slice() != key.as_ref() {
                return Err(self.corrupt(&what(), "it says that it is another"));
            }
            entries.push(entry);
        }
        Ok(entries)
    }

    fn commit(&self, batch: sled::Batch) -> Result<(), StoreError> {
        let failed = |error: sled::Error| StoreError::Failed(error.to_string());
        self.db.apply_batch(batch).map_err(failed)?;
        self.db.flush().map_err(failed)?;
        Ok(())
    }

    fn remove_entries(&self, batch: &mut sled::Batch, from: LogIndex, to: LogIndex) {
        for index in from.0..=to.0 {
            batch.remove(entry_key(LogIndex(index)).as_slice());
        }
    }

    fn seal<T: bincode::Encode>(&self, value: &T) -> Result<Vec<u8>, StoreError> {
        record::seal(FORMAT, value).map_err(|error| StoreError::Failed(error.to_string()))
    }

    fn corrupt(&self, what: &str, why: impl std::fmt::Display) -> StoreError {
        StoreError::Corrupt { path: self.path.clone(), what: format!("{what}: {why}") }
    }

    fn unreadable(&self, what: &str, error: &sled::Error) -> StoreError {
        self.corrupt(what, error)
    }
}

impl LogStore for SledStore {
    fn load(&mut self) -> Result<Loaded, StoreError> {
        let hard_state: HardState =
            self.read(KEY_HARD_STATE, "the hard state")?.unwrap_or_default();
        let snapshot: StoredSnapshot = self.read(KEY_SNAPSHOT, "the snapshot")?.unwrap_or_default();
        let entries = self.read_entries()?;
        self.range = entries.first().zip(entries.last()).map(|(a, z)| (a.index, z.index));
        Loaded::assemble(hard_state, snapshot, entries)
            .map_err(|what| StoreError::Corrupt { path: self.path.clone(), what })
    }

    fn append(
        &mut self,
        entries: &[Entry],
        hard_state: Option<HardState>,
    ) -> Result<(), StoreError> {
        let mut batch = sled::Batch::default();
        for entry in entries {
            debug_assert!(entry.data.len() <= COMMAND_BYTES_MAX.max(RECORD_BYTES_MAX));
            batch.insert(entry_key(entry.index).as_slice(), self.seal(entry)?);
        }
        if let (Some(first), Some(last)) = (entries.first(), entries.last()) {
            if let Some((_, end)) = self.range.filter(|(_, end)| *end > last.index) {
                self.remove_entries(&mut batch, last.index.next(), end);
            }
            let start = self.range.map_or(first.index, |(start, _)| start.min(first.index));
            self.range = Some((start, last.index));
        }
        if let Some(hard_state) = hard_state {
            batch.insert(KEY_HARD_STATE, self.seal(&hard_state)?);
        }
        self.commit(batch)
    }

    fn save_snapshot(&mut self, snapshot: &StoredSnapshot) -> Result<(), StoreError> {
        let mut batch = sled::Batch::default();
        batch.insert(KEY_SNAPSHOT, self.seal(snapshot)?);
        self.commit(batch)
    }

    fn install_snapshot(
        &mut self,
        snapshot: &StoredSnapshot,
        hard_state: HardState,
    ) -> Result<(), StoreError> {
        let mut batch = sled::Batch::default();
        if let Some((start, end)) = self.range.take() {
            self.remove_entries(&mut batch, start, end);
        }
        batch.insert(KEY_SNAPSHOT, self.seal(snapshot)?);
        batch.insert(KEY_HARD_STATE, self.seal(&hard_state)?);
        self.commit(batch)
    }

    fn compact(&mut self, index: LogIndex) -> Result<(), StoreError> {
        let Some((start, end)) = self.range.filter(|(start, _)| *start <= index) else {
            return Ok(());
        };
        let mut batch = sled::Batch::default();
        self.remove_entries(&mut batch, start, index.min(end));
        self.range = (index < end).then(|| (index.next(), end));
        self.commit(batch)
    }
}

/// Keys sort as their indexes do.
fn entry_key(index: LogIndex) -> [u8; 9] {
    let mut key = [PREFIX_ENTRY; 9];
    key[1..].copy_from_slice(&index.0.to_be_bytes());
    key
}

fn entry_key_text(key: &[u8]) -> String {
    match key.get(1..).and_then(|bytes| bytes.try_into().ok()) {
        Some(bytes) => u64::from_be_bytes(bytes).to_string(),
        None => "with a malformed key".to_owned(),
    }
}

/// What a first member begins with: one snapshot at index 1 of term 1.
pub const FIRST_INDEX: LogIndex = LogIndex(1);
pub const FIRST_TERM: Term = Term(1);

#[cfg(test)]
mod tests {
    use super::*;
    use novacron_protocol::MemberId;
    use novacron_protocol::wire::raft::{EntryKind, SnapshotMeta};

    fn entry(index: u64, term: u64) -> Entry {
        Entry {
            kind: EntryKind::Normal,
            term: Term(term),
            index: LogIndex(index),
            data: vec![index as u8; 100],
            context: vec![],
        }
    }

    fn hard(term: u64, commit: u64) -> HardState {
        HardState { term: Term(term), vote: Some(MemberId(1)), commit: LogIndex(commit) }
    }

    fn reopen(dir: &Path) -> Result<Loaded, StoreError> {
        SledStore::open(dir)?.load()
    }

    #[test]
    fn a_log_is_found_again_as_it_was_written() {
        let dir = tempfile::tempdir().unwrap();
        {
            let mut store = SledStore::open(dir.path()).unwrap();
            assert_eq!(store.load().unwrap(), Loaded::default());
            store.append(&[entry(1, 1), entry(2, 1), entry(3, 1)], Some(hard(1, 1))).unwrap();
            store.append(&[entry(2, 2)], Some(hard(2, 2))).unwrap();
        }
        let loaded = reopen(dir.path()).unwrap();
        assert_eq!(loaded.entries, [entry(1, 1), entry(2, 2)], "a replaced tail is gone");
        assert_eq!(loaded.hard_state, hard(2, 2));
    }

    #[test]
    fn compaction_and_snapshots_leave_a_log_without_gaps() {
        let dir = tempfile::tempdir().unwrap();
        let meta = |index| SnapshotMeta {
            index: LogIndex(index),
            term: Term(1),
            configuration: Default::default(),
        };
        let mut store = SledStore::open(dir.path()).unwrap();
        store.append(&[entry(1, 1), entry(2, 1), entry(3, 1)], Some(hard(1, 3))).unwrap();
        store.save_snapshot(&StoredSnapshot { meta: meta(2), state: vec![7] }).unwrap();
        store.compact(LogIndex(1)).unwrap();
        drop(store);
        assert_eq!(reopen(dir.path()).unwrap().entries, [entry(3, 1)]);
        let mut store = SledStore::open(dir.path()).unwrap();
        store.load().unwrap();
        store
            .install_snapshot(&StoredSnapshot { meta: meta(9), state: vec![8] }, hard(1, 9))
            .unwrap();
        store.append(&[entry(10, 1)], None).unwrap();
        drop(store);
        let loaded = reopen(dir.path()).unwrap();
        assert_eq!((loaded.snapshot.state, loaded.entries), (vec![8], vec![entry(10, 1)]));
    }

    #[test]
    fn damage_is_refused_with_what_to_do() {
        type Damage = fn(&sled::Db);
        let damages: [(&str, Damage); 4] = [
            ("entry 2", |db| {
                let mut bytes = db.get(entry_key(LogIndex(2))).unwrap().unwrap().to_vec();
                bytes[20] ^= 1;
                db.insert(entry_key(LogIndex(2)), bytes).unwrap();
            }),
            ("entry 3: entries before it are missing", |db| {
                db.remove(entry_key(LogIndex(2))).unwrap();
            }),
            ("the log ends at 2", |db| {
                db.remove(entry_key(LogIndex(3))).unwrap();
            }),
            ("the hard state", |db| {
                db.insert(KEY_HARD_STATE, b"nonsense").unwrap();
            }),
        ];
        for (named, damage) in damages {
            let dir = tempfile::tempdir().unwrap();
            {
                let mut store = SledStore::open(dir.path()).unwrap();
                let entries = [entry(1, 1), entry(2, 1), entry(3, 1)];
                store.append(&entries, Some(hard(1, 3))).unwrap();
                damage(&store.db);
                store.db.flush().unwrap();
            }
            let error = reopen(dir.path()).unwrap_err().to_string();
            assert!(error.contains(named), "{error}");
            assert!(error.contains("join again"), "{error}");
        }
    }
}
