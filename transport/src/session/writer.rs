//! Frames onto a QUIC stream.

use bincode::Encode;
use bytes::{Bytes, BytesMut};
use novacron_protocol::codec;
use novacron_protocol::frame::{HEADER_BYTES, put_frame};
use novacron_protocol::limits::FRAME_BYTES_MAX;
use quinn::{SendStream, VarInt, WriteError};

use super::SessionError;

/// A stream that is given up, not ended, when it is dropped half-way: the peer must not take the
/// first half of something for the whole. (quinn ends a dropped stream regularly.)
#[derive(Debug)]
pub(crate) struct FrameWriter {
    stream: SendStream,
    finished: bool,
}

/// Code of a stream that was given up.
const GIVEN_UP: VarInt = VarInt::from_u32(1);

impl FrameWriter {
    pub(crate) fn new(stream: SendStream, priority: i32) -> Self {
        // Fails only on a stream that is closed already, which the first write will tell.
        let _ = stream.set_priority(priority);
        Self { stream, finished: false }
    }

    pub(crate) async fn write(&mut self, bytes: Bytes) -> Result<(), WriteError> {
        self.stream.write_chunk(bytes).await
    }

    /// Ends the stream regularly.
    pub(crate) fn finish(&mut self) {
        self.finished = true;
        // Fails only when the peer has stopped the stream: it does not want the end.
        let _ = self.stream.finish();
    }

    /// Resolves when the peer has everything, has stopped the stream, or is gone.
    pub(crate) fn settled(&self) -> impl Future<Output = ()> + Send + 'static + use<> {
        let stopped = self.stream.stopped();
        async move {
            let _ = stopped.await;
        }
    }
}

impl Drop for FrameWriter {
    fn drop(&mut self) {
        if !self.finished {
            let _ = self.stream.reset(GIVEN_UP);
        }
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
