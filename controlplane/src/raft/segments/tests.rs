//! A log is found again as it was written, whatever the moment at which the power went; and damage is
//! refused by name.

mod crash;
mod damage;
mod faulty_disk;
mod real;

use novacron_protocol::record;
use novacron_protocol::wire::raft::EntryKind;
use novacron_protocol::{MemberId, Term};

use super::*;

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

fn snapshot(index: u64, term: u64, len: usize) -> StoredSnapshot {
    let configuration = Default::default();
    let meta = SnapshotMeta { index: LogIndex(index), term: Term(term), configuration };
    StoredSnapshot { meta, state: record::seal(1, &vec![index as u8; len]).unwrap().into() }
}

/// Small, so that a few writes fill a segment.
const SMALL: Sizes = Sizes { segment_sectors: 16, batch_bytes: 2_048 };

fn small_log(disk: Arc<dyn Disk>) -> SegmentStore {
    SegmentStore::on(disk, Path::new("log"), SMALL, Spares::on_the_spot)
}

/// A log as a member that joins begins with.
fn begin_small(disk: Arc<dyn Disk>) -> SegmentStore {
    let mut store = small_log(disk);
    store.begin(1, &StoredSnapshot::default(), HardState::default()).unwrap();
    store
}
