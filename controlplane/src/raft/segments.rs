//! The log in files of our own: segments of sectors, written forward only.
//!
//! ```text
//! 0000000007.segment  | beginning | batch 1 | batch 2 | ... | blank |    one write, one sync each
//! 0000000008.segment  | beginning | batch 1 | ...
//! spare-1             zeros, or an old segment: what the next one is made of
//! 0000...412-3.snapshot, mark
//! ```
//! What is appended is staged, and becomes durable with the next [`LogStore::sync`]: one write and
//! one `fdatasync` into space that is allocated already. Nothing that was synced is written again, so
//! a power cut can only tear the last write, which nobody was promised. Entries are cut off by a
//! record, never by going back; segments that a snapshot covers are removed, oldest first.
//!
//! A write that fails, or a sync, ends the store: a retried sync may lie.

mod record;
mod recovery;
mod sector;
mod snapshots;
mod spares;
#[cfg(test)]
mod tests;
mod writing;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use novacron_protocol::LogIndex;
use novacron_protocol::wire::raft::{Entry, SnapshotMeta};

use self::record::{Place, Standing};
pub(super) use self::sector::SECTOR_BYTES;
use self::snapshots::{SnapshotFiles, place_of};
use self::spares::Spares;
use self::writing::Writing;
use super::disk::{Directory, Disk};
use super::mark::{Mark, MarkError};
use super::sled_log::SledLog;
use super::store::{HardState, Loaded, LogStore, SnapshotStore, StoreError, StoredSnapshot};
use novacron_protocol::record::RecordError;

/// Sizes of a log's parts.
#[derive(Debug, Clone, Copy)]
struct Sizes {
    /// Sectors of a segment.
    segment_sectors: u32,
    /// Bytes of records in one write; more are written one after the other. Far below a segment.
    batch_bytes: usize,
}

/// Segments of 16 MiB hold some 50,000 small entries; two or three are in use.
const SIZES: Sizes = Sizes { segment_sectors: 32_768, batch_bytes: 4 << 20 };

/// What all parts of a log share.
#[derive(Debug)]
struct Files {
    disk: Arc<dyn Disk>,
    sizes: Sizes,
    spares: Spares,
}

/// A [`LogStore`] in a directory of its own.
#[derive(Debug)]
pub struct SegmentStore {
    path: PathBuf,
    files: Files,
    snapshots: SnapshotFiles,
    mark: Mark,
    life: Life,
}

#[derive(Debug)]
enum Life {
    /// Not read yet.
    Closed,
    Open(Box<Writing>),
    /// A write or a sync failed.
    Failed(String),
}

impl SegmentStore {
    /// Makes the log that a member begins with. Only a log made so can be opened: one that is gone
    /// is not taken for a new one, because its member may have voted.
    pub fn create(
        path: &Path,
        snapshot: &StoredSnapshot,
        hard_state: HardState,
    ) -> Result<Self, StoreError> {
        let disk = Directory::open(path).map_err(|error| unavailable(path, &error))?;
        let spares = Spares::in_background;
        let mut store = Self::on(Arc::new(disk), path, SIZES, spares);
        store.begin(rand::random(), snapshot, hard_state)?;
        Ok(store)
    }

    /// Opens the log in `path`.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        if !path.exists() {
            return Err(StoreError::Corrupt { path: path.to_owned(), what: "it is gone".into() });
        }
        let disk = Directory::open(path).map_err(|error| unavailable(path, &error))?;
        let mut store = Self::on(Arc::new(disk), path, SIZES, Spares::in_background);
        if let Some(old) = SledLog::find(path)? {
            store.import(old)?;
        }
        Ok(store)
    }

    /// Takes over a log that is kept in sled. Until that is put aside, what is here is unfinished.
    fn import(&mut self, old: SledLog) -> Result<(), StoreError> {
        let loaded = old.load()?;
        self.read_mark()?;
        if let Some(what) = self.mark.missing(&loaded) {
            return Err(StoreError::Corrupt { path: self.path.clone(), what });
        }
        let failed = |error: io::Error| StoreError::Failed(error.to_string());
        writing::remove_segments(&*self.files.disk).map_err(failed)?;
        let commit = loaded.snapshot.meta.index;
        let hard_state = HardState { commit, ..loaded.hard_state };
        self.begin(rand::random(), &loaded.snapshot, hard_state)?;
        self.append(&loaded.entries, Some(loaded.hard_state));
        self.sync()?;
        old.retire().map_err(failed)?;
        self.life = Life::Closed;
        tracing::info!(entries = loaded.entries.len(), "took the log over from sled");
        Ok(())
    }

    fn on(
        disk: Arc<dyn Disk>,
        path: &Path,
        sizes: Sizes,
        spares: fn(Arc<dyn Disk>, u32) -> Spares,
    ) -> Self {
        let spares = spares(Arc::clone(&disk), sizes.segment_sectors);
        Self {
            path: path.to_owned(),
            snapshots: SnapshotFiles::new(Arc::clone(&disk)),
            mark: Mark::new(Arc::clone(&disk)),
            files: Files { disk, sizes, spares },
            life: Life::Closed,
        }
    }

    /// Writes what a log begins with; the segment comes last, because with it there is a log.
    fn begin(
        &mut self,
        log: u64,
        snapshot: &StoredSnapshot,
        hard_state: HardState,
    ) -> Result<(), StoreError> {
        let place = place_of(snapshot);
        let standing = Standing { last: place.index, hard_state, snapshot: place };
        let begun = (|| {
            self.snapshots.write(snapshot)?;
            self.mark.keep(hard_state)?;
            Writing::begin(&self.files, log, standing)
        })();
        let writing = begun.map_err(|error: io::Error| StoreError::Failed(error.to_string()))?;
        self.life = Life::Open(Box::new(writing));
        Ok(())
    }

    fn read_mark(&mut self) -> Result<(), StoreError> {
        self.mark.read().map_err(|error| match error {
            MarkError::Record(RecordError::Version { .. }) => {
                StoreError::TooNew { path: self.path.clone(), detail: error.to_string() }
            }
            other => StoreError::Corrupt { path: self.path.clone(), what: other.to_string() },
        })
    }

    /// Does `work` on an open log; when it fails, nothing is written any more.
    fn write(
        &mut self,
        work: impl FnOnce(&mut Writing, &Files, &SnapshotFiles, &mut Mark) -> io::Result<()>,
    ) -> Result<(), StoreError> {
        let why = match &mut self.life {
            Life::Open(writing) => {
                match work(writing, &self.files, &self.snapshots, &mut self.mark) {
                    Ok(()) => return Ok(()),
                    Err(error) => error.to_string(),
                }
            }
            Life::Failed(why) => why.clone(),
            Life::Closed => unreachable!("a log is read before it is written"),
        };
        self.life = Life::Failed(why.clone());
        Err(StoreError::Failed(why))
    }
}

impl LogStore for SegmentStore {
    fn load(&mut self) -> Result<Loaded, StoreError> {
        self.read_mark()?;
        let recovered = recovery::recover(&self.files, &self.path)?;
        let corrupt = |what| StoreError::Corrupt { path: self.path.clone(), what };
        let place = recovered.standing.snapshot;
        let snapshot = self
            .snapshots
            .load(place)
            .map_err(|damage| corrupt(format!("{}: {damage}", snapshots::file_name(place))))?;
        let hard_state = recovered.standing.hard_state;
        let (writing, entries) = recovered.into_writing(&self.files).map_err(|error| {
            StoreError::Unavailable { path: self.path.clone(), detail: error.to_string() }
        })?;
        let loaded = Loaded::assemble(hard_state, snapshot, entries).map_err(corrupt)?;
        if let Some(what) = self.mark.missing(&loaded) {
            return Err(corrupt(what));
        }
        self.snapshots.remove_others(place);
        self.life = Life::Open(Box::new(writing));
        Ok(loaded)
    }

    fn append(&mut self, entries: &[Entry], hard_state: Option<HardState>) {
        if let Life::Open(writing) = &mut self.life {
            writing.stage(entries, hard_state, self.files.sizes);
        }
    }

    fn sync(&mut self) -> Result<(), StoreError> {
        self.write(|writing, files, snapshots, mark| {
            let cut = writing.sync(files)?;
            let standing = writing.standing();
            if mark.is_behind(standing.hard_state) {
                mark.keep(standing.hard_state)?;
            }
            if let Some(cut) = cut {
                mark.keep_commit(standing.snapshot.index)?;
                snapshots.remove_older(standing.snapshot);
                writing.retire(files, cut);
            }
            Ok(())
        })
    }

    fn install_snapshot(
        &mut self,
        snapshot: &StoredSnapshot,
        hard_state: HardState,
    ) -> Result<(), StoreError> {
        self.write(|writing, files, snapshots, _| {
            snapshots.write(snapshot)?;
            writing.stage_installed(place_of(snapshot), hard_state, files.sizes);
            Ok(())
        })?;
        self.sync()
    }

    fn snapshots(&self) -> Arc<dyn SnapshotStore> {
        Arc::new(self.snapshots.clone())
    }

    fn compact(&mut self, snapshot: &SnapshotMeta, cut: LogIndex) {
        if let Life::Open(writing) = &mut self.life {
            let place = Place { index: snapshot.index, term: snapshot.term };
            writing.stage_kept(place, cut, self.files.sizes);
        }
    }
}

fn unavailable(path: &Path, error: &io::Error) -> StoreError {
    StoreError::Unavailable { path: path.to_owned(), detail: error.to_string() }
}
