//! Reading a log after a stop of any kind.
//!
//! What a power cut can leave, and only that, is taken: the last write of the last segment may have
//! sectors that did not get there. It was promised to nobody, and is wiped before anything is written
//! after it. Everything else that is not as it was written is refused, with file and offset: a damaged
//! sector wherever it is, a gap before something that is there, a segment that is gone.

use std::collections::VecDeque;
use std::io;
use std::ops::Range;
use std::path::Path;

use novacron_protocol::LogIndex;
use novacron_protocol::wire::raft::Entry;

use super::Files;
use super::record::{self, Beginning, MalformedRecord, Record, Standing};
use super::sector::{self, PAYLOAD_BYTES, SECTOR_BYTES, Sector};
use super::writing::{Older, Segment, Writing, segment_name, segment_number};
use crate::raft::store::StoreError;

/// What a log holds, and where it goes on.
#[derive(Debug)]
pub(super) struct Recovered {
    pub(super) standing: Standing,
    pub(super) entries: Vec<Entry>,
    log: u64,
    older: VecDeque<Older>,
    end: End,
}

/// Where the last segment ends.
#[derive(Debug)]
struct End {
    segment: Older,
    next_sector: u32,
    next_batch: u32,
    /// Sectors of a write that did not get there as a whole.
    torn: Range<u32>,
}

/// Why a segment is not taken.
#[derive(Debug)]
enum Refusal {
    Damaged { sector: u32, why: String },
    TooNew(String),
}

/// Reads all segments.
pub(super) fn recover(files: &Files, path: &Path) -> Result<Recovered, StoreError> {
    let corrupt = |what| StoreError::Corrupt { path: path.to_owned(), what };
    let unreadable = |error: io::Error| StoreError::Unavailable {
        path: path.to_owned(),
        detail: error.to_string(),
    };
    let mut numbers: Vec<u32> =
        files.disk.names().map_err(unreadable)?.iter().filter_map(|n| segment_number(n)).collect();
    numbers.sort_unstable();
    for pair in numbers.windows(2) {
        if pair[1] != pair[0] + 1 {
            return Err(corrupt(format!("{} is missing", segment_name(pair[0] + 1))));
        }
    }
    let mut replay = None;
    for (number, is_last) in numbers.iter().rev().enumerate().rev().map(|(left, n)| (*n, left == 0))
    {
        let name = segment_name(number);
        let bytes = files.disk.read(&name).map_err(unreadable)?;
        let position = if is_last { Position::Last } else { Position::Inner };
        let read = Replay::read_segment(replay, number, &bytes, position);
        replay = Some(read.map_err(|refusal| match refusal {
            Refusal::Damaged { sector, why } => {
                let offset = u64::from(sector) * SECTOR_BYTES as u64;
                corrupt(format!("{name} at byte {offset}: {why}"))
            }
            Refusal::TooNew(why) => {
                StoreError::TooNew { path: path.to_owned(), detail: format!("{name} has {why}") }
            }
        })?);
    }
    let replay = replay.ok_or_else(|| corrupt("it is gone".to_owned()))?;
    Ok(Recovered {
        standing: replay.standing,
        entries: replay.entries,
        log: replay.log,
        older: replay.older,
        end: replay.end,
    })
}

impl Recovered {
    /// Goes on where the log ends; gives the entries as well.
    pub(super) fn into_writing(self, files: &Files) -> io::Result<(Writing, Vec<Entry>)> {
        let End { segment, next_sector, next_batch, torn } = self.end;
        let mut file = files.disk.open(&segment_name(segment.sequence))?;
        if !torn.is_empty() {
            tracing::info!(
                sectors = torn.len(),
                "wiped a write that a power cut or a kill has torn"
            );
            let zeros = vec![0; torn.len() * SECTOR_BYTES];
            file.write_at(u64::from(torn.start) * SECTOR_BYTES as u64, &zeros)?;
            file.sync()?;
        }
        files.spares.remove_leftovers();
        files.spares.prepare();
        let Older { sequence, sectors, last } = segment;
        let segment = Segment { file, sequence, sectors, next_sector, next_batch, last };
        Ok((Writing::resume(self.log, segment, self.older, self.standing), self.entries))
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Position {
    Inner,
    Last,
}

/// The log as far as it was read.
#[derive(Debug)]
struct Replay {
    log: u64,
    standing: Standing,
    entries: Vec<Entry>,
    older: VecDeque<Older>,
    end: End,
}

impl Replay {
    fn read_segment(
        before: Option<Self>,
        number: u32,
        bytes: &[u8],
        position: Position,
    ) -> Result<Self, Refusal> {
        let beginning = read_beginning(number, bytes)?;
        let mut replay = match before {
            None => Self::begin(&beginning),
            Some(before) => before.follow(&beginning)?,
        };
        let mut reader = Reader { bytes, life: number, place: 1, batch: 1 };
        while let Some(content) = reader.next_batch()? {
            let refuse = |malformed| Refusal::from_malformed(reader.place, malformed);
            for record in record::parse(&content.records).map_err(refuse)? {
                let damaged = |why| Refusal::Damaged { sector: reader.place, why };
                replay.apply(record).map_err(damaged)?;
            }
            reader.place += content.sectors;
            reader.batch += 1;
        }
        let torn = reader.torn()?;
        if position == Position::Inner && !torn.is_empty() {
            let why = "a write is torn, and something was written after it";
            return Err(Refusal::Damaged { sector: torn.start, why: why.to_owned() });
        }
        replay.end.next_sector = reader.place;
        replay.end.next_batch = reader.batch;
        replay.end.torn = torn;
        Ok(replay)
    }

    fn begin(beginning: &Beginning) -> Self {
        Self {
            log: beginning.log,
            standing: beginning.standing,
            entries: Vec::new(),
            older: VecDeque::new(),
            end: End::of(beginning),
        }
    }

    /// A segment says where the one before it has ended.
    fn follow(mut self, beginning: &Beginning) -> Result<Self, Refusal> {
        let why = if beginning.log != self.log {
            "it is part of another log"
        } else if beginning.batches_before != self.end.next_batch - 1 {
            "the segment before it has lost its end"
        } else if beginning.standing != self.standing {
            "it does not follow the segment before it"
        } else {
            self.older.push_back(self.end.segment);
            self.end = End::of(beginning);
            return Ok(self);
        };
        Err(Refusal::Damaged { sector: 0, why: why.to_owned() })
    }

    fn apply(&mut self, record: Record) -> Result<(), String> {
        let standing = &mut self.standing;
        let hard_state = &mut standing.hard_state;
        match record {
            Record::Entry(entry) => {
                if entry.index != standing.last.next() {
                    return Err(format!("entry {} comes after {}", entry.index, standing.last));
                }
                standing.last = entry.index;
                self.end.segment.last = self.end.segment.last.max(entry.index);
                self.entries.push(entry);
            }
            Record::Vote(vote) => (hard_state.term, hard_state.vote) = (vote.term, vote.vote),
            Record::Commit(index) => {
                if index > standing.last || index < hard_state.commit {
                    return Err(format!("{index} is committed, of {}", standing.last));
                }
                hard_state.commit = index;
            }
            Record::Cut(from) => {
                if from <= hard_state.commit || from > standing.last {
                    return Err(format!("entries from {from} are cut off"));
                }
                standing.last = LogIndex(from.0 - 1);
                while self.entries.pop_if(|entry| entry.index >= from).is_some() {}
            }
            Record::Kept(place) => standing.snapshot = place,
            Record::Installed(place) => {
                standing.snapshot = place;
                standing.last = place.index;
                self.entries.clear();
                for older in &mut self.older {
                    older.last = LogIndex(0);
                }
            }
        }
        Ok(())
    }
}

impl End {
    fn of(beginning: &Beginning) -> Self {
        let Beginning { sequence, sectors, .. } = *beginning;
        let segment = Older { sequence, sectors, last: LogIndex(0) };
        Self { segment, next_sector: 1, next_batch: 1, torn: 0..0 }
    }
}

impl Refusal {
    fn from_malformed(sector: u32, malformed: MalformedRecord) -> Self {
        match malformed {
            newer @ (MalformedRecord::UnknownKind(_) | MalformedRecord::Newer(_)) => {
                Self::TooNew(newer.to_string())
            }
            other => Self::Damaged { sector, why: other.to_string() },
        }
    }
}

fn read_beginning(number: u32, bytes: &[u8]) -> Result<Beginning, Refusal> {
    let damaged = |why: &str| Refusal::Damaged { sector: 0, why: why.to_owned() };
    let first = bytes.get(..SECTOR_BYTES).ok_or_else(|| damaged("it is cut short"))?;
    let payload = match sector::read(0, first) {
        Sector::Written { life, batch: 0, payload } if life == number => payload,
        Sector::Blank => return Err(damaged("its beginning is missing")),
        _ => return Err(damaged("its beginning is damaged")),
    };
    let beginning =
        Beginning::decode(payload).map_err(|malformed| Refusal::from_malformed(0, malformed))?;
    if beginning.sequence != number {
        return Err(damaged("it says that it is another"));
    }
    if bytes.len() as u64 != u64::from(beginning.sectors) * SECTOR_BYTES as u64 {
        return Err(damaged("it is not as long as it was made"));
    }
    Ok(beginning)
}

/// Goes through the batches of one segment.
struct Reader<'a> {
    bytes: &'a [u8],
    life: u32,
    /// Where the next batch must be, and its number.
    place: u32,
    batch: u32,
}

/// A batch that is whole.
struct Content {
    records: Vec<u8>,
    sectors: u32,
}

/// A sector in the place where one of the next batch belongs.
enum Found<'a> {
    /// Of that batch.
    Part(&'a [u8]),
    /// The batch did not get here.
    Nothing,
}

impl<'a> Reader<'a> {
    fn end(&self) -> u32 {
        u32::try_from(self.bytes.len() / SECTOR_BYTES).unwrap_or(u32::MAX)
    }

    fn look(&self, place: u32) -> Result<Found<'a>, Refusal> {
        let damaged = |why: String| Refusal::Damaged { sector: place, why };
        let start = place as usize * SECTOR_BYTES;
        match sector::read(place, &self.bytes[start..start + SECTOR_BYTES]) {
            Sector::Damaged => Err(damaged("a sector is damaged".to_owned())),
            Sector::Blank => Ok(Found::Nothing),
            Sector::Written { life, batch, payload } if life == self.life => {
                if batch == self.batch {
                    return Ok(Found::Part(payload));
                }
                Err(damaged(format!(
                    "write {batch} is here, but write {} is not whole",
                    self.batch
                )))
            }
            Sector::Written { life, .. } if life < self.life => Ok(Found::Nothing),
            Sector::Written { life, .. } => Err(damaged(format!("a sector of segment {life}"))),
        }
    }

    /// The next batch if it is whole.
    fn next_batch(&self) -> Result<Option<Content>, Refusal> {
        if self.place >= self.end() {
            return Ok(None);
        }
        let Found::Part(first) = self.look(self.place)? else { return Ok(None) };
        let [l0, l1, l2, l3, ..] = *first else { unreachable!("a sector has more than 4 bytes") };
        let len = u32::from_le_bytes([l0, l1, l2, l3]) as usize;
        let sectors = u32::try_from((len + 4).div_ceil(PAYLOAD_BYTES)).unwrap_or(u32::MAX);
        if sectors > self.end() - self.place {
            let why = "a write is longer than the segment".to_owned();
            return Err(Refusal::Damaged { sector: self.place, why });
        }
        let mut records = Vec::with_capacity(sectors as usize * PAYLOAD_BYTES);
        for place in self.place..self.place + sectors {
            match self.look(place)? {
                Found::Part(payload) => records.extend_from_slice(payload),
                Found::Nothing => return Ok(None),
            }
        }
        records.drain(..4);
        records.truncate(len);
        Ok(Some(Content { records, sectors }))
    }

    /// The sectors, from the end of the log on, that hold parts of one more batch. Whatever else is
    /// there is refused.
    fn torn(&self) -> Result<Range<u32>, Refusal> {
        let mut end = self.place;
        for place in self.place..self.end() {
            if let Found::Part(_) = self.look(place)? {
                end = place + 1;
            }
        }
        Ok(self.place..end)
    }
}
