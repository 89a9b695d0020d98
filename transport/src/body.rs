//! Raw bytes after a request or an answer, up to the stream's end.

use bytes::Bytes;

use crate::session::SessionError;

/// The raw bytes that follow a frame. Also a [`tokio::io::AsyncRead`]. Dropping it tells the
/// sender to stop.
#[derive(Debug)]
pub struct Body;

#[expect(unused_variables, reason = "signatures first")]
impl Body {
    /// The next bytes in order; `None` at the sender's regular end. A body that was cut off is
    /// an error, never an end.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, SessionError> {
        unimplemented!()
    }

    /// All of it, at most `max` bytes.
    pub async fn read_to_end(&mut self, max: usize) -> Result<Bytes, SessionError> {
        unimplemented!()
    }

    /// All of it, exactly `len` bytes.
    pub async fn read_exactly(&mut self, len: usize) -> Result<Bytes, SessionError> {
        unimplemented!()
    }
}
