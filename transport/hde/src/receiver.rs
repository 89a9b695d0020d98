//! Coded bytes in, content out.
//!
//! Pure: it reads no clock and does no I/O. Push what came, then take pieces until there are none;
//! so it never holds more than [`crate::limits::RECEIVER_BYTES_MAX`] beside the last push. Nothing
//! is reserved for what a sender declares: a block has a bound, and so has the whole content.

use bytes::{Bytes, BytesMut};
use zstd::zstd_safe::DCtx;

use crate::block::{self, Checks, Header, PREAMBLE_BYTES, StreamError};
use crate::rope::Rope;

/// A part of the content, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Piece {
    Bytes(Bytes),
    /// `len` times the same byte: a hole, where it is zero.
    Fill {
        len: usize,
        byte: u8,
    },
    /// `len` bytes of the base that this side named, from `offset` on; they are there.
    Copy {
        len: usize,
        offset: u64,
    },
}

impl Piece {
    /// Content that it stands for.
    pub fn content_len(&self) -> usize {
        match self {
            Self::Bytes(bytes) => bytes.len(),
            Self::Fill { len, .. } | Self::Copy { len, .. } => *len,
        }
    }
}

/// Expands one stream.
pub struct Receiver {
    input: Rope,
    state: State,
    checks: Checks,
    content_len: u64,
    content_max: u64,
    /// Length of the base that references may reach into.
    base_len: u64,
    zstd: Option<DCtx<'static>>,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Preamble,
    Header,
    /// In a raw block without a check, which is given on as it comes: so many bytes are left.
    Passing(usize),
    Payload(Header),
    End,
}

impl std::fmt::Debug for Receiver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Receiver")
            .field("state", &self.state)
            .field("input_bytes", &self.input.len())
            .field("content_len", &self.content_len)
            .finish_non_exhaustive()
    }
}

impl Receiver {
    /// Takes a stream of at most `content_max` bytes of content that refers to no base.
    pub fn new(content_max: u64) -> Self {
        Self::with_base(content_max, 0)
    }

    /// Takes a stream that may refer to a base of `base_len` bytes.
    pub fn with_base(content_max: u64, base_len: u64) -> Self {
        Self {
            input: Rope::default(),
            state: State::Preamble,
            checks: Checks::default(),
            content_len: 0,
            content_max,
            base_len,
            zstd: None,
        }
    }

    /// Takes the next bytes of the stream.
    pub fn push(&mut self, bytes: Bytes) {
        self.input.push(bytes);
    }

    /// The next piece; `None` until more has come. After an error there is nothing more to have.
    pub fn poll(&mut self) -> Result<Option<Piece>, StreamError> {
        loop {
            match self.state {
                State::Preamble => {
                    let Some(bytes) = self.take(PREAMBLE_BYTES) else { return Ok(None) };
                    let bytes = [bytes[0], bytes[1]];
                    self.checks = block::read_preamble(bytes)?;
                    self.state = State::Header;
                }
                State::Header => {
                    let Some(header) = self.header()? else { return Ok(None) };
                    if let Some(piece) = self.begin(header)? {
                        return Ok(Some(piece));
                    }
                }
                State::Passing(left) => {
                    let Some(mut piece) = self.input.take_front() else { return Ok(None) };
                    if piece.len() > left {
                        self.input.unshift(piece.split_off(left));
                    }
                    let left = left - piece.len();
                    self.state = if left == 0 { State::Header } else { State::Passing(left) };
                    return Ok(Some(Piece::Bytes(piece)));
                }
                State::Payload(header) => {
                    let Some(payload) = self.take(payload_len(header)) else { return Ok(None) };
                    self.state = State::Header;
                    return self.expand(header, payload).map(Piece::Bytes).map(Some);
                }
                State::End if self.input.is_empty() => return Ok(None),
                State::End => return Err(StreamError::Trailing),
            }
        }
    }

    /// Whether the whole content has been given out.
    pub fn is_finished(&self) -> bool {
        matches!(self.state, State::End) && self.input.is_empty()
    }

    /// Judges the end of the bytes: content that was cut off is an error, never an end.
    pub fn finish(&self) -> Result<u64, StreamError> {
        if self.is_finished() { Ok(self.content_len) } else { Err(StreamError::Truncated) }
    }

    /// Bytes that came and were not used yet.
    pub fn held_bytes(&self) -> usize {
        self.input.len()
    }

    /// Content so far.
    pub fn content_len(&self) -> u64 {
        self.content_len
    }

    fn take(&mut self, len: usize) -> Option<Bytes> {
        (self.input.len() >= len).then(|| self.input.take(len))
    }

    fn header(&mut self) -> Result<Option<Header>, StreamError> {
        let Some(kind) = self.input.first() else { return Ok(None) };
        let len = Header::encoded_len(kind, self.checks)?;
        let Some(bytes) = self.take(len) else { return Ok(None) };
        Header::decode(&bytes, self.checks).map(Some)
    }

    /// Enters the block; gives what needs no payload.
    fn begin(&mut self, header: Header) -> Result<Option<Piece>, StreamError> {
        self.content_len += header.content_len();
        if self.content_len > self.content_max {
            return Err(StreamError::TooLong { max: self.content_max });
        }
        match header {
            Header::End { content_len } if content_len == self.content_len => {
                self.state = State::End;
                Ok(None)
            }
            Header::End { .. } => Err(StreamError::Malformed("length of the content")),
            Header::Fill { len, byte } => Ok(Some(Piece::Fill { len, byte })),
            Header::Copy { len, offset } => {
                let end = offset.checked_add(len as u64).ok_or(StreamError::UnknownContent)?;
                if end > self.base_len {
                    return Err(StreamError::UnknownContent);
                }
                Ok(Some(Piece::Copy { len, offset }))
            }
            Header::Raw { len, check: None } => {
                self.state = State::Passing(len);
                Ok(None)
            }
            Header::Raw { .. } | Header::Lz4 { .. } | Header::Zstd { .. } => {
                self.state = State::Payload(header);
                Ok(None)
            }
        }
    }

    fn expand(&mut self, header: Header, payload: Bytes) -> Result<Bytes, StreamError> {
        let (content, check) = match header {
            Header::Raw { check, .. } => (payload, check),
            Header::Lz4 { len, check, .. } => {
                let mut content = BytesMut::zeroed(len);
                let written = lz4_flex::block::decompress_into(&payload, &mut content);
                if !matches!(written, Ok(written) if written == len) {
                    return Err(StreamError::Damaged);
                }
                (content.freeze(), check)
            }
            Header::Zstd { len, check, .. } => {
                let zstd = self.zstd.get_or_insert_with(DCtx::create);
                // What would expand to more than was declared, and reserved, is refused by zstd.
                let mut content = Vec::with_capacity(len);
                let written = zstd.decompress(&mut content, &payload);
                if !matches!(written, Ok(written) if written == len) {
                    return Err(StreamError::Damaged);
                }
                (Bytes::from(content), check)
            }
            _ => unreachable!("other blocks have no payload"),
        };
        match check {
            Some(check) if crc32c::crc32c(&content) != check => Err(StreamError::Damaged),
            _ => Ok(content),
        }
    }
}

fn payload_len(header: Header) -> usize {
    match header {
        Header::Raw { len, .. } => len,
        Header::Lz4 { payload_len, .. } | Header::Zstd { payload_len, .. } => payload_len,
        _ => 0,
    }
}
