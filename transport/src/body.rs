//! Raw bytes after a request or an answer, up to the stream's end.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, ReadBuf};

use crate::driver::{ReadError, RecvStream, WriteError};
use crate::session::SessionError;
use crate::session::connection::Connection;
use crate::session::reader::{CHUNK_BYTES, FrameReader, STALL_TIMEOUT};
use crate::session::writer::FrameWriter;

/// The raw bytes that follow a frame. Also an [`AsyncRead`]. Dropping it tells the sender to stop.
#[derive(Debug)]
pub struct Body {
    /// Came along with the frame.
    head: Bytes,
    rest: RecvStream,
    connection: Arc<Connection>,
}

impl Body {
    pub(crate) fn new(reader: FrameReader, connection: Arc<Connection>) -> Self {
        let (head, rest) = reader.into_rest();
        Self { head, rest, connection }
    }

    /// The next bytes in order; `None` at the sender's regular end. A body that was cut off is
    /// an error, never an end.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, SessionError> {
        if !self.head.is_empty() {
            return Ok(Some(std::mem::take(&mut self.head)));
        }
        match tokio::time::timeout(STALL_TIMEOUT, self.rest.chunk(CHUNK_BYTES)).await {
            Ok(Ok(chunk)) => Ok(chunk),
            Ok(Err(ReadError::ConnectionLost(error))) => Err(self.connection.explain(error)),
            Ok(Err(ReadError::Reset)) => Err(SessionError::BadBody("the sender gave it up".into())),
            Err(_) => Err(SessionError::Timeout(STALL_TIMEOUT)),
        }
    }

    /// All of it, at most `max` bytes.
    pub async fn read_to_end(&mut self, max: usize) -> Result<Bytes, SessionError> {
        let mut all = BytesMut::new();
        while let Some(chunk) = self.chunk().await? {
            if all.len() + chunk.len() > max {
                return Err(SessionError::BadBody(format!("it is longer than {max} bytes")));
            }
            all.extend_from_slice(&chunk);
        }
        Ok(all.freeze())
    }

    /// All of it, exactly `len` bytes.
    pub async fn read_exactly(&mut self, len: usize) -> Result<Bytes, SessionError> {
        let all = self.read_to_end(len).await?;
        if all.len() < len {
            return Err(SessionError::BadBody(format!("it has {} of {len} bytes", all.len())));
        }
        Ok(all)
    }
}

impl AsyncRead for Body {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.head.is_empty() {
            return AsyncRead::poll_read(Pin::new(&mut self.rest), context, buffer);
        }
        let len = self.head.len().min(buffer.remaining());
        buffer.put_slice(&self.head[..len]);
        self.head.advance(len);
        Poll::Ready(Ok(()))
    }
}

/// Sends all of `body`. A reader that has heard enough is no failure.
pub(crate) async fn send(
    writer: &mut FrameWriter,
    mut body: impl AsyncRead + Unpin,
    connection: &Connection,
) -> Result<(), SessionError> {
    loop {
        let mut buffer = BytesMut::with_capacity(CHUNK_BYTES);
        let read = body.read_buf(&mut buffer).await;
        if read.map_err(|error| SessionError::BadBody(error.to_string()))? == 0 {
            return Ok(());
        }
        match tokio::time::timeout(STALL_TIMEOUT, writer.write(buffer.freeze())).await {
            Ok(Ok(())) => {}
            Ok(Err(WriteError::ConnectionLost(error))) => {
                return Err(connection.explain(error));
            }
            Ok(Err(WriteError::Stopped)) => return Ok(()),
            Err(_) => return Err(SessionError::Timeout(STALL_TIMEOUT)),
        }
    }
}
