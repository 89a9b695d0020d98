//! What Raft must find again after a power cut, behind one small trait.
//!
//! What is appended is staged; one sync makes all of it durable, and whoever drives the store says
//! nothing of it before. A store never repairs silently: anything damaged is refused by name, with
//! what the operator can do.

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use novacron_protocol::wire::raft::{Entry, SnapshotMeta};
use novacron_protocol::{LogIndex, MemberId, Term};

/// A member's term, vote and commit index.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct HardState {
    pub term: Term,
    pub vote: Option<MemberId>,
    pub commit: LogIndex,
}

/// A snapshot of the state with where it stands in the log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StoredSnapshot {
    pub meta: SnapshotMeta,
    /// A sealed record of the state; empty when the member has none yet.
    pub state: Bytes,
}

/// Everything a store holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Loaded {
    pub hard_state: HardState,
    pub snapshot: StoredSnapshot,
    /// Entries after the snapshot, without gaps.
    pub entries: Vec<Entry>,
}

impl Loaded {
    /// Puts the parts together; what contradicts itself is refused by name. Entries that the
    /// snapshot covers are left out, and what it covers counts as committed: a commit index alone
    /// is not flushed.
    pub fn assemble(
        mut hard_state: HardState,
        snapshot: StoredSnapshot,
        mut entries: Vec<Entry>,
    ) -> Result<Self, String> {
        let base = snapshot.meta.index;
        if let Some(first) = entries.first().filter(|first| first.index > base.next()) {
            let last_missing = first.index.0 - 1;
            return Err(format!("entries {} to {last_missing}: missing", base.next()));
        }
        for pair in entries.windows(2) {
            let [before, entry] = pair else { continue };
            if entry.index != before.index.next() {
                return Err(format!("entry {}: entries before it are missing", entry.index));
            }
            if entry.term < before.term {
                return Err(format!("entry {}: its term goes back", entry.index));
            }
        }
        entries.retain(|entry| entry.index > base);
        let (last, term) = match entries.last() {
            Some(entry) => (entry.index, entry.term),
            None => (base, snapshot.meta.term),
        };
        hard_state.commit = hard_state.commit.max(base);
        if hard_state.commit > last {
            let commit = hard_state.commit;
            return Err(format!("entries up to {commit}: the log ends at {last}"));
        }
        if hard_state.term < term {
            let own = hard_state.term;
            return Err(format!("the hard state: term {own} is behind the log's {term}"));
        }
        Ok(Self { hard_state, snapshot, entries })
    }
}

/// Why a log cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The disk did not do what it was told. The member must stop: a retried sync may lie.
    #[error("cannot write the log: {0}")]
    Failed(String),
    /// What is on disk is not what was written.
    #[error(
        "the log in {} is damaged ({what}); this member must not vote with it. Stop it. If other \
         members run, remove it from the cluster (`novacron member remove`), move its data \
         directory away and join again. If it is the only member, its log is all there is: \
         restore the data directory from a backup",
        path.display()
    )]
    Corrupt { path: PathBuf, what: String },
    /// A newer release wrote it.
    #[error("cannot read the log in {}: {detail}", path.display())]
    TooNew { path: PathBuf, detail: String },
    #[error("cannot open the log in {}: {detail}", path.display())]
    Unavailable { path: PathBuf, detail: String },
}

/// A durable log. Used by one thread.
pub trait LogStore: Send + std::fmt::Debug {
    /// Everything that was kept, verified. Called once, before anything else.
    fn load(&mut self) -> Result<Loaded, StoreError>;

    /// Stages `entries`, and `hard_state` when given, for the next [`Self::sync`]. Entries from the
    /// first of `entries` on that were kept before are replaced.
    fn append(&mut self, entries: &[Entry], hard_state: Option<HardState>);

    /// Has everything staged on disk when it returns.
    fn sync(&mut self) -> Result<(), StoreError>;

    /// Replaces everything by a snapshot from the leader, durably.
    fn install_snapshot(
        &mut self,
        snapshot: &StoredSnapshot,
        hard_state: HardState,
    ) -> Result<(), StoreError>;

    /// Where snapshots of the member's own making are kept: they take long, so on another thread.
    fn snapshots(&self) -> Arc<dyn SnapshotStore>;

    /// Stages that the snapshot, which is kept, counts from now on, and that entries up to and
    /// including `cut` may be dropped.
    fn compact(&mut self, snapshot: &SnapshotMeta, cut: LogIndex);
}

/// Keeps snapshots beside the log.
pub trait SnapshotStore: Send + Sync + std::fmt::Debug {
    /// Has the snapshot on disk when it returns. It counts only from [`LogStore::compact`] on.
    fn save(&self, snapshot: &StoredSnapshot) -> Result<(), StoreError>;
}
