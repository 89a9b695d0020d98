//! Snapshots, each in a file of its own that is whole or not there.
//!
//! ```text
//! | length of meta: u32 | meta (sealed record) | the state (sealed record) |
//! ```
//! The log names the one that counts; a file that it does not name is a leftover.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use novacron_protocol::record::{self, RecordError};
use novacron_protocol::wire::raft::SnapshotMeta;

use super::record::Place;
use crate::raft::disk::{self, Disk};
use crate::raft::store::{SnapshotStore, StoreError, StoredSnapshot};

/// Newest format of what is around the state that this build writes and reads.
const FORMAT: u16 = 1;
const SUFFIX: &str = ".snapshot";

/// The snapshots of one log. Used beside it, from any thread.
#[derive(Debug, Clone)]
pub(super) struct SnapshotFiles {
    disk: Arc<dyn Disk>,
}

/// Why a snapshot that the log names cannot be had.
#[derive(Debug, thiserror::Error)]
pub(super) enum SnapshotDamage {
    #[error(transparent)]
    File(#[from] io::Error),
    #[error(transparent)]
    Record(#[from] RecordError),
    #[error("it is cut short")]
    Short,
    #[error("it says that it is another")]
    Another,
}

impl SnapshotFiles {
    pub(super) fn new(disk: Arc<dyn Disk>) -> Self {
        Self { disk }
    }

    /// The snapshot at `place`; a log without one stands at 0.
    pub(super) fn load(&self, place: Place) -> Result<StoredSnapshot, SnapshotDamage> {
        if place == Place::default() {
            return Ok(StoredSnapshot::default());
        }
        let bytes = Bytes::from(self.disk.read(&file_name(place))?);
        let [l0, l1, l2, l3, ..] = *bytes else { return Err(SnapshotDamage::Short) };
        let meta_len = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
        let state_at = meta_len.checked_add(4).filter(|at| *at <= bytes.len());
        let state_at = state_at.ok_or(SnapshotDamage::Short)?;
        let meta: SnapshotMeta = record::open(FORMAT, &bytes[4..state_at])?;
        if (meta.index, meta.term) != (place.index, place.term) {
            return Err(SnapshotDamage::Another);
        }
        let state = bytes.slice(state_at..);
        // Of which version the state is, is for whoever reads it.
        record::verify(u16::MAX, &state)?;
        Ok(StoredSnapshot { meta, state })
    }

    /// Removes snapshots from before `place`. A later one may be on its way: it is left alone.
    pub(super) fn remove_older(&self, place: Place) {
        let kept = file_name(place);
        self.remove(|name| name.ends_with(SUFFIX) && name < kept.as_str());
    }

    /// Removes every snapshot but that at `place`: at a start nothing else is on its way.
    pub(super) fn remove_others(&self, place: Place) {
        let kept = file_name(place);
        self.remove(|name| name.contains(SUFFIX) && name != kept);
    }

    /// As far as it can be: leftovers do no harm.
    fn remove(&self, is_old: impl Fn(&str) -> bool) {
        let names = self.disk.names().unwrap_or_default();
        for name in names.iter().filter(|name| is_old(name)) {
            if let Err(error) = self.disk.remove(name) {
                tracing::warn!(%name, %error, "cannot remove an old snapshot");
            }
        }
    }

    pub(super) fn write(&self, snapshot: &StoredSnapshot) -> io::Result<()> {
        let place = place_of(snapshot);
        if place == Place::default() {
            return Ok(());
        }
        let meta = record::seal(FORMAT, &snapshot.meta).map_err(io::Error::other)?;
        let meta_len = u32::try_from(meta.len()).map_err(io::Error::other)?;
        let content = [&meta_len.to_le_bytes(), meta.as_slice(), &snapshot.state].concat();
        disk::replace(&*self.disk, &file_name(place), &content)
    }
}

impl SnapshotStore for SnapshotFiles {
    fn save(&self, snapshot: &StoredSnapshot) -> Result<(), StoreError> {
        self.write(snapshot).map_err(|error| StoreError::Failed(error.to_string()))
    }
}

pub(super) fn place_of(snapshot: &StoredSnapshot) -> Place {
    Place { index: snapshot.meta.index, term: snapshot.meta.term }
}

pub(super) fn file_name(place: Place) -> String {
    format!("{:020}-{}{SUFFIX}", place.index.0, place.term.0)
}
