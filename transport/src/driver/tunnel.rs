//! A session's packets through TCP and TLS, for networks that block UDP.
//!
//! ```text
//!   u16 length (big-endian) | packet | u16 length | packet | ...
//! ```
//!
//! The packets are QUIC's own, encrypted and authenticated from end to end; TLS around them is what
//! such networks let pass. A tunnel is one more way of the same connection, so streams, classes and
//! scheduling stay as they are. Little waits in it: what is not sent yet stays with the scheduler.

use std::io;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};

use bytes::{Buf, Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Notify;

/// ALPN name of a tunnel.
pub(super) const ALPN_TUNNEL: &[u8] = b"novacron-tunnel/1";

/// Bytes that wait to be written; the burst that crosses the bound is still taken. One burst fills
/// it: what waits longer belongs to the scheduler.
const QUEUE_BYTES_MAX: usize = 64 << 10;
/// Bytes in the kernel that have not been sent, for the same reason.
const KERNEL_BYTES_MAX: u32 = 64 << 10;
/// Bytes read at once.
const READ_BYTES: usize = 64 << 10;
/// Longest packet; a longer one is a violation.
const PACKET_BYTES_MAX: usize = 2_048;

/// The writing end's queue and the tunnel's life.
#[derive(Debug)]
pub(super) struct Tunnel {
    peer: SocketAddr,
    queue: Mutex<Queue>,
    /// Something waits to be written, or the tunnel is closed.
    filled: Notify,
    /// There is room again, or the tunnel is closed.
    emptied: Notify,
}

#[derive(Debug, Default)]
struct Queue {
    bytes: BytesMut,
    closed: bool,
}

impl Tunnel {
    pub(super) fn new(peer: SocketAddr) -> Self {
        Self { peer, queue: Mutex::default(), filled: Notify::new(), emptied: Notify::new() }
    }

    /// The other end of the TCP connection.
    pub(super) fn peer(&self) -> SocketAddr {
        self.peer
    }

    /// Queues packets of `segment_bytes` each, or says `WouldBlock`. A closed tunnel loses them, as
    /// a network does.
    pub(super) fn try_send(&self, packets: &[u8], segment_bytes: usize) -> io::Result<()> {
        let mut queue = self.lock();
        if queue.closed {
            return Ok(());
        }
        if queue.bytes.len() >= QUEUE_BYTES_MAX {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        for packet in packets.chunks(segment_bytes.max(1)) {
            let length = u16::try_from(packet.len()).expect("a packet is shorter than 64 KiB");
            queue.bytes.extend_from_slice(&length.to_be_bytes());
            queue.bytes.extend_from_slice(packet);
        }
        drop(queue);
        self.filled.notify_one();
        Ok(())
    }

    /// Waits until [`Self::try_send`] may take more.
    pub(super) async fn writable(&self) {
        loop {
            let mut emptied = std::pin::pin!(self.emptied.notified());
            emptied.as_mut().enable();
            if self.has_room() {
                return;
            }
            emptied.await;
        }
    }

    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.filled.notify_one();
        self.emptied.notify_waiters();
    }

    /// Carries packets both ways until either end closes; `arrived` takes those of the peer.
    pub(super) async fn carry<S>(&self, stream: S, arrived: impl FnMut(BytesMut)) -> io::Result<()>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let (read, write) = tokio::io::split(stream);
        let carried = tokio::select! {
            written = self.write(write) => written,
            read = Self::read(read, arrived) => read,
        };
        self.close();
        carried
    }

    async fn write(&self, mut stream: impl AsyncWrite + Unpin) -> io::Result<()> {
        loop {
            self.filled.notified().await;
            loop {
                let waiting: Bytes = {
                    let mut queue = self.lock();
                    if queue.closed {
                        return Ok(());
                    }
                    queue.bytes.split().freeze()
                };
                if waiting.is_empty() {
                    break;
                }
                self.emptied.notify_waiters();
                stream.write_all(&waiting).await?;
                stream.flush().await?;
            }
        }
    }

    async fn read(
        mut stream: impl AsyncRead + Unpin,
        mut arrived: impl FnMut(BytesMut),
    ) -> io::Result<()> {
        let mut buffer = BytesMut::with_capacity(READ_BYTES);
        loop {
            if stream.read_buf(&mut buffer).await? == 0 {
                return Ok(());
            }
            while let Some(packet) = next_packet(&mut buffer)? {
                arrived(packet);
            }
            buffer.reserve(READ_BYTES);
        }
    }

    fn has_room(&self) -> bool {
        let queue = self.lock();
        queue.closed || queue.bytes.len() < QUEUE_BYTES_MAX
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Sets a TCP connection up to delay nothing and to hoard nothing.
pub(super) fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let socket = socket2::SockRef::from(stream);
    // Where the kernel has it: it does not take each loss for congestion.
    let _ = socket.set_tcp_congestion(b"bbr");
    socket.set_tcp_notsent_lowat(KERNEL_BYTES_MAX)
}

/// Takes the first packet off `buffer` if it is whole.
fn next_packet(buffer: &mut BytesMut) -> io::Result<Option<BytesMut>> {
    let Some(header) = buffer.first_chunk::<2>() else { return Ok(None) };
    let length = usize::from(u16::from_be_bytes(*header));
    if length == 0 || length > PACKET_BYTES_MAX {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            format!("a packet of {length} bytes; at most {PACKET_BYTES_MAX} are allowed"),
        ));
    }
    if buffer.len() < 2 + length {
        return Ok(None);
    }
    buffer.advance(2);
    Ok(Some(buffer.split_to(length)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn packets_arrive_as_they_were_sent(
            packets in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..1_500), 0..9),
            cut in 1..64_usize,
        ) {
            let tunnel = Tunnel::new(([127, 0, 0, 1], 1).into());
            for packet in &packets {
                tunnel.try_send(packet, packet.len()).unwrap();
            }
            let sent = tunnel.lock().bytes.split().freeze();
            let (mut buffer, mut arrived) = (BytesMut::new(), Vec::new());
            for piece in sent.chunks(cut) {
                buffer.extend_from_slice(piece);
                while let Some(packet) = next_packet(&mut buffer).unwrap() {
                    arrived.push(packet.to_vec());
                }
            }
            prop_assert_eq!(arrived, packets);
        }

        #[test]
        fn hostile_bytes_are_packets_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..4_096)) {
            let mut buffer = BytesMut::from(&bytes[..]);
            while let Ok(Some(packet)) = next_packet(&mut buffer) {
                prop_assert!(!packet.is_empty() && packet.len() <= PACKET_BYTES_MAX);
            }
        }
    }

    #[test]
    fn a_full_tunnel_takes_no_more_until_it_was_emptied() {
        let tunnel = Tunnel::new(([127, 0, 0, 1], 1).into());
        let burst = vec![0; QUEUE_BYTES_MAX];
        tunnel.try_send(&burst, 1_200).unwrap();
        let refused = tunnel.try_send(&burst, 1_200).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::WouldBlock);
        tunnel.lock().bytes.clear();
        tunnel.try_send(&burst, 1_200).unwrap();
    }
}
