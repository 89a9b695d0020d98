//! What the agent must find again after a restart: its desired set and how many restarts were done.
//!
//! Kept in sled, one record per VM, so that a change costs what changed. Every change is one atomic
//! batch, synced before it is acted on, and raises a sequence number. The header record holds that
//! number with a digest of everything; a small file beside the store, the mark, holds it too. A
//! store that lost records contradicts its digest, and one that lost its newest changes contradicts
//! the mark: both are refused, because acting on an old desired set would undo what somebody asked
//! for. A damaged journal is never repaired and never reset.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use bincode::{Decode, Encode};
use novacron_agent_core::{Journal, Persist};
use novacron_protocol::codec::{self, CodecError};
use novacron_protocol::record::{self, RecordError};
use novacron_protocol::vm::DesiredVm;
use novacron_protocol::{Digest, Generation, VmId};
use uuid::Uuid;

use crate::files;

/// The journal on disk.
#[derive(Debug)]
pub struct JournalStore {
    dir: PathBuf,
    db: sled::Db,
    /// What is on disk.
    held: Journal,
    sequence: u64,
}

/// Why the journal cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// Its content is not what was written.
    #[error(
        "the journal in {} is damaged ({detail}). No VM is touched. To go on, stop the agent and \
         move that directory away: the control plane sends the desired set again",
        dir.display()
    )]
    Damaged { dir: PathBuf, detail: String },
    /// A newer release wrote it.
    #[error("the journal in {} has {detail}", dir.display())]
    TooNew { dir: PathBuf, detail: RecordError },
    /// The disk does not do what it is told, or another agent runs.
    #[error("cannot use the journal in {}: {detail}", dir.display())]
    Io { dir: PathBuf, detail: String },
}

#[derive(Debug, Encode, Decode)]
struct Header {
    sequence: u64,
    generation: Generation,
    /// Of the whole content.
    digest: Digest,
}

const FORMAT: u16 = 1;
const HEADER: &[u8] = b"header";
const VM: u8 = b'v';
const RESTARTS: u8 = b'r';
const STORE: &str = "store";
const MARK: &str = "mark";
/// The content is read once, at start: no need to keep pages of it.
const CACHE_BYTES: u64 = 1 << 20;
/// sled keeps a few buffers of this size; a larger record goes to a file of its own.
const SEGMENT_BYTES: usize = 64 << 10;
/// How long another user of the journal may take to let go of it, and the pause between two looks.
const LOCK_PATIENCE: Duration = Duration::from_secs(1);
const LOCK_RETRY: Duration = Duration::from_millis(5);

impl JournalStore {
    /// Opens the journal in `dir`, or begins one if there is none.
    pub fn open(dir: &Path) -> Result<(Self, Journal), JournalError> {
        let io =
            |error: io::Error| JournalError::Io { dir: dir.to_owned(), detail: error.to_string() };
        fs::create_dir_all(dir).map_err(io)?;
        let mark = read_mark(dir)?;
        let config = sled::Config::new()
            .path(dir.join(STORE))
            .cache_capacity(CACHE_BYTES)
            .segment_size(SEGMENT_BYTES)
            .mode(sled::Mode::LowSpace)
            .flush_every_ms(None);
        let db = open_unlocked(&config).map_err(|error| store_error(dir, error))?;
        let (held, sequence) = load(&db, dir)?;
        if mark.is_some_and(|mark| sequence < mark) {
            let detail = format!("its newest change is missing: it ends at {sequence}");
            return Err(damaged(dir, detail));
        }
        let mut store = Self { dir: dir.to_owned(), db, held, sequence };
        if mark.is_none() {
            store.persist(&Persist::default())?;
        }
        let journal = store.held.clone();
        Ok((store, journal))
    }

    /// Has `change` on disk when it returns.
    pub fn persist(&mut self, change: &Persist) -> Result<(), JournalError> {
        let mut next = self.held.clone();
        next.apply(change);
        let batch = self.batch(&next).map_err(|error| self.io(error.to_string()))?;
        self.db.apply_batch(batch).map_err(|error| store_error(&self.dir, error))?;
        self.db.flush().map_err(|error| store_error(&self.dir, error))?;
        self.sync().map_err(|error| self.io(error.to_string()))?;
        self.held = next;
        self.sequence += 1;
        let mark =
            record::seal(FORMAT, &self.sequence).map_err(|error| self.io(error.to_string()))?;
        files::replace(&self.dir.join(MARK), &mark, files::Sync::Yes)
            .map_err(|error| self.io(error.to_string()))
    }

    /// Has on the disk what sled has flushed: its own flush is `sync_file_range`, which reaches
    /// neither the file's length nor the disk's cache, and no file of a large record.
    fn sync(&self) -> io::Result<()> {
        let store = self.dir.join(STORE);
        File::open(store.join("db"))?.sync_data()?;
        for large in fs::read_dir(store.join("blobs")).into_iter().flatten() {
            File::open(large?.path())?.sync_data()?;
        }
        Ok(())
    }

    /// The records in which `next` differs from what is held, and its header.
    fn batch(&self, next: &Journal) -> Result<sled::Batch, CodecError> {
        let mut batch = sled::Batch::default();
        let held = &self.held;
        for vm in &next.desired.vms {
            if find(&held.desired.vms, vm.id) != Some(vm) {
                batch.insert(key(VM, vm.id), record::seal(FORMAT, vm)?);
            }
        }
        let gone = |vm: &&DesiredVm| find(&next.desired.vms, vm.id).is_none();
        for vm in held.desired.vms.iter().filter(gone) {
            batch.remove(key(VM, vm.id));
        }
        for (vm, restarts) in &next.restarts {
            if held.restarts.get(vm) != Some(restarts) {
                batch.insert(key(RESTARTS, *vm), record::seal(FORMAT, restarts)?);
            }
        }
        for vm in held.restarts.keys().filter(|vm| !next.restarts.contains_key(vm)) {
            batch.remove(key(RESTARTS, *vm));
        }
        let header = Header {
            sequence: self.sequence + 1,
            generation: next.desired.generation,
            digest: digest(next)?,
        };
        batch.insert(HEADER, record::seal(FORMAT, &header)?);
        Ok(batch)
    }

    fn io(&self, detail: String) -> JournalError {
        JournalError::Io { dir: self.dir.clone(), detail }
    }
}

/// Opens sled, waiting for its lock: threads of its last user, or a child between fork and exec,
/// hold that a moment longer.
fn open_unlocked(config: &sled::Config) -> sled::Result<sled::Db> {
    let deadline = Instant::now() + LOCK_PATIENCE;
    loop {
        match config.open() {
            Err(sled::Error::Io(error))
                if error.to_string().contains("lock") && Instant::now() < deadline =>
            {
                thread::sleep(LOCK_RETRY);
            }
            opened => return opened,
        }
    }
}

/// Everything in the store, checked against its header; an empty one without a header is new.
fn load(db: &sled::Db, dir: &Path) -> Result<(Journal, u64), JournalError> {
    let mut journal = Journal::default();
    let mut header: Option<Header> = None;
    for entry in db.iter() {
        let (key, value) = entry.map_err(|error| store_error(dir, error))?;
        let bad = |error| bad_record(dir, error);
        match (&*key, key.first()) {
            (HEADER, _) => header = Some(record::open(FORMAT, &value).map_err(bad)?),
            // Keys are sorted, and so is a desired set.
            (_, Some(&VM)) => {
                journal.desired.vms.push(record::open(FORMAT, &value).map_err(bad)?);
            }
            ([RESTARTS, id @ ..], _) => {
                let id = Uuid::from_slice(id)
                    .map_err(|_| damaged(dir, "a key of it is no id".to_owned()))?;
                let restarts = record::open(FORMAT, &value).map_err(bad)?;
                journal.restarts.insert(VmId::from_uuid(id), restarts);
            }
            _ => return Err(damaged(dir, "it has a key of another program".to_owned())),
        }
    }
    let Some(header) = header else {
        return if journal == Journal::default() {
            Ok((journal, 0))
        } else {
            Err(damaged(dir, "its header is missing".to_owned()))
        };
    };
    journal.desired.generation = header.generation;
    let found = digest(&journal).map_err(|error| damaged(dir, error.to_string()))?;
    if found != header.digest {
        return Err(damaged(dir, "records of it are missing".to_owned()));
    }
    Ok((journal, header.sequence))
}

fn read_mark(dir: &Path) -> Result<Option<u64>, JournalError> {
    match fs::read(dir.join(MARK)) {
        Ok(bytes) => record::open(FORMAT, &bytes).map(Some).map_err(|error| bad_record(dir, error)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(JournalError::Io { dir: dir.to_owned(), detail: error.to_string() }),
    }
}

fn digest(journal: &Journal) -> Result<Digest, CodecError> {
    let mut bytes = codec::encode(&journal.desired)?;
    bytes.extend(codec::encode(&journal.restarts)?);
    Ok(Digest::of(&bytes))
}

fn key(kind: u8, vm: VmId) -> Vec<u8> {
    std::iter::once(kind).chain(*vm.as_bytes()).collect()
}

fn find(vms: &[DesiredVm], id: VmId) -> Option<&DesiredVm> {
    vms.binary_search_by_key(&id, |vm| vm.id).ok().map(|at| &vms[at])
}

fn bad_record(dir: &Path, error: RecordError) -> JournalError {
    match error {
        RecordError::Version { .. } => JournalError::TooNew { dir: dir.to_owned(), detail: error },
        other => damaged(dir, other.to_string()),
    }
}

fn store_error(dir: &Path, error: sled::Error) -> JournalError {
    match error {
        sled::Error::Corruption { .. } | sled::Error::Unsupported(_) => {
            damaged(dir, error.to_string())
        }
        other => JournalError::Io { dir: dir.to_owned(), detail: other.to_string() },
    }
}

fn damaged(dir: &Path, detail: String) -> JournalError {
    JournalError::Damaged { dir: dir.to_owned(), detail }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::desired_vm;
    use novacron_protocol::vm::{DesiredSet, Target};
    use std::sync::Arc;

    fn set(generation: u64, ids: &[u64]) -> Persist {
        let vms = ids.iter().map(|id| desired_vm(*id)).collect();
        let set = DesiredSet { generation: Generation(generation), vms };
        let restarts = set.vms.iter().map(|vm| (vm.id, 0)).collect();
        Persist { desired: Some(Arc::new(set)), restarts }
    }

    fn restarted(id: u64, count: u32) -> Persist {
        Persist { desired: None, restarts: [(desired_vm(id).id, count)].into() }
    }

    #[test]
    fn what_was_persisted_is_found_again() {
        let dir = tempfile::tempdir().unwrap();
        let (mut store, mut expected) = JournalStore::open(dir.path()).unwrap();
        assert_eq!(expected, Journal::default());
        let mut changed = (*set(3, &[2, 3]).desired.unwrap()).clone();
        changed.vms[0].target = Target::Absent;
        let changed = Persist { desired: Some(Arc::new(changed)), ..Persist::default() };
        for change in [set(1, &[1, 2]), restarted(2, 5), changed, restarted(3, 1)] {
            store.persist(&change).unwrap();
            expected.apply(&change);
            drop(store);
            let (again, found) = JournalStore::open(dir.path()).unwrap();
            assert_eq!(found, expected);
            store = again;
        }
        assert_eq!(expected.restarts.len(), 2);
    }

    #[test]
    fn a_journal_that_lost_everything_is_not_taken_for_a_new_one() {
        let dir = tempfile::tempdir().unwrap();
        let (mut store, _) = JournalStore::open(dir.path()).unwrap();
        store.persist(&set(1, &[1])).unwrap();
        drop(store);
        fs::remove_dir_all(dir.path().join("store")).unwrap();
        let error = JournalStore::open(dir.path()).unwrap_err();
        assert!(matches!(error, JournalError::Damaged { .. }), "{error}");
    }

    #[test]
    fn a_journal_that_lost_its_newest_change_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let (mut store, _) = JournalStore::open(dir.path()).unwrap();
        store.persist(&set(1, &[1])).unwrap();
        let mark = dir.path().join(MARK);
        fs::write(&mark, record::seal(FORMAT, &99_u64).unwrap()).unwrap();
        drop(store);
        let error = JournalStore::open(dir.path()).unwrap_err().to_string();
        assert!(
            error.contains("newest change") && error.contains("move that directory"),
            "{error}"
        );
    }

    #[test]
    fn missing_and_foreign_records_are_refused() {
        type Damage = fn(&sled::Db);
        let damages: [Damage; 4] = [
            |db| drop(db.remove(key(VM, desired_vm(1).id)).unwrap()),
            |db| drop(db.remove(HEADER).unwrap()),
            |db| drop(db.insert(key(VM, desired_vm(1).id), b"junk").unwrap()),
            |db| drop(db.insert("x", b"junk").unwrap()),
        ];
        for (at, damage) in damages.into_iter().enumerate() {
            let dir = tempfile::tempdir().unwrap();
            let (mut store, _) = JournalStore::open(dir.path()).unwrap();
            store.persist(&set(1, &[1, 2])).unwrap();
            damage(&store.db);
            drop(store);
            let error = JournalStore::open(dir.path()).unwrap_err();
            assert!(matches!(error, JournalError::Damaged { .. }), "damage {at}: {error}");
        }
    }

    #[test]
    fn a_newer_format_says_that_a_newer_release_is_needed() {
        let dir = tempfile::tempdir().unwrap();
        let (store, _) = JournalStore::open(dir.path()).unwrap();
        store.db.insert(HEADER, record::seal(FORMAT + 1, &0_u8).unwrap()).unwrap();
        drop(store);
        let error = JournalStore::open(dir.path()).unwrap_err().to_string();
        assert!(error.contains("newer release"), "{error}");
    }

    /// Whatever byte of the store is damaged: it is refused, or everything is still there.
    #[test]
    fn a_damaged_file_is_refused_or_harmless_and_never_loses_anything() {
        let dir = tempfile::tempdir().unwrap();
        let (mut store, mut expected) = JournalStore::open(dir.path()).unwrap();
        for change in [set(1, &[1, 2]), restarted(2, 5), set(2, &[1, 2, 3])] {
            store.persist(&change).unwrap();
            expected.apply(&change);
        }
        drop(store);
        let db = dir.path().join("store/db");
        let whole = fs::read(&db).unwrap();
        let used = whole.iter().rposition(|byte| *byte != 0).unwrap();
        let mut refused = 0;
        for at in (0..used).step_by(used / 40 + 1) {
            let mut bytes = whole.clone();
            bytes[at] ^= 0xff;
            let copy = tempfile::tempdir().unwrap();
            fs::create_dir(copy.path().join("store")).unwrap();
            for file in [MARK, "store/conf"] {
                fs::copy(dir.path().join(file), copy.path().join(file)).unwrap();
            }
            fs::write(copy.path().join("store/db"), bytes).unwrap();
            match JournalStore::open(copy.path()) {
                Ok((_, found)) => assert_eq!(found, expected, "byte {at}"),
                Err(_) => refused += 1,
            }
        }
        assert!(refused > 0, "no byte mattered");
    }
}
