//! A log is found again as it was written, and damage is refused.

use super::*;
use novacron_protocol::limits::COMMAND_BYTES_MAX;
use novacron_protocol::wire::raft::EntryKind;
use novacron_protocol::{MemberId, Term};

fn entry(index: u64, term: u64) -> Entry {
    sized_entry(index, term, 100)
}

fn sized_entry(index: u64, term: u64, len: usize) -> Entry {
    Entry {
        kind: EntryKind::Normal,
        term: Term(term),
        index: LogIndex(index),
        data: vec![index as u8; len],
        context: vec![],
    }
}

fn hard(term: u64, commit: u64) -> HardState {
    HardState { term: Term(term), vote: Some(MemberId(1)), commit: LogIndex(commit) }
}

fn snapshot(index: u64, len: usize) -> StoredSnapshot {
    let meta =
        SnapshotMeta { index: LogIndex(index), term: Term(1), configuration: Default::default() };
    StoredSnapshot { meta, state: record::seal(1, &vec![index as u8; len]).unwrap().into() }
}

/// A log as a member that joins begins with.
fn begin(dir: &Path) -> SledStore {
    SledStore::create(dir, &StoredSnapshot::default(), HardState::default()).unwrap()
}

fn reopen(dir: &Path) -> Result<Loaded, StoreError> {
    SledStore::open(dir)?.load()
}

#[test]
fn a_log_is_found_again_as_it_was_written() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = begin(dir.path());
    assert_eq!(store.load().unwrap(), Loaded::default());
    store.append(&[entry(1, 1), entry(2, 1), entry(3, 1)], Some(hard(1, 1))).unwrap();
    store.append(&[entry(2, 2)], Some(hard(2, 2))).unwrap();
    drop(store);
    let loaded = reopen(dir.path()).unwrap();
    assert_eq!(loaded.entries, [entry(1, 1), entry(2, 2)], "a replaced tail is gone");
    assert_eq!(loaded.hard_state, hard(2, 2));
}

#[test]
fn compaction_and_snapshots_leave_a_log_without_gaps() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = begin(dir.path());
    store.append(&[entry(1, 1), entry(2, 1), entry(3, 1)], Some(hard(1, 3))).unwrap();
    store.save_snapshot(&snapshot(2, 10)).unwrap();
    store.compact(LogIndex(1)).unwrap();
    drop(store);
    assert_eq!(reopen(dir.path()).unwrap().entries, [entry(3, 1)]);
    let mut store = SledStore::open(dir.path()).unwrap();
    store.install_snapshot(&snapshot(9, 10), hard(1, 9)).unwrap();
    store.append(&[entry(10, 1)], None).unwrap();
    drop(store);
    let loaded = reopen(dir.path()).unwrap();
    assert_eq!((loaded.snapshot, loaded.entries), (snapshot(9, 10), vec![entry(10, 1)]));
}

#[test]
fn long_records_come_back_whole_and_never_leave_the_synced_file() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = begin(dir.path());
    for first in [1, 11, 21] {
        let entries: Vec<Entry> =
            (first..first + 10).map(|n| sized_entry(n, 1, COMMAND_BYTES_MAX)).collect();
        store.append(&entries, Some(hard(1, first))).unwrap();
    }
    store.append(&[sized_entry(30, 1, 5_000)], None).unwrap();
    for index in [5, 25, 29] {
        store.save_snapshot(&snapshot(index, 4 << 20 >> (index / 10))).unwrap();
        store.compact(LogIndex(index)).unwrap();
    }
    assert_eq!(fs::read_dir(sled_path(dir.path()).join("blobs")).unwrap().count(), 0);
    drop(store);
    let loaded = reopen(dir.path()).unwrap();
    assert_eq!(loaded.snapshot, snapshot(29, 1 << 20));
    assert_eq!(loaded.entries, [sized_entry(30, 1, 5_000)], "nothing is left of its longer self");
}

type Damage = fn(&mut SledStore);

/// What comes of a log of three entries and a snapshot that was damaged so.
fn refusal_after(damage: Damage) -> StoreError {
    let dir = tempfile::tempdir().unwrap();
    let mut store = begin(dir.path());
    store.append(&[entry(1, 1), entry(2, 1), entry(3, 1)], Some(hard(1, 1))).unwrap();
    store.save_snapshot(&snapshot(1, 3 * PIECE_BYTES)).unwrap();
    store.append(&[], Some(hard(2, 3))).unwrap();
    damage(&mut store);
    store.db.flush().unwrap();
    drop(store);
    reopen(dir.path()).unwrap_err()
}

fn piece(name: &[u8], number: u32) -> Vec<u8> {
    [name, &number.to_be_bytes()].concat()
}

fn remove(store: &SledStore, name: &[u8], number: u32) {
    store.db.remove(piece(name, number)).unwrap().unwrap();
}

fn replace(store: &SledStore, name: &[u8], value: &[u8]) {
    store.db.insert(piece(name, 0), value).unwrap().unwrap();
}

#[test]
fn damage_is_refused_by_name_and_with_what_to_do() {
    let damages: [(&str, Damage); 12] = [
        ("entry 2: checksum", |store| {
            let key = piece(&entry_name(LogIndex(2)), 0);
            let mut bytes = store.db.get(&key).unwrap().unwrap().to_vec();
            bytes[20] ^= 1;
            store.db.insert(key, bytes).unwrap();
        }),
        ("entry 2: it says that it is another", |store| {
            replace(store, &entry_name(LogIndex(2)), &seal(&entry(7, 1)));
        }),
        ("entry 3: entries before it are missing", |store| {
            remove(store, &entry_name(LogIndex(2)), 0);
        }),
        ("the log ends at 2", |store| remove(store, &entry_name(LogIndex(3)), 0)),
        ("the hard state", |store| replace(store, HARD_STATE, b"nonsense")),
        ("the hard state: it is missing", |store| remove(store, HARD_STATE, 0)),
        ("the place of the snapshot: it is missing", |store| remove(store, SNAPSHOT_META, 0)),
        ("the snapshot: checksum", |store| remove(store, SNAPSHOT, 1)),
        ("vote, of term 2, is missing", |store| replace(store, HARD_STATE, &seal(&hard(1, 3)))),
        ("vote, of term 2, is missing", |store| {
            replace(store, HARD_STATE, &seal(&HardState { vote: None, ..hard(2, 3) }));
        }),
        ("the mark beside it", |store| fs::remove_file(mark_path(&store.path)).unwrap()),
        ("it is gone", |store| fs::remove_dir_all(sled_path(&store.path)).unwrap()),
    ];
    for (named, damage) in damages {
        let error = refusal_after(damage).to_string();
        assert!(error.contains(named), "{error}");
        assert!(error.contains("join again") && error.contains("from a backup"), "{error}");
    }
}

#[test]
fn a_log_that_lost_its_newest_entries_is_refused() {
    let error = refusal_after(|store| {
        store.save_snapshot(&snapshot(3, 10)).unwrap();
        store.compact(LogIndex(3)).unwrap();
        let mut batch = sled::Batch::default();
        store.put_snapshot(&mut batch, &snapshot(2, 10)).unwrap();
        put(&mut batch, HARD_STATE, &seal(&hard(2, 2)));
        store.commit(batch).unwrap();
    });
    assert!(error.to_string().contains("entries up to 3: the log ends at 2"), "{error}");
}

#[test]
fn what_a_newer_release_wrote_is_not_called_damaged() {
    let damages: [Damage; 2] = [
        |store| {
            let newer = record::seal(FORMAT + 1, &entry(2, 1)).unwrap();
            replace(store, &entry_name(LogIndex(2)), &newer);
        },
        |store| {
            let newer = record::seal(FORMAT + 1, &hard(2, 3)).unwrap();
            fs::write(mark_path(&store.path), newer).unwrap();
        },
    ];
    for damage in damages {
        let error = refusal_after(damage);
        assert!(matches!(error, StoreError::TooNew { .. }), "{error}");
        assert!(error.to_string().ends_with("install a newer release"), "{error}");
    }
}
