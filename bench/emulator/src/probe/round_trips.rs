//! Small datagrams there and back, one by one, while nothing else is on the link.

use std::io;
use std::net::UdpSocket;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use super::sleep_until;
use crate::end::End;
use crate::precedence::{self, Precedence};

/// Size of each IP packet.
pub const PACKET_BYTES: usize = 16 + super::UDP_HEADER_BYTES;

/// Times of `count` round trips from one end to another (or to itself), one begun every `pause`. Lost
/// ones are missing.
pub fn run(from: &End, to: &End, count: u32, pause: Duration) -> Result<Vec<Duration>> {
    let (a, b) = (open(from)?, open(to)?);
    a.connect(b.local_addr()?).context("connect")?;
    let start = Instant::now();
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| echo(&b, &is_over));
        let answers = scope.spawn(|| collect(&a, start, count, &is_over));
        let sending = scope.spawn(|| send(&a, start, count, pause));
        let sent = sending.join().expect("the sender does not panic");
        thread::sleep(LONGEST);
        is_over.store(true, Ordering::SeqCst);
        sent.context("send")?;
        answers.join().expect("the receiver does not panic").context("receive")
    })
}

fn open(end: &End) -> Result<UdpSocket> {
    let socket = end.enter(|| UdpSocket::bind((end.address(), 0)))?.context("bind")?;
    socket.set_read_timeout(Some(Duration::from_millis(50))).context("set a timeout")?;
    Ok(socket)
}

fn send(socket: &UdpSocket, start: Instant, count: u32, pause: Duration) -> io::Result<()> {
    precedence::take(Precedence::Probe);
    let begin = start.elapsed();
    for number in 0..count {
        sleep_until(start + begin + pause * number);
        let stamp = (start.elapsed().as_nanos() as u64).to_ne_bytes();
        socket.send(&[stamp, u64::from(number).to_ne_bytes()].concat())?;
    }
    Ok(())
}

fn echo(socket: &UdpSocket, is_over: &AtomicBool) {
    precedence::take(Precedence::Probe);
    let mut buffer = [0; 16];
    while !is_over.load(Ordering::SeqCst) {
        if let Ok((bytes, from)) = socket.recv_from(&mut buffer) {
            // One that does not get out is one that is lost.
            let _ = socket.send_to(&buffer[..bytes], from);
        }
    }
}

fn collect(
    socket: &UdpSocket,
    start: Instant,
    count: u32,
    is_over: &AtomicBool,
) -> io::Result<Vec<Duration>> {
    precedence::take(Precedence::Probe);
    let mut times = Vec::new();
    let mut buffer = [0; 16];
    while times.len() < count as usize && !is_over.load(Ordering::SeqCst) {
        match socket.recv(&mut buffer) {
            Ok(16) => {
                let stamp: [u8; 8] = buffer[..8].try_into().expect("eight bytes");
                let sent = Duration::from_nanos(u64::from_ne_bytes(stamp));
                times.push(start.elapsed().saturating_sub(sent));
            }
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    Ok(times)
}

/// Longer than any round trip that is measured.
const LONGEST: Duration = Duration::from_millis(700);
