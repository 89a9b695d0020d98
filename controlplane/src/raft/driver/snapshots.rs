//! Snapshots of the member's own making: serialised and written on a thread of their own, from a
//! clone of the state.

use std::sync::Arc;
use std::time::Instant;

use novacron_protocol::LogIndex;
use novacron_protocol::Term;
use novacron_protocol::wire::raft::SnapshotMeta;

use super::{Driver, DriverError, Outbound};
use crate::raft::convert;
use crate::raft::handle::{Input, SnapshotFault};
use crate::raft::store::{Loaded, SnapshotStore, StoredSnapshot};

/// Entries weigh this much more than the last snapshot before the next is made: what snapshots cost
/// stays a fraction of what writing costs, however large the state is.
const WEIGHT: u64 = 2;
/// Entries of this weight are cut in any case: they are in memory, and a start has to read them.
const LOG_BYTES_MAX: u64 = 8 << 20;

/// When to make the next snapshot, and where it goes.
#[derive(Debug)]
pub(super) struct SnapshotMaker {
    store: Arc<dyn SnapshotStore>,
    is_under_way: bool,
    /// The newest index of which one was tried.
    tried: LogIndex,
    /// Bytes of the last one.
    last_bytes: u64,
}

impl SnapshotMaker {
    pub(super) fn new(loaded: &Loaded, store: Arc<dyn SnapshotStore>) -> Self {
        let last_bytes = loaded.snapshot.state.len() as u64;
        Self { store, is_under_way: false, tried: LogIndex(0), last_bytes }
    }

    pub(super) fn note_installed(&mut self, snapshot: &StoredSnapshot) {
        self.last_bytes = snapshot.state.len() as u64;
    }
}

impl<O: Outbound> Driver<O> {
    pub(super) fn make_snapshot_when_due(&mut self) {
        let applied = self.state.applied();
        let memory = self.node.store();
        let newest = memory.snapshot_index().max(self.snapshots.tried);
        let since = applied.0.saturating_sub(newest.0);
        if self.snapshots.is_under_way || since == 0 {
            return;
        }
        let outweighs = memory.bytes() >= (self.snapshots.last_bytes * WEIGHT).min(LOG_BYTES_MAX);
        let is_due = since >= self.options.snapshot_every && outweighs;
        if !is_due && !memory.take_snapshot_wanted() {
            return;
        }
        let Ok(term) = raft::Storage::term(self.node.store(), applied.0) else { return };
        let configuration = convert::configuration_to_wire(self.node.store().configuration());
        let meta = SnapshotMeta { index: applied, term: Term(term), configuration };
        self.make_snapshot(meta);
    }

    fn make_snapshot(&mut self, meta: SnapshotMeta) {
        self.snapshots.is_under_way = true;
        self.snapshots.tried = meta.index;
        let (state, inbox) = (self.state.clone(), self.inbox_tx.clone());
        let (store, metrics) = (Arc::clone(&self.snapshots.store), Arc::clone(&self.metrics));
        std::thread::spawn(move || {
            let began = Instant::now();
            let made = state.to_snapshot().map_err(SnapshotFault::State).and_then(|state| {
                let snapshot = StoredSnapshot { meta, state: state.into() };
                store.save(&snapshot).map_err(SnapshotFault::Disk)?;
                Ok(snapshot)
            });
            metrics.snapshots.observe(began.elapsed());
            let _ = inbox.send(Input::SnapshotMade(made));
        });
    }

    /// A state too large for a snapshot is not fatal: the log is still whole. A disk that fails is.
    pub(super) fn keep_snapshot(
        &mut self,
        made: Result<StoredSnapshot, SnapshotFault>,
    ) -> Result<(), DriverError> {
        self.snapshots.is_under_way = false;
        let snapshot = match made {
            Ok(snapshot) => snapshot,
            Err(SnapshotFault::Disk(error)) => return Err(error.into()),
            Err(SnapshotFault::State(error)) => {
                tracing::error!(%error, "cannot make a snapshot; the log grows");
                return Ok(());
            }
        };
        if snapshot.meta.index <= self.node.store().snapshot_index() {
            return Ok(());
        }
        let cut = LogIndex(snapshot.meta.index.0.saturating_sub(self.options.keep_entries));
        self.log.compact(snapshot.meta.clone(), cut);
        tracing::debug!(index = %snapshot.meta.index, "made a snapshot");
        self.snapshots.last_bytes = snapshot.state.len() as u64;
        self.metrics.note_snapshot(self.started.elapsed());
        self.node.mut_store().compact(snapshot, cut);
        Ok(())
    }
}
