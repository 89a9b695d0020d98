//! The two ends of a stream.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use bytes::Bytes;
use novacron_protocol::wire::Class;
use quinn::{ConnectionError, StreamId, VarInt};
use quinn_proto::Chunks;
use tokio::io::{AsyncRead, ReadBuf};

use super::connection::{BURSTS_ON_WRITE, Connection};
use super::outgoing::Offer;

/// The writing end. Dropped before [`Self::finish`], the stream is given up, not ended: the peer
/// must not take the first half of something for the whole.
#[derive(Debug)]
pub(crate) struct SendStream {
    connection: Connection,
    id: StreamId,
    finished: bool,
}

/// The reading end. Dropped before its end, the peer is told to stop.
#[derive(Debug)]
pub(crate) struct RecvStream {
    connection: Connection,
    id: StreamId,
    /// Taken out of QUIC, a run of packets at a time, so that not each of them costs a lock.
    taken: VecDeque<Bytes>,
    /// How it ended, once it has.
    end: Option<Result<(), ReadError>>,
}

/// Why nothing was written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum WriteError {
    /// The peer wants no more, or the stream has ended.
    #[error("the peer has stopped the stream")]
    Stopped,
    #[error(transparent)]
    ConnectionLost(ConnectionError),
}

/// Why nothing was read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ReadError {
    /// The peer has given the stream up.
    #[error("the peer has given the stream up")]
    Reset,
    #[error(transparent)]
    ConnectionLost(ConnectionError),
}

/// Code of a stream that was given up.
const GIVEN_UP: VarInt = VarInt::from_u32(1);

impl SendStream {
    pub(super) fn new(connection: Connection, id: StreamId) -> Self {
        Self { connection, id, finished: false }
    }

    /// Queues a chunk as a whole; waits while too much waits already. May be cancelled: then
    /// nothing was written.
    pub(crate) async fn write(&mut self, chunk: Bytes) -> Result<(), WriteError> {
        poll_fn(|context| self.poll_write(context, &chunk)).await
    }

    /// What is written from now on has another class. Only while nothing waits to be sent.
    pub(crate) fn set_class(&mut self, class: Class) {
        let mut state = self.connection.shared().lock();
        state.outgoing.set_class(self.id, class);
        // Fails only on a stream that is over.
        let _ = state.quic.send_stream(self.id).set_priority(-(class as i32));
    }

    /// Ends the stream after what was written.
    pub(crate) fn finish(&mut self) {
        self.finished = true;
        self.connection.shared().with(|state| state.outgoing.finish(&mut state.quic, self.id));
    }

    /// Resolves when the peer has everything, has stopped the stream, or is gone.
    pub(crate) fn settled(&self) -> impl Future<Output = ()> + Send + 'static + use<> {
        let (connection, id) = (self.connection.clone(), self.id);
        async move {
            loop {
                let settling = {
                    let mut state = connection.shared().lock();
                    let stopped = state.quic.send_stream(id).stopped();
                    if state.error().is_some() || !matches!(stopped, Ok(None)) {
                        return;
                    }
                    let settling = state.settling(id);
                    // Registered before the lock is let go, so that no end is missed.
                    let mut ended = Box::pin(settling.notified_owned());
                    ended.as_mut().enable();
                    ended
                };
                settling.await;
            }
        }
    }

    fn poll_write(
        &mut self,
        context: &mut Context<'_>,
        chunk: &Bytes,
    ) -> Poll<Result<(), WriteError>> {
        let shared = self.connection.shared();
        let mut state = shared.lock();
        if let Some(error) = state.error() {
            return Poll::Ready(Err(WriteError::ConnectionLost(error.clone())));
        }
        match state.outgoing.offer(self.id, chunk, context.waker()) {
            Offer::Taken => {
                let since = state.since(Instant::now());
                if let Some(class) = state.outgoing.class(self.id) {
                    state.ass.handle_queued(since, class, chunk.len() as u64, None);
                    // Others of the class may be stopped by flow control; this one is not, or
                    // sending finds out.
                    state.ass.handle_unblocked(class);
                }
                shared.transmit_now(state, BURSTS_ON_WRITE);
                Poll::Ready(Ok(()))
            }
            Offer::Full => Poll::Pending,
            Offer::Closed => Poll::Ready(Err(WriteError::Stopped)),
        }
    }
}

impl Drop for SendStream {
    fn drop(&mut self) {
        if self.finished {
            return;
        }
        self.connection.shared().with(|state| {
            if state.error().is_none()
                && let Some((class, bytes)) =
                    state.outgoing.reset(&mut state.quic, self.id, GIVEN_UP)
            {
                state.ass.handle_dropped(class, bytes);
            }
        });
    }
}

impl RecvStream {
    pub(super) fn new(connection: Connection, id: StreamId) -> Self {
        Self { connection, id, taken: VecDeque::new(), end: None }
    }

    /// The next bytes in order, at most `bytes_max`; `None` at the regular end. May be cancelled.
    pub(crate) async fn chunk(&mut self, bytes_max: usize) -> Result<Option<Bytes>, ReadError> {
        poll_fn(|context| self.poll_chunk(context, bytes_max)).await
    }

    fn poll_chunk(
        &mut self,
        context: &mut Context<'_>,
        bytes_max: usize,
    ) -> Poll<Result<Option<Bytes>, ReadError>> {
        if self.taken.is_empty() && self.end.is_none() {
            ready!(self.poll_take(context));
        }
        match self.taken.front_mut() {
            Some(chunk) if chunk.len() > bytes_max => {
                Poll::Ready(Ok(Some(chunk.split_to(bytes_max))))
            }
            Some(_) => Poll::Ready(Ok(self.taken.pop_front())),
            None => Poll::Ready(self.end.clone().unwrap_or(Ok(())).map(|()| None)),
        }
    }

    /// Takes what is there, or learns how the stream has ended.
    fn poll_take(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let shared = Arc::clone(self.connection.shared());
        let mut state = shared.lock();
        let (end, credit) = match state.quic.recv_stream(self.id).read(true) {
            Ok(mut chunks) => {
                (take(&mut chunks, &mut self.taken), chunks.finalize().should_transmit())
            }
            // It was forgotten by QUIC, as after the connection's end.
            Err(_) => (Err(quinn_proto::ReadError::Blocked), false),
        };
        self.end = match end {
            Ok(true) => Some(Ok(())),
            Ok(false) => None,
            Err(quinn_proto::ReadError::Reset(_)) => Some(Err(ReadError::Reset)),
            Err(quinn_proto::ReadError::Blocked) if !self.taken.is_empty() => None,
            Err(quinn_proto::ReadError::Blocked) => match state.error() {
                Some(error) => Some(Err(ReadError::ConnectionLost(error.clone()))),
                None => {
                    state.wait_readable(self.id, context.waker());
                    return Poll::Pending;
                }
            },
        };
        drop(state);
        if credit {
            shared.wake();
        }
        Poll::Ready(())
    }
}

/// Moves chunks in order, about [`TAKE_BYTES`] of them. Says whether that was the regular end.
fn take(
    chunks: &mut Chunks<'_>,
    taken: &mut VecDeque<Bytes>,
) -> Result<bool, quinn_proto::ReadError> {
    let mut bytes = 0;
    while bytes < TAKE_BYTES {
        match chunks.next(TAKE_BYTES)? {
            Some(chunk) => {
                bytes += chunk.bytes.len();
                taken.push_back(chunk.bytes);
            }
            None => return Ok(true),
        }
    }
    Ok(false)
}

/// What a reader takes out of QUIC at once; the peer may send as much more.
const TAKE_BYTES: usize = 64 << 10;

impl AsyncRead for RecvStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let chunk = ready!(self.poll_chunk(context, buffer.remaining()));
        if let Some(chunk) = chunk.map_err(io::Error::other)? {
            buffer.put_slice(&chunk);
        }
        Poll::Ready(Ok(()))
    }
}

impl Drop for RecvStream {
    fn drop(&mut self) {
        if self.end.is_some() {
            return;
        }
        self.connection.shared().with(|state| {
            state.forget_reader(self.id);
            if state.error().is_none() {
                // Fails only when the stream has ended.
                let _ = state.quic.recv_stream(self.id).stop(GIVEN_UP);
            }
        });
    }
}
