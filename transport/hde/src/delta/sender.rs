//! The sender of content to a peer that has something like it.

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;

use super::cut::{Cut, Cutter, Finished};
use super::signature::{PieceHasher, Signature};
use crate::block::Checks;
use crate::limits::PENDING_BYTES_MAX;
use crate::planner::{Link, Options};
use crate::sender::{Flush, PushError, Sender, SenderStats};
use crate::work::{Coded, Job};

/// Codes one stream against the peer's base. Driven as a [`Sender`] is.
#[derive(Debug)]
pub struct DeltaSender {
    cutter: Cutter,
    hasher: PieceHasher,
    index: Index,
    /// Where the next piece lies in the content.
    position: u64,
    parts: VecDeque<Part>,
    parts_bytes: usize,
    finished: Finished,
    inner: Sender,
    referenced: u64,
}

/// A part of the content, in order.
#[derive(Debug)]
enum Part {
    Literal(Bytes),
    Copy { offset: u64, len: usize },
}

/// Longest reference: its length has 32 bits.
const COPY_BYTES_MAX: usize = 1 << 30;

impl DeltaSender {
    pub fn new(signature: Signature, checks: Checks, options: Options) -> Self {
        Self {
            cutter: Cutter::new(signature.cut),
            hasher: signature.hasher(),
            index: Index::new(signature),
            position: 0,
            parts: VecDeque::new(),
            parts_bytes: 0,
            finished: Finished::No,
            inner: Sender::new(checks, options),
            referenced: 0,
        }
    }

    /// The first bytes of the stream.
    pub fn preamble(&self) -> Bytes {
        self.inner.preamble()
    }

    /// How much more content it can use.
    pub fn wants(&self) -> usize {
        if self.finished == Finished::Yes {
            return 0;
        }
        PENDING_BYTES_MAX.saturating_sub(self.cutter.pending_bytes() + self.parts_bytes)
    }

    /// Takes the next content; keep to [`Self::wants`]. Hashes it: that is the work of this call.
    pub fn push(&mut self, content: Bytes) -> Result<(), PushError> {
        if self.finished == Finished::Yes {
            return Err(PushError::Finished);
        }
        if content.len() > self.wants() {
            return Err(PushError::Full(PENDING_BYTES_MAX - self.wants()));
        }
        self.cutter.push(content);
        self.look_up();
        Ok(())
    }

    /// No content follows.
    pub fn finish(&mut self) {
        self.finished = Finished::Yes;
        self.look_up();
    }

    pub fn is_ended(&self) -> bool {
        self.inner.is_ended()
    }

    pub fn stats(&self) -> SenderStats {
        self.inner.stats()
    }

    /// Content that was found in the base.
    pub fn referenced_bytes(&self) -> u64 {
        self.referenced
    }

    /// The next block to code, as [`Sender::poll_job`].
    pub fn poll_job(&mut self, link: Link) -> Option<Job> {
        loop {
            match self.parts.front() {
                Some(Part::Literal(literal)) if literal.len() <= self.inner.wants() => {
                    let literal = literal.clone();
                    self.parts_bytes -= literal.len();
                    self.parts.pop_front();
                    self.inner.push(literal).expect("it said that it wants it");
                }
                Some(Part::Copy { .. }) if self.inner.is_empty() => {
                    // The last one may still grow.
                    if self.parts.len() == 1 && self.finished == Finished::No {
                        return None;
                    }
                    let Some(Part::Copy { offset, len }) = self.parts.pop_front() else {
                        unreachable!("it was looked at just now")
                    };
                    return Some(self.inner.reference(len, offset));
                }
                Some(Part::Copy { .. }) => return self.inner.poll_flush(link, Flush::Yes),
                Some(Part::Literal(_)) => return self.inner.poll_flush(link, Flush::No),
                None => {
                    if self.finished == Finished::Yes {
                        self.inner.finish();
                    }
                    return self.inner.poll_job(link);
                }
            }
        }
    }

    /// Learns from a block that was coded, as [`Sender::handle_coded`].
    pub fn handle_coded(&mut self, coded: &Coded, took: Duration) {
        self.inner.handle_coded(coded, took);
    }

    /// Counts a block without learning from it.
    pub(super) fn count(&mut self, coded: &Coded, took: Duration) {
        self.inner.count(coded, took);
    }

    fn look_up(&mut self) {
        while let Some(piece) = self.cutter.poll(self.finished) {
            let found = self.index.find(self.hasher.hash(&piece), piece.len(), self.position);
            self.position += piece.len() as u64;
            match found {
                Some(offset) => self.refer(offset, piece.len()),
                None => {
                    self.parts_bytes += piece.len();
                    self.parts.push_back(Part::Literal(piece));
                }
            }
        }
    }

    fn refer(&mut self, start: u64, more: usize) {
        self.referenced += more as u64;
        if let Some(Part::Copy { offset, len }) = self.parts.back_mut()
            && *offset + *len as u64 == start
            && *len + more <= COPY_BYTES_MAX
        {
            *len += more;
            return;
        }
        self.parts.push_back(Part::Copy { offset: start, len: more });
    }
}

/// Finds pieces of the base.
#[derive(Debug)]
struct Index {
    signature: Signature,
    /// Numbers of pieces, by hash.
    by_hash: Vec<u32>,
}

impl Index {
    fn new(signature: Signature) -> Self {
        let mut by_hash: Vec<u32> = (0..signature.hashes.len() as u32).collect();
        by_hash.sort_unstable_by_key(|at| signature.hashes[*at as usize]);
        Self { signature, by_hash }
    }

    /// Where the base has a piece of that hash and length: at `position` if it is there.
    fn find(&self, hash: u64, len: usize, position: u64) -> Option<u64> {
        if let Cut::Fixed(block) = self.signature.cut {
            let at = usize::try_from(position / u64::from(block)).ok()?;
            if self.signature.hashes.get(at) == Some(&hash)
                && self.signature.piece(at) == (position, len as u64)
            {
                return Some(position);
            }
        }
        let hash_of = |at: &u32| self.signature.hashes[*at as usize];
        let first = self.by_hash.partition_point(|at| hash_of(at) < hash);
        let at = *self.by_hash.get(first).filter(|at| hash_of(at) == hash)?;
        let (start, piece_len) = self.signature.piece(at as usize);
        (piece_len == len as u64).then_some(start)
    }
}
