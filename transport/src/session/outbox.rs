//! Messages that wait to be sent: one bounded queue and one QUIC stream per class.
//!
//! A class's stream is opened with its first message and lives as long as the session. A class
//! that cannot be sent fills its own queue and stops its own senders, nobody else's.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use novacron_protocol::frame::HEADER_BYTES;
use novacron_protocol::wire::Class;
use novacron_transport_core::class::Scheduler;
use novacron_transport_core::header::StreamHeader;
use novacron_transport_core::hedge::COPY_BYTES_MAX;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

use super::SessionError;
use super::connection::Connection;
use super::copies::travels_twice;
use super::writer::FrameWriter;

/// The queues of one session.
#[derive(Debug)]
pub(crate) struct Outbox {
    connection: Arc<Connection>,
    queues: [OnceLock<Queue>; Class::ALL.len()],
}

#[derive(Debug)]
struct Queue {
    frames_tx: mpsc::Sender<Queued>,
    room: Arc<Semaphore>,
}

/// A frame and the room that it takes, given back when QUIC has it.
#[derive(Debug)]
struct Queued {
    frame: Bytes,
    room: OwnedSemaphorePermit,
}

impl Outbox {
    pub(crate) fn new(connection: Arc<Connection>) -> Self {
        Self { connection, queues: Default::default() }
    }

    /// Queues a frame; waits while the class is full.
    pub(crate) async fn send(&self, class: Class, frame: Bytes) -> Result<(), SessionError> {
        let queue = self.queue(class)?;
        let wait = async {
            let room = Arc::clone(&queue.room).acquire_many_owned(bytes_of(&frame)).await.ok()?;
            queue.frames_tx.send(Queued { frame, room }).await.ok()
        };
        tokio::select! {
            sent = wait => match sent {
                Some(()) => Ok(()),
                None => Err(self.connection.closed().await),
            },
            error = self.connection.closed() => Err(error),
        }
    }

    /// Queues a frame, or refuses.
    pub(crate) fn try_send(&self, class: Class, frame: Bytes) -> Result<(), SessionError> {
        let queue = self.queue(class)?;
        let full = SessionError::QueueFull(class);
        let Ok(room) = Arc::clone(&queue.room).try_acquire_many_owned(bytes_of(&frame)) else {
            return Err(full);
        };
        queue.frames_tx.try_send(Queued { frame, room }).map_err(|refused| match refused {
            mpsc::error::TrySendError::Full(_) => full,
            mpsc::error::TrySendError::Closed(_) => self.connection.ended().unwrap_or(full),
        })
    }

    fn queue(&self, class: Class) -> Result<&Queue, SessionError> {
        if let Some(error) = self.connection.ended() {
            return Err(error);
        }
        Ok(self.queues[class as usize].get_or_init(|| {
            let share = Scheduler.share(class);
            let (frames_tx, frames_rx) = mpsc::channel(share.queue_messages);
            tokio::spawn(write_class(Arc::clone(&self.connection), class, frames_rx));
            Queue { frames_tx, room: Arc::new(Semaphore::new(share.queue_bytes)) }
        }))
    }
}

fn bytes_of(frame: &Bytes) -> u32 {
    u32::try_from(frame.len()).expect("a frame is at most 4 MiB long")
}

/// Writes one class's frames until the session ends.
async fn write_class(
    connection: Arc<Connection>,
    class: Class,
    mut frames_rx: mpsc::Receiver<Queued>,
) {
    let write_all = async {
        let stream = connection.quic.open_uni(class).await.ok()?;
        let mut writer = FrameWriter::new(stream);
        let header = [StreamHeader::Messages(class).to_byte()];
        writer.write(Bytes::copy_from_slice(&header)).await.ok()?;
        let mut seq = 0;
        while let Some(Queued { frame, room }) = frames_rx.recv().await {
            let message = frame.slice(HEADER_BYTES..);
            if writer.write(frame).await.is_err() {
                return Some(());
            }
            if travels_twice(class) && message.len() <= COPY_BYTES_MAX {
                connection.quic.repeat(class, seq, message);
            }
            seq += 1;
            drop(room);
        }
        writer.finish();
        Some(())
    };
    // A write fails only when the session ends, or when the peer stops a class's stream, which
    // the protocol does not know: both are the end of this class.
    tokio::select! {
        _ = write_all => {}
        _ = connection.closed() => return,
    }
    if connection.ended().is_none() && !frames_rx.is_closed() {
        connection.blame(format_args!("the peer stopped the {class} stream"));
    }
}
