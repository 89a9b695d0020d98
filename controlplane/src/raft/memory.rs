//! The log as raft-rs reads it: all in memory, so that reading can never fail.
//!
//! raft-rs panics when a read of its storage fails, so nothing is read from disk while it runs. What
//! is here is durable, or on its way to the disk: Raft itself keeps the two apart.

use std::cell::Cell;
use std::collections::VecDeque;

use novacron_protocol::LogIndex;
use raft::eraftpb::{ConfState, Entry, HardState, Snapshot};
use raft::{GetEntriesContext, RaftState, Storage, StorageError};

use super::convert;
use super::store::{Loaded, StoredSnapshot};

pub(super) struct MemoryLog {
    hard_state: HardState,
    /// The newest snapshot: what a follower that needs an older entry is sent.
    snapshot: StoredSnapshot,
    /// Index and term before the first entry kept.
    base: (u64, u64),
    entries: VecDeque<Entry>,
    /// What the entries weigh.
    bytes: u64,
    /// The configuration as of what is applied.
    configuration: ConfState,
    /// A member needs a snapshot that does not exist yet.
    snapshot_wanted: Cell<bool>,
}

impl MemoryLog {
    pub(super) fn new(loaded: &Loaded) -> Self {
        let meta = &loaded.snapshot.meta;
        let entries: VecDeque<Entry> =
            loaded.entries.iter().cloned().map(convert::entry_from_wire).collect();
        Self {
            bytes: entries.iter().map(weight).sum(),
            hard_state: convert::hard_state_from_wire(loaded.hard_state),
            snapshot: loaded.snapshot.clone(),
            base: (meta.index.0, meta.term.0),
            entries,
            configuration: convert::configuration_from_wire(&meta.configuration),
            snapshot_wanted: Cell::new(false),
        }
    }

    /// Whether a newer snapshot is asked for; asking once is enough.
    pub(super) fn take_snapshot_wanted(&self) -> bool {
        self.snapshot_wanted.take()
    }

    pub(super) fn hard_state(&self) -> &HardState {
        &self.hard_state
    }

    pub(super) fn set_hard_state(&mut self, state: HardState) {
        self.hard_state = state;
    }

    /// What the entries weigh.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn configuration(&self) -> &ConfState {
        &self.configuration
    }

    pub(super) fn set_configuration(&mut self, configuration: ConfState) {
        self.configuration = configuration;
    }

    pub(super) fn snapshot_index(&self) -> LogIndex {
        self.snapshot.meta.index
    }

    /// Appends, replacing what conflicts.
    pub(super) fn append(&mut self, entries: &[Entry]) {
        let Some(first) = entries.first() else { return };
        let keep = first.index.saturating_sub(self.base.0 + 1);
        let keep = usize::try_from(keep).unwrap_or(usize::MAX).min(self.entries.len());
        self.bytes -= self.entries.drain(keep..).map(|entry| weight(&entry)).sum::<u64>();
        self.bytes += entries.iter().map(weight).sum::<u64>();
        self.entries.extend(entries.iter().cloned());
    }

    /// Takes the place of everything that a snapshot from the leader covers.
    pub(super) fn install(&mut self, snapshot: StoredSnapshot) {
        let meta = &snapshot.meta;
        self.entries.clear();
        self.bytes = 0;
        self.base = (meta.index.0, meta.term.0);
        self.configuration = convert::configuration_from_wire(&meta.configuration);
        self.hard_state.commit = self.hard_state.commit.max(meta.index.0);
        self.hard_state.term = self.hard_state.term.max(meta.term.0);
        self.snapshot = snapshot;
    }

    /// Notes a snapshot of our own, and drops entries up to and including `index`.
    pub(super) fn compact(&mut self, snapshot: StoredSnapshot, index: LogIndex) {
        self.snapshot = snapshot;
        self.snapshot_wanted.set(false);
        while self.entries.front().is_some_and(|entry| entry.index <= index.0) {
            if let Some(entry) = self.entries.pop_front() {
                self.bytes -= weight(&entry);
                self.base = (entry.index, entry.term);
            }
        }
    }

    fn last(&self) -> u64 {
        self.entries.back().map_or(self.base.0, |entry| entry.index)
    }
}

impl Storage for MemoryLog {
    fn initial_state(&self) -> raft::Result<RaftState> {
        Ok(RaftState::new(self.hard_state.clone(), self.configuration.clone()))
    }

    fn entries(
        &self,
        low: u64,
        high: u64,
        max_size: impl Into<Option<u64>>,
        _context: GetEntriesContext,
    ) -> raft::Result<Vec<Entry>> {
        if low <= self.base.0 {
            return Err(StorageError::Compacted.into());
        }
        let at = |index: u64| usize::try_from(index - self.base.0 - 1).unwrap_or(usize::MAX);
        let end = at(high).min(self.entries.len());
        let budget = max_size.into().unwrap_or(u64::MAX);
        let mut used = 0_u64;
        let within = |entry: &&Entry| {
            let first = used == 0;
            used += weight(entry);
            first || used <= budget
        };
        Ok(self.entries.range(at(low).min(end)..end).take_while(within).cloned().collect())
    }

    fn term(&self, index: u64) -> raft::Result<u64> {
        if index == self.base.0 {
            return Ok(self.base.1);
        }
        if index < self.base.0 {
            return Err(StorageError::Compacted.into());
        }
        let at = usize::try_from(index - self.base.0 - 1).unwrap_or(usize::MAX);
        self.entries.get(at).map(|entry| entry.term).ok_or(StorageError::Unavailable.into())
    }

    fn first_index(&self) -> raft::Result<u64> {
        Ok(self.base.0 + 1)
    }

    fn last_index(&self) -> raft::Result<u64> {
        Ok(self.last())
    }

    /// With its body, so that a message always has the one that it speaks of. A member takes no
    /// snapshot from before it was in the group: a newer one is asked for.
    fn snapshot(&self, request_index: u64, to: u64) -> raft::Result<Snapshot> {
        let StoredSnapshot { meta, state } = &self.snapshot;
        let configuration = &meta.configuration;
        let mut ids = configuration
            .voters
            .iter()
            .chain(&configuration.learners)
            .chain(&configuration.voters_outgoing);
        if meta.index.0 < request_index || !ids.any(|id| id.0 == to) {
            self.snapshot_wanted.set(true);
            return Err(StorageError::SnapshotTemporarilyUnavailable.into());
        }
        Ok(convert::snapshot_from_wire(meta, state.clone()))
    }
}

/// Bytes of an entry with what is around its content, about.
fn weight(entry: &Entry) -> u64 {
    (entry.data.len() + entry.context.len() + 64) as u64
}
