//! Where content is cut into pieces.

use bytes::Bytes;
use fastcdc::v2020::FastCDC;

use crate::rope::Rope;

/// How content is cut. Both sides must cut alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// Every so many bytes: for disks, where content stays in its place.
    Fixed(u32),
    /// Where the content says so (FastCDC), in pieces of about so many bytes, a quarter to four times
    /// that: for files in which content moves.
    Content(u32),
}

/// Lengths of pieces that make sense: below, hashes outweigh what they save.
pub(super) const PIECE_BYTES_MIN: u32 = 1 << 10;
pub(super) const PIECE_BYTES_MAX: u32 = 256 << 10;
/// Content that is looked at together for cutting by content.
const VIEW_BYTES: usize = 4 << 20;

impl Cut {
    /// Blocks for a disk image of `len` bytes, so that its signature stays within its bound: those
    /// of a guest's file system while the image is up to 4 GiB.
    pub fn disk(len: u64) -> Self {
        let max = crate::limits::SIGNATURE_HASHES_MAX as u64;
        let mut block = 4 << 10;
        while len.div_ceil(u64::from(block)) > max && block < PIECE_BYTES_MAX {
            block *= 2;
        }
        Self::Fixed(block)
    }

    pub(super) fn piece_bytes(self) -> u32 {
        match self {
            Self::Fixed(len) | Self::Content(len) => len,
        }
    }

    /// Whether its pieces have a sensible length.
    pub(super) fn is_valid(self) -> bool {
        (PIECE_BYTES_MIN..=PIECE_BYTES_MAX).contains(&self.piece_bytes())
    }
}

/// Cuts content as it comes.
#[derive(Debug, Clone)]
pub(super) struct Cutter {
    cut: Cut,
    pending: Rope,
    /// Pieces found in what was looked at, last first.
    ready: Vec<Bytes>,
}

impl Cutter {
    pub(super) fn new(cut: Cut) -> Self {
        Self { cut, pending: Rope::default(), ready: Vec::new() }
    }

    pub(super) fn push(&mut self, content: Bytes) {
        self.pending.push(content);
    }

    /// Content that is not cut yet.
    pub(super) fn pending_bytes(&self) -> usize {
        self.pending.len() + self.ready.iter().map(Bytes::len).sum::<usize>()
    }

    /// The next piece; `None` until more content has come, or at the end.
    pub(super) fn poll(&mut self, finished: Finished) -> Option<Bytes> {
        match self.cut {
            Cut::Fixed(len) => {
                let len = len as usize;
                let rest = finished == Finished::Yes && !self.pending.is_empty();
                (self.pending.len() >= len || rest)
                    .then(|| self.pending.take(len.min(self.pending.len())))
            }
            Cut::Content(len) => {
                if self.ready.is_empty() {
                    self.look(len, finished);
                }
                self.ready.pop()
            }
        }
    }

    fn look(&mut self, len: u32, finished: Finished) {
        if self.pending.len() < VIEW_BYTES && finished == Finished::No || self.pending.is_empty() {
            return;
        }
        let mut view = self.pending.take(self.pending.len().min(VIEW_BYTES));
        let whole = finished == Finished::Yes && self.pending.is_empty();
        let cuts: Vec<usize> =
            FastCDC::new(&view, len / 4, len, len * 4).map(|chunk| chunk.length).collect();
        // The last piece may end where the view does, and not where the content says.
        let sure = if whole { cuts.len() } else { cuts.len() - 1 };
        self.ready = cuts[..sure].iter().map(|len| view.split_to(*len)).collect();
        self.ready.reverse();
        self.pending.unshift(view);
    }
}

/// Whether all content has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Finished {
    Yes,
    No,
}
