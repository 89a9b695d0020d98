//! A stream of numbered, stamped UDP datagrams at a steady rate from end A to end B.

use std::io::{self, IoSliceMut};
use std::net::{SocketAddr, UdpSocket};
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use quinn_udp::{RecvMeta, Transmit, UdpSocketState};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::sleep_until;
use crate::emulator::Emulator;
use crate::end::End;
use crate::precedence::{self, Precedence};

/// What to send.
#[derive(Debug, Clone, Copy)]
pub struct Stream {
    /// Bits of IP packets a second.
    pub bits_per_second: u64,
    /// Size of each IP packet, 44 bytes at least.
    pub packet_bytes: usize,
    /// Datagrams in each system call, at most; up to 64 that together stay below 64 KiB.
    pub batch: usize,
    pub length: Duration,
}

/// What came of it.
#[derive(Debug, Clone, Default)]
pub struct Outcome {
    pub sent: u64,
    pub received: u64,
    /// IP bytes that arrived after the first packet, and in which time.
    pub bytes: u64,
    pub span: Duration,
    /// From the sender's stamp to the arrival, of at most 100,000 datagrams.
    pub delays: Vec<Duration>,
}

impl Outcome {
    /// 10^6 bits of IP packets a second that came out.
    pub fn mbps(&self) -> f64 {
        self.bytes as f64 * 8.0 / self.span.as_secs_f64().max(1e-9) / 1e6
    }

    pub fn lost_share(&self) -> f64 {
        1.0 - self.received as f64 / self.sent.max(1) as f64
    }
}

/// Sends a stream from A to B, and waits until no more of it arrives for half a second.
pub fn run(link: &Emulator, stream: Stream) -> Result<Outcome> {
    let (sender, receiver) = (Port::open(link.a())?, Port::open(link.b())?);
    let target = receiver.socket.local_addr().context("ask for an address")?;
    let start = Instant::now();
    let is_sending = AtomicBool::new(true);
    // A receiver that comes late finds a heap, and takes it for a fast link.
    let ready = Barrier::new(2);
    thread::scope(|scope| {
        let receiving = scope.spawn(|| receiver.collect(start, &stream, &is_sending, &ready));
        let sending = scope.spawn(|| sender.send(start, &stream, target, &ready));
        let sent = sending.join().expect("the sender does not panic");
        is_sending.store(false, Ordering::SeqCst);
        let outcome = receiving.join().expect("the receiver does not panic");
        Ok(Outcome { sent: sent.context("send")?, ..outcome.context("receive")? })
    })
}

/// A socket at an end.
struct Port {
    socket: UdpSocket,
    state: UdpSocketState,
}

impl Port {
    fn open(end: &End) -> Result<Self> {
        let socket = end.enter(|| UdpSocket::bind((end.address(), 0)))?.context("bind")?;
        let state = UdpSocketState::new((&socket).into()).context("set a socket up")?;
        // As much as the kernel gives; it cuts what is too much.
        let _ = rustix::net::sockopt::set_socket_recv_buffer_size_force(&socket, BUFFER_BYTES);
        let _ = rustix::net::sockopt::set_socket_send_buffer_size_force(&socket, BUFFER_BYTES);
        Ok(Self { socket, state })
    }

    fn send(
        &self,
        start: Instant,
        stream: &Stream,
        target: SocketAddr,
        ready: &Barrier,
    ) -> io::Result<u64> {
        precedence::take(Precedence::Probe);
        ready.wait();
        let begin = Instant::now();
        let size = stream.packet_bytes - super::UDP_HEADER_BYTES;
        let batch = stream.batch.min(self.state.max_gso_segments()).max(1);
        let per_second = stream.bits_per_second as f64 / 8.0 / stream.packet_bytes as f64;
        let mut buffer = vec![0; size * batch];
        let mut sent = 0;
        while begin.elapsed() < stream.length {
            let due = (begin.elapsed().as_secs_f64() * per_second) as u64;
            let ready = usize::try_from(due.saturating_sub(sent)).unwrap_or(usize::MAX);
            if ready < batch {
                let full = (sent + batch as u64) as f64 / per_second;
                sleep_until(begin + Duration::from_secs_f64(full));
                continue;
            }
            let stamp = (start.elapsed().as_nanos() as u64).to_ne_bytes();
            for datagram in buffer.chunks_exact_mut(size) {
                datagram[..8].copy_from_slice(&sent.to_ne_bytes());
                datagram[8..16].copy_from_slice(&stamp);
                sent += 1;
            }
            let transmit = Transmit {
                destination: target,
                ecn: None,
                contents: &buffer,
                segment_size: (batch > 1).then_some(size),
                src_ip: None,
            };
            match self.state.try_send((&self.socket).into(), &transmit) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    sent -= batch as u64;
                    let mut fds = [PollFd::new(&self.socket, PollFlags::OUT)];
                    poll(&mut fds, None)?;
                }
                other => other?,
            }
        }
        Ok(sent)
    }

    fn collect(
        &self,
        start: Instant,
        stream: &Stream,
        is_sending: &AtomicBool,
        ready: &Barrier,
    ) -> io::Result<Outcome> {
        precedence::take(Precedence::Probe);
        ready.wait();
        let mut outcome = Outcome::default();
        let mut buffers = vec![vec![0; RECEIVE_BYTES]; quinn_udp::BATCH_SIZE];
        let mut metas = [RecvMeta::default(); quinn_udp::BATCH_SIZE];
        let mut first = None;
        let mut last = start;
        while is_sending.load(Ordering::SeqCst) || last.elapsed() < SILENCE {
            let mut slices: Vec<IoSliceMut<'_>> =
                buffers.iter_mut().map(|buffer| IoSliceMut::new(buffer)).collect();
            let count = match self.state.recv((&self.socket).into(), &mut slices, &mut metas) {
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let timeout = Timespec { tv_sec: 0, tv_nsec: 50_000_000 };
                    poll(&mut [PollFd::new(&self.socket, PollFlags::IN)], Some(&timeout))?;
                    if is_sending.load(Ordering::SeqCst) {
                        last = Instant::now();
                    }
                    continue;
                }
                Err(error) => return Err(error),
            };
            last = Instant::now();
            let opened = *first.get_or_insert(last);
            for (buffer, meta) in buffers.iter().zip(&metas[..count]) {
                outcome.take(last - start, &buffer[..meta.len], meta.stride);
            }
            outcome.span = last - opened;
        }
        let rest = outcome.received.saturating_sub(1);
        outcome.bytes = rest * stream.packet_bytes as u64;
        Ok(outcome)
    }
}

impl Outcome {
    fn take(&mut self, now: Duration, received: &[u8], stride: usize) {
        for datagram in received.chunks(stride.max(1)) {
            self.received += 1;
            if self.delays.len() < DELAYS_MAX
                && let Some(stamp) = datagram.get(8..16)
            {
                let stamp: [u8; 8] = stamp.try_into().expect("eight bytes");
                let sent = Duration::from_nanos(u64::from_ne_bytes(stamp));
                self.delays.push(now.saturating_sub(sent));
            }
        }
    }
}

const DELAYS_MAX: usize = 100_000;
const BUFFER_BYTES: usize = 32 << 20;
/// As much as offload joins.
const RECEIVE_BYTES: usize = 65_536;
/// After the last datagram, longer than any delay that is measured.
const SILENCE: Duration = Duration::from_millis(700);
