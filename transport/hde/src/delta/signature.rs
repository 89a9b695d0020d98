//! What a receiver says of its base.
//!
//! ```text
//! version:u8 cut:u8 piece_bytes:u32 key:u64 base_len:u64 count:u32 entry*     little-endian
//! cut 0, fixed     entry: hash:u64
//! cut 1, content   entry: hash:u64 len:u32
//! ```

use bytes::{Buf, BufMut, Bytes};

use super::cut::{Cut, Cutter, Finished};
use crate::limits::SIGNATURE_HASHES_MAX;

/// Hashes of a base's pieces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signature {
    pub(super) cut: Cut,
    key: u64,
    pub(super) base_len: u64,
    /// Of each piece, in order.
    pub(super) hashes: Vec<u64>,
    /// Where each piece begins; empty for pieces of one length.
    starts: Vec<u64>,
}

/// Bytes that are no signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    #[error("version {0} of signatures is not known here")]
    Version(u8),
    #[error("a signature of {0} hashes; at most {SIGNATURE_HASHES_MAX} are taken")]
    TooMany(usize),
    #[error("malformed signature: {0}")]
    Malformed(&'static str),
}

const VERSION: u8 = 1;
const HEADER_BYTES: usize = 1 + 1 + 4 + 8 + 8 + 4;

impl Signature {
    /// Of content at hand. `key` is any number that a stranger cannot know beforehand: with it,
    /// nobody can make pieces whose hashes clash.
    pub fn of(base: Bytes, cut: Cut, key: u64) -> Self {
        let mut builder = SignatureBuilder::new(cut, key);
        builder.push(base);
        builder.finish()
    }

    /// Of nothing: everything is coded.
    pub fn none() -> Self {
        Self::of(Bytes::new(), Cut::disk(0), 0)
    }

    /// Pieces that it names.
    pub fn len(&self) -> usize {
        self.hashes.len()
    }

    pub fn is_empty(&self) -> bool {
        self.hashes.is_empty()
    }

    pub fn encode(&self) -> Vec<u8> {
        let entry = if self.starts.is_empty() { 8 } else { 12 };
        let mut out = Vec::with_capacity(HEADER_BYTES + entry * self.hashes.len());
        out.put_u8(VERSION);
        out.put_u8(u8::from(matches!(self.cut, Cut::Content(_))));
        out.put_u32_le(self.cut.piece_bytes());
        out.put_u64_le(self.key);
        out.put_u64_le(self.base_len);
        out.put_u32_le(self.hashes.len() as u32);
        for (at, hash) in self.hashes.iter().enumerate() {
            out.put_u64_le(*hash);
            if matches!(self.cut, Cut::Content(_)) {
                out.put_u32_le(self.piece(at).1 as u32);
            }
        }
        out
    }

    /// Reads and judges a signature: every piece that it names lies in the base that it names.
    pub fn decode(mut bytes: &[u8]) -> Result<Self, SignatureError> {
        if bytes.len() < HEADER_BYTES {
            return Err(SignatureError::Malformed("too short"));
        }
        let version = bytes.get_u8();
        if version != VERSION {
            return Err(SignatureError::Version(version));
        }
        let kind = bytes.get_u8();
        let piece_bytes = bytes.get_u32_le();
        let (cut, entry_bytes) = match kind {
            0 => (Cut::Fixed(piece_bytes), 8),
            1 => (Cut::Content(piece_bytes), 12),
            _ => return Err(SignatureError::Malformed("cut")),
        };
        if !cut.is_valid() {
            return Err(SignatureError::Malformed("length of pieces"));
        }
        let (key, base_len) = (bytes.get_u64_le(), bytes.get_u64_le());
        let count = bytes.get_u32_le() as usize;
        if count > SIGNATURE_HASHES_MAX {
            return Err(SignatureError::TooMany(count));
        }
        if bytes.len() != count * entry_bytes {
            return Err(SignatureError::Malformed("count of hashes"));
        }
        let mut signature =
            Self { cut, key, base_len, hashes: Vec::with_capacity(count), starts: Vec::new() };
        let mut end = 0_u64;
        for _ in 0..count {
            signature.hashes.push(bytes.get_u64_le());
            if kind == 1 {
                signature.starts.push(end);
                end += u64::from(bytes.get_u32_le());
            }
        }
        let fits = match cut {
            Cut::Fixed(len) => base_len.div_ceil(u64::from(len)) == count as u64,
            Cut::Content(_) => end == base_len,
        };
        if fits { Ok(signature) } else { Err(SignatureError::Malformed("length of the base")) }
    }

    /// Start and length of a piece.
    pub(super) fn piece(&self, at: usize) -> (u64, u64) {
        match self.cut {
            Cut::Fixed(len) => {
                let start = at as u64 * u64::from(len);
                (start, u64::from(len).min(self.base_len - start))
            }
            Cut::Content(_) => {
                let start = self.starts[at];
                let end = self.starts.get(at + 1).copied().unwrap_or(self.base_len);
                (start, end - start)
            }
        }
    }

    pub(super) fn hasher(&self) -> PieceHasher {
        PieceHasher::new(self.key)
    }
}

/// Makes the signature of a base that is read in parts.
#[derive(Debug)]
pub struct SignatureBuilder {
    cutter: Cutter,
    hasher: PieceHasher,
    signature: Signature,
}

impl SignatureBuilder {
    /// # Panics
    /// When pieces of that length make no sense: it is the caller's own choice.
    pub fn new(cut: Cut, key: u64) -> Self {
        assert!(cut.is_valid(), "pieces of {} bytes", cut.piece_bytes());
        let signature = Signature { cut, key, base_len: 0, hashes: Vec::new(), starts: Vec::new() };
        Self { cutter: Cutter::new(cut), hasher: PieceHasher::new(key), signature }
    }

    /// Takes the next part of the base. Pieces beyond the bound are left out: they will be sent.
    pub fn push(&mut self, part: Bytes) {
        self.cutter.push(part);
        self.drain(Finished::No);
    }

    pub fn finish(mut self) -> Signature {
        self.drain(Finished::Yes);
        self.signature
    }

    fn drain(&mut self, finished: Finished) {
        while let Some(piece) = self.cutter.poll(finished) {
            if self.signature.hashes.len() == SIGNATURE_HASHES_MAX {
                continue;
            }
            self.signature.hashes.push(self.hasher.hash(&piece));
            if matches!(self.signature.cut, Cut::Content(_)) {
                self.signature.starts.push(self.signature.base_len);
            }
            self.signature.base_len += piece.len() as u64;
        }
    }
}

/// Hashes pieces.
#[derive(Debug, Clone)]
pub(super) struct PieceHasher {
    key: [u8; blake3::KEY_LEN],
}

impl PieceHasher {
    fn new(key: u64) -> Self {
        Self { key: blake3::derive_key("novacron hde 1 pieces of a base", &key.to_le_bytes()) }
    }

    pub(super) fn hash(&self, piece: &[u8]) -> u64 {
        let hash = blake3::keyed_hash(&self.key, piece);
        let (first, _) = hash.as_bytes().split_first_chunk().expect("a hash has 32 bytes");
        u64::from_le_bytes(*first)
    }
}
