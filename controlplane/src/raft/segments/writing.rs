//! A log that is being written: what is staged, where it goes, what becomes of old segments.

use std::collections::VecDeque;
use std::io;

use novacron_protocol::LogIndex;
use novacron_protocol::wire::raft::Entry;

use super::record::{self, Beginning, Place, Record, Standing, Vote};
use super::sector::{self, PAYLOAD_BYTES, SECTOR_BYTES};
use super::{Files, Sizes};
use crate::raft::disk::{Disk, DiskFile};
use crate::raft::store::HardState;

/// What it takes to write on.
#[derive(Debug)]
pub(super) struct Writing {
    log: u64,
    segment: Segment,
    /// Segments before it, oldest first.
    older: VecDeque<Older>,
    /// Where the log stands once everything staged is written, and where it stands on disk.
    standing: Standing,
    written: Standing,
    staged: Vec<Batch>,
    /// Entries up to here may go once what is staged is durable.
    cut: Option<LogIndex>,
    /// Reused from write to write.
    frames: Vec<u8>,
}

/// The segment that is written.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) file: Box<dyn DiskFile>,
    pub(super) sequence: u32,
    pub(super) sectors: u32,
    /// Where the next batch goes, and its number.
    pub(super) next_sector: u32,
    pub(super) next_batch: u32,
    /// The last entry that it holds or held.
    pub(super) last: LogIndex,
}

/// A segment that is full.
#[derive(Debug, Clone, Copy)]
pub(super) struct Older {
    pub(super) sequence: u32,
    pub(super) sectors: u32,
    pub(super) last: LogIndex,
}

/// Records of one write.
#[derive(Debug)]
struct Batch {
    /// Begins with its own length.
    content: Vec<u8>,
    /// Where the log stands after it, and the last entry in it.
    standing: Standing,
    last: LogIndex,
}

impl Writing {
    /// Begins a log with its first segment.
    pub(super) fn begin(files: &Files, log: u64, standing: Standing) -> io::Result<Self> {
        let segment = Segment::begin(files, log, 1, 0, standing)?;
        Ok(Self::resume(log, segment, VecDeque::new(), standing))
    }

    /// Goes on with a log that was read.
    pub(super) fn resume(
        log: u64,
        segment: Segment,
        older: VecDeque<Older>,
        standing: Standing,
    ) -> Self {
        let (staged, frames) = (Vec::new(), Vec::new());
        Self { log, segment, older, standing, written: standing, staged, cut: None, frames }
    }

    /// Where the log stands once everything staged is written.
    pub(super) fn standing(&self) -> Standing {
        self.standing
    }

    /// A vote comes before entries of its term, a commit index after what it speaks of: between two
    /// writes the log must make sense as well.
    pub(super) fn stage(&mut self, entries: &[Entry], hard_state: Option<HardState>, sizes: Sizes) {
        if let Some(hard_state) = hard_state {
            self.stage_vote(hard_state, sizes);
        }
        if let Some(first) = entries.first().filter(|first| first.index <= self.standing.last) {
            self.standing.last = LogIndex(first.index.0.saturating_sub(1));
            self.push(&Record::Cut(first.index), sizes);
        }
        for entry in entries {
            self.standing.last = entry.index;
            let batch = self.batch(sizes);
            record::push_entry(entry, &mut batch.content);
            batch.last = batch.last.max(entry.index);
        }
        if let Some(hard_state) = hard_state {
            self.stage_commit(hard_state, sizes);
        }
    }

    /// A durable snapshot of the member's own: what it covers, up to `cut`, may go after the sync.
    pub(super) fn stage_kept(&mut self, place: Place, cut: LogIndex, sizes: Sizes) {
        self.standing.snapshot = place;
        self.push(&Record::Kept(place), sizes);
        self.cut = self.cut.max(Some(cut));
    }

    /// A durable snapshot from the leader: no entry stays.
    pub(super) fn stage_installed(&mut self, place: Place, hard_state: HardState, sizes: Sizes) {
        self.stage_vote(hard_state, sizes);
        self.standing.last = place.index;
        self.standing.snapshot = place;
        self.push(&Record::Installed(place), sizes);
        self.stage_commit(hard_state, sizes);
        self.cut = Some(place.index);
        for older in &mut self.older {
            older.last = LogIndex(0);
        }
    }

    fn stage_vote(&mut self, hard_state: HardState, sizes: Sizes) {
        let HardState { term, vote, .. } = hard_state;
        let own = &mut self.standing.hard_state;
        if (own.term, own.vote) != (term, vote) {
            (own.term, own.vote) = (term, vote);
            self.push(&Record::Vote(Vote { term, vote }), sizes);
        }
    }

    fn stage_commit(&mut self, hard_state: HardState, sizes: Sizes) {
        if self.standing.hard_state.commit < hard_state.commit {
            self.standing.hard_state.commit = hard_state.commit;
            self.push(&Record::Commit(hard_state.commit), sizes);
        }
    }

    fn push(&mut self, record: &Record, sizes: Sizes) {
        record::push(record, &mut self.batch(sizes).content);
    }

    /// The batch that takes the next record, which brings the log to where it stands now.
    fn batch(&mut self, sizes: Sizes) -> &mut Batch {
        if self.staged.last().is_none_or(|batch| batch.content.len() >= sizes.batch_bytes) {
            self.staged.push(Batch::new());
        }
        let batch = self.staged.last_mut().expect("one was just made");
        batch.standing = self.standing;
        batch
    }

    /// Writes what is staged, each batch with a sync of its own. When it gives `Some`, entries up to
    /// there may go.
    pub(super) fn sync(&mut self, files: &Files) -> io::Result<Option<LogIndex>> {
        for batch in std::mem::take(&mut self.staged) {
            self.write(files, batch)?;
        }
        Ok(self.cut.take())
    }

    fn write(&mut self, files: &Files, batch: Batch) -> io::Result<()> {
        let batch = batch.sealed();
        let sectors = batch.content.len().div_ceil(PAYLOAD_BYTES) as u64;
        if u64::from(self.segment.next_sector) + sectors > u64::from(self.segment.sectors) {
            self.rotate(files)?;
        }
        let segment = &mut self.segment;
        self.frames.clear();
        let (life, number, place) = (segment.sequence, segment.next_batch, segment.next_sector);
        let count = sector::frame(life, number, place, &batch.content, &mut self.frames);
        segment.file.write_at(u64::from(place) * SECTOR_BYTES as u64, &self.frames)?;
        segment.file.sync()?;
        segment.next_sector += count;
        segment.next_batch += 1;
        segment.last = segment.last.max(batch.last);
        self.written = batch.standing;
        if self.frames.capacity() > FRAMES_KEPT_BYTES {
            self.frames = Vec::new();
        }
        Ok(())
    }

    fn rotate(&mut self, files: &Files) -> io::Result<()> {
        let full = &self.segment;
        let older = Older { sequence: full.sequence, sectors: full.sectors, last: full.last };
        let (sequence, batches) = (full.sequence + 1, full.next_batch - 1);
        self.segment = Segment::begin(files, self.log, sequence, batches, self.written)?;
        self.older.push_back(older);
        Ok(())
    }

    /// Lets go of segments all of whose entries are at or below `cut`, oldest first: between two of
    /// them the log must be whole as well.
    pub(super) fn retire(&mut self, files: &Files, cut: LogIndex) {
        while self.older.front().is_some_and(|oldest| oldest.last <= cut) {
            files.spares.retire(self.older.pop_front().expect("it was just looked at"));
        }
    }
}

impl Segment {
    /// Makes the segment of that number out of a spare; its name is durable when this returns.
    fn begin(
        files: &Files,
        log: u64,
        sequence: u32,
        batches_before: u32,
        standing: Standing,
    ) -> io::Result<Self> {
        let sectors = files.sizes.segment_sectors;
        let format = record::FORMAT;
        let beginning = Beginning { format, log, sequence, sectors, batches_before, standing };
        let spare = files.spares.take()?;
        let mut file = files.disk.open(&spare)?;
        let mut frames = Vec::new();
        sector::frame(sequence, 0, 0, &beginning.encode(), &mut frames);
        file.write_at(0, &frames)?;
        file.sync()?;
        files.disk.rename(&spare, &segment_name(sequence))?;
        files.disk.sync_names()?;
        files.spares.prepare();
        Ok(Self { file, sequence, sectors, next_sector: 1, next_batch: 1, last: LogIndex(0) })
    }
}

impl Batch {
    fn new() -> Self {
        Self { content: vec![0; 4], standing: Standing::default(), last: LogIndex(0) }
    }

    /// The whole content, its length in front.
    fn sealed(mut self) -> Self {
        let len = u32::try_from(self.content.len() - 4).expect("a batch is far below 4 GiB");
        self.content[..4].copy_from_slice(&len.to_le_bytes());
        self
    }
}

/// Removes all segments, newest first: the first is the last to go.
pub(super) fn remove_segments(disk: &dyn Disk) -> io::Result<()> {
    let mut numbers: Vec<u32> =
        disk.names()?.iter().filter_map(|name| segment_number(name)).collect();
    numbers.sort_unstable();
    for number in numbers.into_iter().rev() {
        disk.remove(&segment_name(number))?;
    }
    disk.sync_names()
}

pub(super) fn segment_name(sequence: u32) -> String {
    format!("{sequence:010}{SEGMENT_SUFFIX}")
}

/// The number of the segment with this name, if it is one.
pub(super) fn segment_number(name: &str) -> Option<u32> {
    let number = name.strip_suffix(SEGMENT_SUFFIX)?.parse().ok()?;
    (segment_name(number) == name).then_some(number)
}

const SEGMENT_SUFFIX: &str = ".segment";
/// A buffer that a rare large batch has blown up beyond this is given back.
const FRAMES_KEPT_BYTES: usize = 1 << 20;
