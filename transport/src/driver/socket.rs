//! A UDP socket with segmentation offload in both directions.

use std::io::{self, IoSliceMut};
use std::net::SocketAddr;

use quinn::udp::{self, RecvMeta, Transmit, UdpSocketState};
use quinn_proto::EcnCodepoint;
use tokio::io::Interest;
use tokio::net::UdpSocket;

/// Packets of one system call. The kernel takes at most 64 segments and 64 KiB; 44 packets of 1,472
/// bytes are what fits.
pub(super) const SEGMENTS_MAX: usize = 44;
/// Bytes that one receive buffer holds: the most that the kernel merges into one.
const RECEIVE_BYTES: usize = 64 << 10;
/// Receive buffers filled by one system call.
const RECEIVE_BATCH: usize = 16;

/// A bound socket.
#[derive(Debug)]
pub(super) struct Socket {
    io: UdpSocket,
    offload: UdpSocketState,
}

impl Socket {
    pub(super) fn new(socket: std::net::UdpSocket) -> io::Result<Self> {
        let offload = UdpSocketState::new((&socket).into())?;
        socket.set_nonblocking(true)?;
        Ok(Self { io: UdpSocket::from_std(socket)?, offload })
    }

    pub(super) fn local_addr(&self) -> io::Result<SocketAddr> {
        self.io.local_addr()
    }

    /// Whether the network may cut our packets in pieces, so that the path's MTU cannot be probed.
    pub(super) fn may_fragment(&self) -> bool {
        self.offload.may_fragment()
    }

    /// Packets that one [`Self::try_send`] may carry.
    pub(super) fn segments_max(&self) -> usize {
        self.offload.max_gso_segments().min(SEGMENTS_MAX)
    }

    /// Sends, or says `WouldBlock`. Any other trouble is a lost packet: links go down and come
    /// back, and recovery is QUIC's work.
    pub(super) fn try_send(
        &self,
        transmit: &quinn_proto::Transmit,
        bytes: &[u8],
    ) -> io::Result<()> {
        let transmit = Transmit {
            destination: transmit.destination,
            ecn: transmit.ecn.map(|ecn| match ecn {
                EcnCodepoint::Ect0 => udp::EcnCodepoint::Ect0,
                EcnCodepoint::Ect1 => udp::EcnCodepoint::Ect1,
                EcnCodepoint::Ce => udp::EcnCodepoint::Ce,
            }),
            contents: &bytes[..transmit.size],
            segment_size: transmit.segment_size,
            src_ip: transmit.src_ip,
        };
        self.io.try_io(Interest::WRITABLE, || self.offload.send((&self.io).into(), &transmit))
    }

    pub(super) async fn writable(&self) -> io::Result<()> {
        self.io.writable().await
    }

    /// Waits for packets and takes as many as one system call gives.
    pub(super) async fn receive(&self, buffers: &mut Received) -> io::Result<()> {
        self.io.async_io(Interest::READABLE, || self.receive_now(buffers)).await
    }

    /// Takes packets that are here already, or says `WouldBlock`.
    pub(super) fn try_receive(&self, buffers: &mut Received) -> io::Result<()> {
        self.io.try_io(Interest::READABLE, || self.receive_now(buffers))
    }

    fn receive_now(&self, buffers: &mut Received) -> io::Result<()> {
        buffers.filled = 0;
        let mut chunks = buffers.bytes.chunks_mut(RECEIVE_BYTES).map(IoSliceMut::new);
        let mut slices: [IoSliceMut<'_>; RECEIVE_BATCH] =
            std::array::from_fn(|_| chunks.next().expect("there are as many chunks as slices"));
        buffers.filled = self.offload.recv((&self.io).into(), &mut slices, &mut buffers.metas)?;
        Ok(())
    }
}

/// What one receive call has brought.
pub(super) struct Received {
    bytes: Box<[u8]>,
    metas: [RecvMeta; RECEIVE_BATCH],
    filled: usize,
}

impl Received {
    pub(super) fn new() -> Self {
        Self {
            bytes: vec![0; RECEIVE_BYTES * RECEIVE_BATCH].into(),
            metas: [RecvMeta::default(); RECEIVE_BATCH],
            filled: 0,
        }
    }

    /// Runs of packets from one sender, each `meta.stride` bytes long but for the last.
    pub(super) fn runs(&self) -> impl Iterator<Item = (&RecvMeta, &[u8])> {
        let buffers = self.bytes.chunks(RECEIVE_BYTES);
        self.metas
            .iter()
            .zip(buffers)
            .take(self.filled)
            .map(|(meta, bytes)| (meta, &bytes[..meta.len]))
    }
}

/// quinn-proto's words for the marks of a packet.
pub(super) fn ecn(mark: udp::EcnCodepoint) -> EcnCodepoint {
    match mark {
        udp::EcnCodepoint::Ect0 => EcnCodepoint::Ect0,
        udp::EcnCodepoint::Ect1 => EcnCodepoint::Ect1,
        udp::EcnCodepoint::Ce => EcnCodepoint::Ce,
    }
}
