//! Takes the streams that the peer opens and hands on what they carry.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use novacron_protocol::codec;
use novacron_protocol::limits::{COMMAND_BYTES_MAX, FRAME_BYTES_MAX, HELLO_BYTES_MAX};
use novacron_protocol::wire::Class;
use novacron_protocol::wire::call::Request;
use novacron_protocol::wire::hello::CertificateUpdate;
use novacron_transport_core::header::StreamHeader;
use tokio::sync::{Semaphore, mpsc};

use super::connection::Connection;
use super::copies::{Arrivals, travels_twice};
use super::inbox::Inbox;
use super::reader::{FrameReader, ReadFailure, first_byte};
use super::standing::Standing;
use crate::call::IncomingCall;
use crate::driver::{RecvStream, SendStream};

/// Longest request; the largest carries a command to propose.
const REQUEST_BYTES_MAX: usize = COMMAND_BYTES_MAX + HELLO_BYTES_MAX;
/// A request must be whole after this long.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// What the receiving tasks of one session share.
#[derive(Debug)]
pub(crate) struct Receiver {
    pub(crate) connection: Arc<Connection>,
    pub(crate) inbox: Arc<Inbox>,
    pub(crate) standing: Arc<Standing>,
    pub(crate) calls_tx: mpsc::Sender<IncomingCall>,
    pub(crate) bodies: Arc<Semaphore>,
    /// Classes whose stream the peer has opened.
    pub(crate) opened: Mutex<BTreeSet<Class>>,
    pub(crate) arrivals: Arrivals,
}

impl Receiver {
    /// Runs until the session ends. QUIC bounds how many streams are open, hence the tasks.
    pub(crate) async fn run(self) {
        let this = Arc::new(self);
        tokio::spawn(Arc::clone(&this).copies());
        loop {
            tokio::select! {
                stream = this.connection.quic.accept_uni() => match stream {
                    Ok(stream) => tokio::spawn(Arc::clone(&this).one_way(stream)),
                    Err(_) => return,
                },
                streams = this.connection.quic.accept_bi(Class::Command) => match streams {
                    Ok((send, recv)) => tokio::spawn(Arc::clone(&this).call(send, recv)),
                    Err(_) => return,
                },
            };
        }
    }

    /// Takes second copies of urgent messages.
    async fn copies(self: Arc<Self>) {
        while let Ok(datagram) = self.connection.quic.datagram().await {
            let pushed = self.arrivals.push_datagram(&self.connection, &self.inbox, datagram);
            if pushed.await.is_err() {
                return;
            }
        }
    }

    async fn one_way(self: Arc<Self>, mut stream: RecvStream) {
        let Some(byte) = first_byte(&mut stream).await else { return };
        match StreamHeader::from_byte(byte) {
            Ok(StreamHeader::Messages(class)) => self.messages(class, stream).await,
            Ok(StreamHeader::CertificateUpdate) => self.certificate_update(stream).await,
            Ok(StreamHeader::Call(_)) | Err(_) => {
                self.connection.blame(format_args!("one-way stream of unknown kind {byte:#04x}"));
            }
        }
    }

    async fn messages(&self, class: Class, stream: RecvStream) {
        let first = self.opened.lock().unwrap_or_else(PoisonError::into_inner).insert(class);
        if !first {
            self.connection.blame(format_args!("a second {class} stream"));
            return;
        }
        let mut reader = FrameReader::new(stream, FRAME_BYTES_MAX);
        loop {
            match reader.frame().await {
                Ok(Some(frame)) => {
                    let pushed = if travels_twice(class) {
                        self.arrivals.push_stream(&self.inbox, class, frame).await
                    } else {
                        self.inbox.push(class, frame).await
                    };
                    if pushed.is_err() {
                        return;
                    }
                }
                Ok(None) => return,
                Err(failure) => return self.failed(&failure, class),
            }
        }
    }

    async fn certificate_update(&self, stream: RecvStream) {
        let mut reader = FrameReader::new(stream, HELLO_BYTES_MAX);
        let update = match reader.expect_frame().await {
            Ok(frame) => codec::decode::<CertificateUpdate>(&frame, HELLO_BYTES_MAX),
            Err(failure) => return self.failed(&failure, "certificate update"),
        };
        let taken = update.map_err(|error| error.to_string()).and_then(|update| {
            self.standing.take_update(&self.connection, &update).map_err(|error| error.to_string())
        });
        if let Err(problem) = taken {
            self.connection.blame(format_args!("certificate update: {problem}"));
        }
    }

    async fn call(self: Arc<Self>, send: SendStream, mut recv: RecvStream) {
        let read = async {
            let byte = first_byte(&mut recv).await?;
            let Ok(StreamHeader::Call(class)) = StreamHeader::from_byte(byte) else {
                self.connection.blame(format_args!("two-way stream of unknown kind {byte:#04x}"));
                return None;
            };
            let mut reader = FrameReader::new(recv, REQUEST_BYTES_MAX);
            let frame = match reader.expect_frame().await {
                Ok(frame) => frame,
                Err(failure) => {
                    self.failed(&failure, "request");
                    return None;
                }
            };
            match codec::decode::<Request>(&frame, REQUEST_BYTES_MAX) {
                Ok(request) => Some((class, request, reader)),
                Err(error) => {
                    self.connection.blame(error);
                    None
                }
            }
        };
        // A request that does not arrive in time is dropped, which gives its stream up.
        let Ok(Some((class, request, reader))) = tokio::time::timeout(REQUEST_TIMEOUT, read).await
        else {
            return;
        };
        let connection = Arc::clone(&self.connection);
        let bodies = Arc::clone(&self.bodies);
        let call = IncomingCall::new(class, request, reader, send, connection, bodies);
        // Fails only when the session's last handle is gone; dropping the call tells the peer.
        let _ = self.calls_tx.send(call).await;
    }

    fn failed(&self, failure: &ReadFailure, what: impl std::fmt::Display) {
        if failure.is_violation() {
            self.connection.blame(format_args!("{what}: {failure}"));
        }
    }
}
