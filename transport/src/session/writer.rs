//! Frames onto a QUIC stream.

use bincode::Encode;
use bytes::{Bytes, BytesMut};
use novacron_protocol::codec;
use novacron_protocol::frame::{HEADER_BYTES, put_frame};
use novacron_protocol::limits::FRAME_BYTES_MAX;

use super::SessionError;
use crate::driver::{SendStream, WriteError};

/// Frames and raw bytes onto one stream. Dropped before [`Self::finish`], the stream is given up.
#[derive(Debug)]
pub(crate) struct FrameWriter {
    stream: SendStream,
}

impl FrameWriter {
    pub(crate) fn new(stream: SendStream) -> Self {
        Self { stream }
    }

    pub(crate) async fn write(&mut self, bytes: Bytes) -> Result<(), WriteError> {
        self.stream.write(bytes).await
    }

    /// Ends the stream regularly.
    pub(crate) fn finish(&mut self) {
        self.stream.finish();
    }

    /// Resolves when the peer has everything, has stopped the stream, or is gone.
    pub(crate) fn settled(&self) -> impl Future<Output = ()> + Send + 'static + use<> {
        self.stream.settled()
    }
}

/// `message` as one frame, after `header` if the stream begins with it.
pub(crate) fn framed<T: Encode>(header: Option<u8>, message: &T) -> Result<Bytes, SessionError> {
    let too_long = |error: &dyn std::fmt::Display| SessionError::TooLong(error.to_string());
    let payload = codec::encode(message).map_err(|error| too_long(&error))?;
    let mut out = BytesMut::with_capacity(1 + HEADER_BYTES + payload.len());
    out.extend(header);
    put_frame(&mut out, &payload, FRAME_BYTES_MAX).map_err(|error| too_long(&error))?;
    Ok(out.freeze())
}
