//! The receiver of content that refers to a base at hand.

use std::io;

use bytes::{Buf, Bytes};
use novacron_protocol::Digest;

use crate::block::StreamError;
use crate::receiver::{Piece, Receiver};

/// Content that the receiver has: what it made the signature of.
pub trait Base {
    fn len(&self) -> u64;

    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// `len` bytes from `offset` on. They lie within [`Self::len`].
    fn read(&self, offset: u64, len: usize) -> io::Result<Bytes>;
}

impl Base for Bytes {
    fn len(&self) -> u64 {
        self.remaining() as u64
    }

    fn read(&self, offset: u64, len: usize) -> io::Result<Bytes> {
        let start = usize::try_from(offset).map_err(io::Error::other)?;
        Ok(self.slice(start..start + len))
    }
}

/// Rebuilds content from a stream and a base, and checks it.
#[derive(Debug)]
pub struct DeltaReceiver<B> {
    receiver: Receiver,
    base: B,
    hasher: blake3::Hasher,
    expected: Digest,
    /// A long piece, given out in parts.
    long: Option<Piece>,
}

/// Why content was not rebuilt.
#[derive(Debug, thiserror::Error)]
pub enum DeltaError {
    #[error(transparent)]
    Stream(#[from] StreamError),
    /// By damage, by a base that changed, or by two pieces with one hash: ask for all of it.
    #[error("the rebuilt content is not the one that was asked for")]
    WrongDigest,
    #[error("the base cannot be read")]
    Base(#[source] io::Error),
}

/// Bytes given out at once, at most.
const PART_BYTES: usize = 256 << 10;

impl<B: Base> DeltaReceiver<B> {
    /// Rebuilds the content of digest `expected`, at most `content_max` bytes.
    pub fn new(base: B, expected: Digest, content_max: u64) -> Self {
        Self {
            receiver: Receiver::with_base(content_max, base.len()),
            base,
            hasher: blake3::Hasher::new(),
            expected,
            long: None,
        }
    }

    /// Takes the next bytes of the stream.
    pub fn push(&mut self, bytes: Bytes) {
        self.receiver.push(bytes);
    }

    /// The next content; `None` until more bytes have come.
    pub fn poll(&mut self) -> Result<Option<Bytes>, DeltaError> {
        let piece = match self.long.take() {
            Some(piece) => piece,
            None => match self.receiver.poll()? {
                Some(piece) => piece,
                None => return Ok(None),
            },
        };
        let content = match piece {
            Piece::Bytes(bytes) => bytes,
            Piece::Fill { len, byte } => {
                let part = len.min(PART_BYTES);
                self.long = (len > part).then_some(Piece::Fill { len: len - part, byte });
                Bytes::from(vec![byte; part])
            }
            Piece::Copy { len, offset } => {
                let part = len.min(PART_BYTES);
                let rest = Piece::Copy { len: len - part, offset: offset + part as u64 };
                self.long = (len > part).then_some(rest);
                self.base.read(offset, part).map_err(DeltaError::Base)?
            }
        };
        self.hasher.update(&content);
        Ok(Some(content))
    }

    /// Judges the whole: only now is the content to be believed.
    pub fn finish(&self) -> Result<u64, DeltaError> {
        let len = self.receiver.finish()?;
        let found = Digest(*self.hasher.finalize().as_bytes());
        if found == self.expected && self.long.is_none() {
            Ok(len)
        } else {
            Err(DeltaError::WrongDigest)
        }
    }
}
