//! The newest vote once more, in a small file beside the log.
//!
//! A log whose end is gone (a file that somebody put back from an older copy, a disk that lied about
//! a sync) looks like one that always ended there, and a member that votes with it can elect a leader
//! that lacks what was committed. The mark says what the log must hold at least. It is written after
//! the log, at each new vote and each snapshot: rare enough that its own syncs cost nothing.

use std::io;
use std::sync::Arc;

use novacron_protocol::LogIndex;
use novacron_protocol::record::{self, RecordError};

use super::disk::{self, Disk};
use super::store::{HardState, Loaded};

/// Newest format of the mark this build writes and reads.
const FORMAT: u16 = 1;
pub(super) const NAME: &str = "mark";

/// The mark of one log.
#[derive(Debug)]
pub(super) struct Mark {
    disk: Arc<dyn Disk>,
    /// What is on disk; a default one is not.
    kept: HardState,
}

/// A mark that does not say what the log must hold.
#[derive(Debug, thiserror::Error)]
pub(super) enum MarkError {
    #[error("the mark beside it: {0}")]
    File(#[from] io::Error),
    #[error("the mark beside it: {0}")]
    Record(#[from] RecordError),
}

impl Mark {
    pub(super) fn new(disk: Arc<dyn Disk>) -> Self {
        Self { disk, kept: HardState::default() }
    }

    pub(super) fn read(&mut self) -> Result<(), MarkError> {
        self.kept = record::open(FORMAT, &self.disk.read(NAME)?)?;
        Ok(())
    }

    /// Whether a log with this hard state must be marked.
    pub(super) fn is_behind(&self, hard_state: HardState) -> bool {
        (hard_state.term, hard_state.vote) != (self.kept.term, self.kept.vote)
    }

    /// Makes it durable that the log holds `hard_state` and every entry up to its commit index.
    pub(super) fn keep(&mut self, hard_state: HardState) -> io::Result<()> {
        let bytes = record::seal(FORMAT, &hard_state).map_err(io::Error::other)?;
        disk::replace(&*self.disk, NAME, &bytes)?;
        self.kept = hard_state;
        Ok(())
    }

    /// Keeps that every entry up to `commit` is in the log.
    pub(super) fn keep_commit(&mut self, commit: LogIndex) -> io::Result<()> {
        self.keep(HardState { commit: commit.max(self.kept.commit), ..self.kept })
    }

    /// What of `loaded` is not as it was when the mark was made, if anything.
    pub(super) fn missing(&self, loaded: &Loaded) -> Option<String> {
        let (kept, found) = (self.kept, loaded.hard_state);
        let last = loaded.entries.last().map_or(loaded.snapshot.meta.index, |entry| entry.index);
        let vote_is_lost =
            found.term == kept.term && kept.vote.is_some() && found.vote != kept.vote;
        if found.term < kept.term || vote_is_lost {
            Some(format!("its newest vote, of term {}, is missing", kept.term))
        } else if last < kept.commit {
            Some(format!("entries up to {}: the log ends at {last}", kept.commit))
        } else {
            None
        }
    }
}
