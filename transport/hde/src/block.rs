//! The bytes of a coded stream.
//!
//! ```text
//! stream  version:u8 checks:u8 block* end
//! block   kind:u8 content_len:u32 ..          integers are little-endian
//!   1 raw    content_len bytes                  as they are
//!   2 fill   byte:u8                            content_len times that byte
//!   3 lz4    payload_len:u32, payload           one LZ4 block
//!   4 zstd   payload_len:u32, payload           one zstd frame
//!   5 copy   offset:u64                         content_len bytes of the base, from there on
//! end     0:u8 content_len:u64                  of the whole stream
//! ```
//! With checks, the CRC-32C of its content follows the header of each block of kind 1, 3 and 4.

use bytes::{BufMut, Bytes, BytesMut};

use crate::limits::{BLOCK_BYTES_MAX, PAYLOAD_BYTES_MAX};

/// The only version of the stream so far. Append kinds, never change one; a receiver refuses a
/// version that it does not know.
pub(crate) const VERSION: u8 = 1;
pub(crate) const PREAMBLE_BYTES: usize = 2;
/// Longest header: kind, content, payload, check.
pub(crate) const HEADER_BYTES_MAX: usize = 1 + 4 + 8 + 4;

/// Whether blocks carry a check of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Checks {
    /// The whole content has a digest that the receiver knows and checks: nothing more is needed.
    #[default]
    ByDigest,
    /// Each block carries the CRC-32C of its content: against damage, not against malice.
    PerBlock,
}

/// What a header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Header {
    Raw { len: usize, check: Option<u32> },
    Fill { len: usize, byte: u8 },
    Lz4 { len: usize, payload_len: usize, check: Option<u32> },
    Zstd { len: usize, payload_len: usize, check: Option<u32> },
    Copy { len: usize, offset: u64 },
    End { content_len: u64 },
}

/// Bytes that are no coded stream of ours, or more of it than was asked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StreamError {
    /// The peer is newer. Ask it for an older form.
    #[error("version {0} of the coding is not known here")]
    Version(u8),
    #[error("malformed: {0}")]
    Malformed(&'static str),
    #[error("a block of {len} bytes; at most {max} are taken")]
    BlockTooLong { len: usize, max: usize },
    #[error("the content is longer than {max} bytes")]
    TooLong { max: u64 },
    /// The bytes were changed on the way, or by a bad disk or memory of the sender's.
    #[error("a block was damaged")]
    Damaged,
    #[error("a reference to content that is not here")]
    UnknownContent,
    #[error("the stream ended early")]
    Truncated,
    #[error("bytes after the end")]
    Trailing,
}

pub(crate) fn preamble(checks: Checks) -> [u8; PREAMBLE_BYTES] {
    [VERSION, u8::from(checks == Checks::PerBlock)]
}

pub(crate) fn read_preamble(bytes: [u8; PREAMBLE_BYTES]) -> Result<Checks, StreamError> {
    match bytes {
        [VERSION, 0] => Ok(Checks::ByDigest),
        [VERSION, 1] => Ok(Checks::PerBlock),
        [VERSION, _] => Err(StreamError::Malformed("checks")),
        [version, _] => Err(StreamError::Version(version)),
    }
}

impl Header {
    pub(crate) fn encode(self) -> Bytes {
        let mut out = BytesMut::with_capacity(HEADER_BYTES_MAX);
        match self {
            Self::End { content_len } => {
                out.put_u8(0);
                out.put_u64_le(content_len);
            }
            Self::Raw { len, check } => {
                put_kind(&mut out, 1, len);
                put_check(&mut out, check);
            }
            Self::Fill { len, byte } => {
                put_kind(&mut out, 2, len);
                out.put_u8(byte);
            }
            Self::Lz4 { len, payload_len, check } => {
                put_kind(&mut out, 3, len);
                out.put_u32_le(payload_len as u32);
                put_check(&mut out, check);
            }
            Self::Zstd { len, payload_len, check } => {
                put_kind(&mut out, 4, len);
                out.put_u32_le(payload_len as u32);
                put_check(&mut out, check);
            }
            Self::Copy { len, offset } => {
                put_kind(&mut out, 5, len);
                out.put_u64_le(offset);
            }
        }
        out.freeze()
    }

    /// Bytes of a header of that kind.
    pub(crate) fn encoded_len(kind: u8, checks: Checks) -> Result<usize, StreamError> {
        let check = if checks == Checks::PerBlock { 4 } else { 0 };
        match kind {
            0 => Ok(1 + 8),
            1 => Ok(1 + 4 + check),
            2 => Ok(1 + 4 + 1),
            3 | 4 => Ok(1 + 4 + 4 + check),
            5 => Ok(1 + 4 + 8),
            _ => Err(StreamError::Malformed("kind of a block")),
        }
    }

    /// Reads a header of exactly the length that [`Self::encoded_len`] gives, and judges it.
    pub(crate) fn decode(bytes: &[u8], checks: Checks) -> Result<Self, StreamError> {
        let mut reader = Reader { bytes };
        let kind = reader.u8()?;
        if kind == 0 {
            return Ok(Self::End { content_len: reader.u64()? });
        }
        let len = reader.u32()? as usize;
        if len == 0 {
            return Err(StreamError::Malformed("an empty block"));
        }
        match kind {
            1 => {
                bounded(len, BLOCK_BYTES_MAX)?;
                Ok(Self::Raw { len, check: reader.check(checks)? })
            }
            2 => Ok(Self::Fill { len, byte: reader.u8()? }),
            3 | 4 => {
                bounded(len, BLOCK_BYTES_MAX)?;
                let payload_len = bounded(reader.u32()? as usize, PAYLOAD_BYTES_MAX)?;
                if payload_len >= len {
                    return Err(StreamError::Malformed("a payload that did not shrink"));
                }
                let check = reader.check(checks)?;
                Ok(match kind {
                    3 => Self::Lz4 { len, payload_len, check },
                    _ => Self::Zstd { len, payload_len, check },
                })
            }
            5 => Ok(Self::Copy { len, offset: reader.u64()? }),
            _ => Err(StreamError::Malformed("kind of a block")),
        }
    }

    /// Content that the block stands for.
    pub(crate) fn content_len(self) -> u64 {
        match self {
            Self::Raw { len, .. }
            | Self::Fill { len, .. }
            | Self::Lz4 { len, .. }
            | Self::Zstd { len, .. }
            | Self::Copy { len, .. } => len as u64,
            Self::End { .. } => 0,
        }
    }
}

fn put_kind(out: &mut BytesMut, kind: u8, len: usize) {
    out.put_u8(kind);
    out.put_u32_le(u32::try_from(len).expect("blocks are cut below 4 GiB"));
}

fn put_check(out: &mut BytesMut, check: Option<u32>) {
    if let Some(check) = check {
        out.put_u32_le(check);
    }
}

fn bounded(len: usize, max: usize) -> Result<usize, StreamError> {
    if len <= max { Ok(len) } else { Err(StreamError::BlockTooLong { len, max }) }
}

/// Integers from the front of some bytes.
struct Reader<'a> {
    bytes: &'a [u8],
}

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Result<[u8; N], StreamError> {
        let (first, rest) = self.bytes.split_first_chunk().ok_or(StreamError::Truncated)?;
        self.bytes = rest;
        Ok(*first)
    }

    fn u8(&mut self) -> Result<u8, StreamError> {
        self.take::<1>().map(|[byte]| byte)
    }

    fn u32(&mut self) -> Result<u32, StreamError> {
        self.take().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64, StreamError> {
        self.take().map(u64::from_le_bytes)
    }

    fn check(&mut self, checks: Checks) -> Result<Option<u32>, StreamError> {
        match checks {
            Checks::ByDigest => Ok(None),
            Checks::PerBlock => self.u32().map(Some),
        }
    }
}
