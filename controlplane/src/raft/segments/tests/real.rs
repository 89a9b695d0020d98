//! The same on a real directory.

use std::fs;

use novacron_protocol::limits::COMMAND_BYTES_MAX;

use super::*;

fn begin(dir: &Path) -> SegmentStore {
    SegmentStore::create(dir, &StoredSnapshot::default(), HardState::default()).unwrap()
}

fn reopen(dir: &Path) -> Result<Loaded, StoreError> {
    SegmentStore::open(dir)?.load()
}

#[test]
fn a_log_is_found_again_as_it_was_written() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = begin(dir.path());
    store.append(&[entry(1, 1), entry(2, 1), entry(3, 1)], Some(hard(1, 1)));
    store.append(&[entry(2, 2)], Some(hard(2, 2)));
    store.sync().unwrap();
    drop(store);
    let loaded = reopen(dir.path()).unwrap();
    assert_eq!(loaded.entries, [entry(1, 1), entry(2, 2)], "a replaced tail is gone");
    assert_eq!(loaded.hard_state, hard(2, 2));
}

#[test]
fn what_is_staged_but_not_synced_is_not_kept() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = begin(dir.path());
    store.append(&[entry(1, 1)], Some(hard(1, 0)));
    store.sync().unwrap();
    store.append(&[entry(2, 1)], None);
    drop(store);
    assert_eq!(reopen(dir.path()).unwrap().entries, [entry(1, 1)]);
}

#[test]
fn old_segments_go_and_their_files_are_used_again() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = begin(dir.path());
    store.append(&[], Some(hard(1, 0)));
    let mut last = 0;
    for _ in 0..5 {
        let entries: Vec<Entry> =
            (last + 1..=last + 70).map(|index| sized_entry(index, 1, COMMAND_BYTES_MAX)).collect();
        last += 70;
        store.append(&entries, Some(hard(1, last)));
        store.sync().unwrap();
        let made = snapshot(last, 1, 10);
        store.snapshots().save(&made).unwrap();
        store.compact(&made.meta, LogIndex(last - 1));
        store.sync().unwrap();
    }
    store.append(&[entry(last + 1, 1)], None);
    store.sync().unwrap();
    drop(store);
    let loaded = reopen(dir.path()).unwrap();
    assert_eq!(loaded.entries, [entry(last + 1, 1)]);
    assert_eq!(loaded.snapshot.meta.index, LogIndex(last));
    let names = fs::read_dir(dir.path()).unwrap().map(|item| item.unwrap().file_name());
    let segments = names.filter(|name| name.to_string_lossy().contains("segment")).count();
    assert!(segments <= 3, "{segments} segments of 16 MiB for one entry");
}

#[test]
fn a_snapshot_that_is_saved_while_an_older_one_is_counted_stays() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = begin(dir.path());
    store.append(&[entry(1, 1), entry(2, 1)], Some(hard(1, 2)));
    store.sync().unwrap();
    let (older, newer) = (snapshot(1, 1, 10), snapshot(2, 1, 10));
    store.snapshots().save(&older).unwrap();
    store.compact(&older.meta, LogIndex(1));
    store.snapshots().save(&newer).unwrap();
    store.sync().unwrap();
    store.compact(&newer.meta, LogIndex(2));
    store.sync().unwrap();
    drop(store);
    assert_eq!(reopen(dir.path()).unwrap().snapshot, newer);
}

#[test]
fn a_log_is_used_by_one_process_at_a_time() {
    let dir = tempfile::tempdir().unwrap();
    let store = begin(dir.path());
    let error = SegmentStore::open(dir.path()).unwrap_err();
    assert!(error.to_string().contains("another process uses it"), "{error}");
    drop(store);
    SegmentStore::open(dir.path()).unwrap();
}
