//! Received messages that wait for the application, bounded per class.
//!
//! A full class is not read further, so that QUIC's flow control stops its sender; other classes
//! are not affected. The most urgent class is handed out first.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use novacron_protocol::limits::CLASS_QUEUE_MESSAGES;
use novacron_protocol::wire::Class;
use novacron_transport_core::class::Scheduler;
use tokio::sync::Notify;

use super::SessionError;
use super::connection::Connection;

/// Messages received and not yet taken.
#[derive(Debug)]
pub(crate) struct Inbox {
    connection: Arc<Connection>,
    queues: Mutex<[Queue; Class::ALL.len()]>,
    arrived: Notify,
    taken: Notify,
}

#[derive(Debug, Default)]
struct Queue {
    frames: VecDeque<Bytes>,
    bytes: usize,
}

impl Queue {
    fn is_full(&self, class: Class) -> bool {
        self.bytes >= Scheduler.share(class).inbox_bytes
            || self.frames.len() >= CLASS_QUEUE_MESSAGES
    }
}

impl Inbox {
    pub(crate) fn new(connection: Arc<Connection>) -> Arc<Self> {
        Arc::new(Self {
            connection,
            queues: Mutex::default(),
            arrived: Notify::new(),
            taken: Notify::new(),
        })
    }

    /// Adds a message; waits while its class is full.
    pub(crate) async fn push(&self, class: Class, frame: Bytes) -> Result<(), SessionError> {
        loop {
            let mut taken = std::pin::pin!(self.taken.notified());
            taken.as_mut().enable();
            if self.try_push(class, &frame) {
                self.arrived.notify_waiters();
                return Ok(());
            }
            tokio::select! {
                () = taken => {}
                error = self.connection.closed() => return Err(error),
            }
        }
    }

    /// The next message of the most urgent class among `wanted`. What the peer sent before it
    /// closed is still handed out; when this side closed, nothing is.
    pub(crate) async fn recv(&self, wanted: &[Class]) -> Result<(Class, Bytes), SessionError> {
        loop {
            let mut arrived = std::pin::pin!(self.arrived.notified());
            arrived.as_mut().enable();
            if self.connection.closed_here() {
                return Err(self.connection.closed().await);
            }
            if let Some(message) = self.take(wanted) {
                self.taken.notify_waiters();
                return Ok(message);
            }
            tokio::select! {
                () = arrived => {}
                error = self.connection.closed() => return self.take(wanted).ok_or(error),
            }
        }
    }

    fn try_push(&self, class: Class, frame: &Bytes) -> bool {
        let mut queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        let queue = &mut queues[class as usize];
        if queue.is_full(class) {
            return false;
        }
        queue.bytes += frame.len();
        queue.frames.push_back(frame.clone());
        true
    }

    fn take(&self, wanted: &[Class]) -> Option<(Class, Bytes)> {
        let mut queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        let waiting = wanted.iter().copied().filter(|c| !queues[*c as usize].frames.is_empty());
        let class = Scheduler.next(waiting)?;
        let queue = &mut queues[class as usize];
        let frame = queue.frames.pop_front()?;
        queue.bytes -= frame.len();
        Some((class, frame))
    }
}
