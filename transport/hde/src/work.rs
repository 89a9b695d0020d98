//! The work on one block: what takes processor time, done wherever the shell wants it done.

use bytes::Bytes;
use zstd::zstd_safe::{CCtx, CParameter};

use crate::block::{Checks, Header};
use crate::choice::Choice;

/// A block to be coded. [`Job::run`] does it, on any thread.
#[derive(Debug)]
pub struct Job {
    pub(crate) content: Bytes,
    pub(crate) task: Task,
    pub(crate) checks: Checks,
}

/// What is to be done with a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Task {
    Code(Choice),
    /// Compression was not tried: it is noise.
    Pass,
    Fill {
        len: usize,
    },
    Copy {
        len: usize,
        offset: u64,
    },
    End {
        content_len: u64,
    },
}

/// A block for the wire: the header, then the body.
#[derive(Debug, Clone)]
pub struct Coded {
    pub header: Bytes,
    /// The content itself where it was not compressed, not a copy.
    pub body: Bytes,
    pub(crate) task: Task,
    pub(crate) content_len: usize,
}

impl Coded {
    pub fn wire_len(&self) -> usize {
        self.header.len() + self.body.len()
    }

    /// Content that it stands for.
    pub fn content_len(&self) -> usize {
        self.content_len
    }

    /// How it was coded; `None` where nothing was to be coded: runs, references and the end.
    pub fn choice(&self) -> Option<Choice> {
        match self.task {
            Task::Code(choice) => Some(choice),
            Task::Pass => Some(Choice::Raw),
            Task::Fill { .. } | Task::Copy { .. } | Task::End { .. } => None,
        }
    }
}

/// zstd's tables, and the level that they are set to.
type Kept = Option<(i8, CCtx<'static>)>;

/// What compresses, kept from block to block: its tables are large. One per thread.
#[derive(Default)]
pub struct Compressor {
    zstd: Kept,
    out: Vec<u8>,
}

impl std::fmt::Debug for Compressor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Compressor").field("bytes", &self.bytes()).finish()
    }
}

/// A compressed block must be smaller than this share of its content, or the time to expand it is
/// not worth it.
const WORTH: f64 = 0.985;

impl Compressor {
    /// Memory that it holds.
    pub fn bytes(&self) -> usize {
        let tables = |(_, zstd): &(i8, CCtx<'static>)| zstd.sizeof();
        self.out.capacity() + self.zstd.as_ref().map_or(0, tables)
    }

    /// `content` compressed, when that is worth it.
    fn compress(&mut self, choice: Choice, content: &[u8]) -> Option<Bytes> {
        let bound = match choice {
            Choice::Raw => return None,
            Choice::Lz4 => lz4_flex::block::get_maximum_output_size(content.len()),
            Choice::Zstd(_) => zstd::zstd_safe::compress_bound(content.len()),
        };
        if self.out.len() < bound {
            self.out.resize(bound, 0);
        }
        let len = match choice {
            Choice::Raw => return None,
            Choice::Lz4 => lz4_flex::block::compress_into(content, &mut self.out).ok()?,
            Choice::Zstd(level) => {
                let out = &mut self.out[..];
                zstd_at(&mut self.zstd, level)?.compress2(out, content).ok()?
            }
        };
        let worth = (len as f64) < content.len() as f64 * WORTH;
        worth.then(|| Bytes::copy_from_slice(&self.out[..len]))
    }
}

/// The compressor set to `level`; the tables of the largest level used stay.
fn zstd_at(kept: &mut Kept, level: i8) -> Option<&mut CCtx<'static>> {
    if kept.is_none() {
        let mut zstd = CCtx::try_create()?;
        // A block says how long it is in its own header.
        zstd.set_parameter(CParameter::ContentSizeFlag(false)).ok()?;
        zstd.set_parameter(CParameter::CompressionLevel(level.into())).ok()?;
        *kept = Some((level, zstd));
    }
    let (set, zstd) = kept.as_mut()?;
    if *set != level {
        zstd.set_parameter(CParameter::CompressionLevel(level.into())).ok()?;
        *set = level;
    }
    Some(zstd)
}

impl Job {
    /// Content that it stands for.
    pub fn content_len(&self) -> usize {
        match self.task {
            Task::Fill { len } | Task::Copy { len, .. } => len,
            Task::Code(_) | Task::Pass | Task::End { .. } => self.content.len(),
        }
    }

    /// Does the work. Its processor time is what [`crate::Sender::handle_coded`] wants to know.
    pub fn run(self, compressor: &mut Compressor) -> Coded {
        let (content, task) = (self.content, self.task);
        let check =
            |content: &[u8]| (self.checks == Checks::PerBlock).then(|| crc32c::crc32c(content));
        let len = content.len();
        let bare = |header: Header, content_len| Coded {
            header: header.encode(),
            body: Bytes::new(),
            task,
            content_len,
        };
        match task {
            Task::End { content_len } => bare(Header::End { content_len }, 0),
            Task::Fill { len } => bare(Header::Fill { len, byte: content[0] }, len),
            Task::Copy { len, offset } => bare(Header::Copy { len, offset }, len),
            Task::Pass | Task::Code(_) => {
                let check = check(&content);
                let choice = if let Task::Code(choice) = task { choice } else { Choice::Raw };
                let (header, body) = match compressor.compress(choice, &content) {
                    None => (Header::Raw { len, check }, content),
                    Some(body) => {
                        let payload_len = body.len();
                        let header = match choice {
                            Choice::Lz4 => Header::Lz4 { len, payload_len, check },
                            _ => Header::Zstd { len, payload_len, check },
                        };
                        (header, body)
                    }
                };
                Coded { header: header.encode(), body, task, content_len: len }
            }
        }
    }
}
