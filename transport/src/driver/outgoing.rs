//! Bytes that the application has written and that wait to be sent, by class and stream.
//!
//! A stream takes a whole chunk while fewer than [`QUEUE_BYTES_MAX`] wait, so a writer is at most
//! one chunk ahead of that. Streams of one class take turns. A stream that the peer's flow control
//! stops leaves its class's turn until QUIC says that it may go on.

use std::collections::{HashMap, VecDeque};
use std::task::Waker;

use bytes::Bytes;
use novacron_protocol::wire::Class;
use quinn::{StreamId, VarInt};

/// Bytes of one stream that wait before its writer has to: two of the largest bursts at 10 Gbit/s.
const QUEUE_BYTES_MAX: usize = 512 << 10;

/// All streams that this side writes to.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    streams: HashMap<StreamId, Queue>,
    /// Streams of each class that have bytes waiting and may send them.
    ready: [VecDeque<StreamId>; Class::ALL.len()],
}

#[derive(Debug)]
struct Queue {
    class: Class,
    chunks: VecDeque<Bytes>,
    bytes: usize,
    end: End,
    /// In its class's `ready`.
    listed: bool,
    /// Stopped by the peer's flow control.
    blocked: bool,
    writer: Option<Waker>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Open,
    /// The end follows the waiting bytes.
    Wanted,
}

/// What became of an offered chunk.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Offer {
    Taken,
    /// Too much is waiting; the waker is called when that has changed.
    Full,
    /// The stream has ended or was given up.
    Closed,
}

impl Outgoing {
    pub(super) fn open(&mut self, id: StreamId, class: Class) {
        let queue = Queue {
            class,
            chunks: VecDeque::new(),
            bytes: 0,
            end: End::Open,
            listed: false,
            blocked: false,
            writer: None,
        };
        self.streams.insert(id, queue);
    }

    /// Streams that have not ended.
    pub(super) fn len(&self) -> usize {
        self.streams.len()
    }

    /// Gives a stream another class; only while nothing waits on it.
    pub(super) fn set_class(&mut self, id: StreamId, class: Class) {
        if let Some(queue) = self.streams.get_mut(&id).filter(|queue| queue.bytes == 0) {
            queue.class = class;
        }
    }

    pub(super) fn class(&self, id: StreamId) -> Option<Class> {
        self.streams.get(&id).map(|queue| queue.class)
    }

    /// Queues `chunk` unless too much waits already.
    pub(super) fn offer(&mut self, id: StreamId, chunk: &Bytes, writer: &Waker) -> Offer {
        let Some(queue) = self.streams.get_mut(&id).filter(|queue| queue.end == End::Open) else {
            return Offer::Closed;
        };
        if queue.bytes >= QUEUE_BYTES_MAX {
            queue.writer = Some(writer.clone());
            return Offer::Full;
        }
        if !chunk.is_empty() {
            queue.bytes += chunk.len();
            queue.chunks.push_back(chunk.clone());
            self.list(id);
        }
        Offer::Taken
    }

    /// Ends a stream after what waits on it.
    pub(super) fn finish(&mut self, quic: &mut quinn_proto::Connection, id: StreamId) {
        let Some(queue) = self.streams.get_mut(&id) else { return };
        queue.end = End::Wanted;
        if queue.bytes == 0 {
            self.streams.remove(&id);
            // Fails only when the peer has stopped the stream: it does not want the end.
            let _ = quic.send_stream(id).finish();
        }
    }

    /// Gives a stream up; what waits on it is dropped. Says of which class how many bytes were.
    pub(super) fn reset(
        &mut self,
        quic: &mut quinn_proto::Connection,
        id: StreamId,
        code: VarInt,
    ) -> Option<(Class, u64)> {
        let dropped = self.forget(id);
        // Fails only on a stream that has ended already.
        let _ = quic.send_stream(id).reset(code);
        dropped
    }

    /// The peer does not want a stream: its writer hears of it.
    pub(super) fn stopped(&mut self, id: StreamId) -> Option<(Class, u64)> {
        self.forget(id)
    }

    /// Moves at most `bytes_max` of one class into QUIC, the class's streams in turn. Says how
    /// many it were; fewer when flow control stops them.
    pub(super) fn fill(
        &mut self,
        quic: &mut quinn_proto::Connection,
        class: Class,
        bytes_max: u64,
    ) -> u64 {
        let mut moved = 0;
        while moved < bytes_max {
            let Some(id) = self.ready[class as usize].pop_front() else { break };
            let Some(queue) = self.streams.get_mut(&id) else { continue };
            queue.listed = false;
            let room = usize::try_from(bytes_max - moved).unwrap_or(usize::MAX);
            let written = queue.write(quic, id, room);
            moved += written as u64;
            if queue.bytes < QUEUE_BYTES_MAX / 2
                && let Some(writer) = queue.writer.take()
            {
                writer.wake();
            }
            if queue.bytes == 0 && queue.end == End::Wanted {
                self.finish(quic, id);
            } else {
                self.list(id);
            }
        }
        moved
    }

    /// Whether a class has bytes that QUIC would take.
    pub(super) fn is_ready(&self, class: Class) -> bool {
        !self.ready[class as usize].is_empty()
    }

    /// The peer's flow control lets a stream go on. Says which class.
    pub(super) fn unblock(&mut self, id: StreamId) -> Option<Class> {
        let queue = self.streams.get_mut(&id)?;
        queue.blocked = false;
        let class = queue.class;
        self.list(id);
        Some(class)
    }

    /// The connection is over: all writers find out.
    pub(super) fn close(&mut self) {
        for (_, mut queue) in self.streams.drain() {
            if let Some(writer) = queue.writer.take() {
                writer.wake();
            }
        }
        self.ready.iter_mut().for_each(VecDeque::clear);
    }

    fn forget(&mut self, id: StreamId) -> Option<(Class, u64)> {
        let mut queue = self.streams.remove(&id)?;
        if let Some(writer) = queue.writer.take() {
            writer.wake();
        }
        Some((queue.class, queue.bytes as u64))
    }

    fn list(&mut self, id: StreamId) {
        let Some(queue) = self.streams.get_mut(&id) else { return };
        if !queue.listed && !queue.blocked && queue.bytes > 0 {
            queue.listed = true;
            self.ready[queue.class as usize].push_back(id);
        }
    }
}

impl Queue {
    /// Moves at most `bytes_max` into QUIC.
    fn write(
        &mut self,
        quic: &mut quinn_proto::Connection,
        id: StreamId,
        bytes_max: usize,
    ) -> usize {
        let mut stream = quic.send_stream(id);
        let mut moved = 0;
        while moved < bytes_max
            && let Some(chunk) = self.chunks.front_mut()
        {
            let mut piece = chunk.slice(..chunk.len().min(bytes_max - moved));
            match stream.write_chunks(std::slice::from_mut(&mut piece)) {
                Ok(written) => {
                    moved += written.bytes;
                    self.bytes -= written.bytes;
                    if written.bytes == chunk.len() {
                        self.chunks.pop_front();
                    } else {
                        *chunk = chunk.slice(written.bytes..);
                    }
                }
                // By flow control, or by a peer that has stopped the stream: its event is on the way.
                Err(_) => {
                    self.blocked = true;
                    break;
                }
            }
        }
        moved
    }
}
