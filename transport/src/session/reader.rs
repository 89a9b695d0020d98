//! Frames off a QUIC stream, bounded.

use std::time::Duration;

use novacron_protocol::frame::{FrameDecoder, FrameTooLong};
use quinn::ConnectionError;

use crate::driver::{ReadError, RecvStream};

use bytes::Bytes;

/// Reads one stream frame by frame.
#[derive(Debug)]
pub(crate) struct FrameReader {
    stream: RecvStream,
    decoder: FrameDecoder,
}

/// Why there is no frame.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadFailure {
    /// The peer broke the protocol.
    #[error(transparent)]
    TooLong(#[from] FrameTooLong),
    /// The peer broke the protocol.
    #[error("a stream ended inside a frame")]
    Truncated,
    /// The peer gave this stream up, which it may.
    #[error("the peer gave the stream up")]
    Reset,
    #[error(transparent)]
    Lost(ConnectionError),
}

impl ReadFailure {
    /// Whether it ends the session.
    pub(crate) fn is_violation(&self) -> bool {
        matches!(self, Self::TooLong(_) | Self::Truncated)
    }
}

impl From<ReadError> for ReadFailure {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::ConnectionLost(error) => Self::Lost(error),
            ReadError::Reset => Self::Reset,
        }
    }
}

/// Most bytes taken off a stream at once.
pub(crate) const CHUNK_BYTES: usize = 64 << 10;
/// A body whose sender or reader makes no progress for so long is given up.
pub(crate) const STALL_TIMEOUT: Duration = Duration::from_secs(60);

impl FrameReader {
    /// Reads frames of at most `max` bytes.
    pub(crate) fn new(stream: RecvStream, max: usize) -> Self {
        Self { stream, decoder: FrameDecoder::new(max) }
    }

    /// The next frame; `None` at a regular end.
    pub(crate) async fn frame(&mut self) -> Result<Option<Bytes>, ReadFailure> {
        loop {
            if let Some(frame) = self.decoder.poll_frame()? {
                return Ok(Some(frame));
            }
            match self.stream.chunk(CHUNK_BYTES).await? {
                Some(chunk) => self.decoder.push(&chunk),
                None if self.decoder.buffered_bytes() == 0 => return Ok(None),
                None => return Err(ReadFailure::Truncated),
            }
        }
    }

    /// The next frame of a stream that must have one.
    pub(crate) async fn expect_frame(&mut self) -> Result<Bytes, ReadFailure> {
        self.frame().await?.ok_or(ReadFailure::Truncated)
    }

    /// What follows the frames: bytes that are here already, and the stream of the rest.
    pub(crate) fn into_rest(self) -> (Bytes, RecvStream) {
        (self.decoder.into_remainder(), self.stream)
    }
}

/// The first byte of a stream; `None` when it ended or was given up before.
pub(crate) async fn first_byte(stream: &mut RecvStream) -> Option<u8> {
    stream.chunk(1).await.ok().flatten().map(|byte| byte[0])
}
