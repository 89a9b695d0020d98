//! One bulk transfer of the kernel's TCP from end A to end B.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::emulator::Emulator;

/// Goodput in 10^6 bit/s of a flow under the named congestion control, over `length` after
/// `warm_up`.
pub fn run(link: &Emulator, congestion: &str, warm_up: Duration, length: Duration) -> Result<f64> {
    let listener = link.b().enter(|| TcpListener::bind((link.b().address(), 0)))?;
    let listener = listener.context("bind")?;
    let address = listener.local_addr().context("ask for an address")?;
    let stream = link.a().enter(|| -> Result<TcpStream> {
        let stream = TcpStream::connect(address).context("connect")?;
        rustix::net::sockopt::set_tcp_congestion(&stream, congestion)
            .with_context(|| format!("choose {congestion}"))?;
        Ok(stream)
    })??;
    let (received, _) = listener.accept().context("accept")?;
    thread::scope(|scope| {
        let sending = scope.spawn(|| {
            let chunk = vec![0; CHUNK_BYTES];
            // It ends when the receiver has seen enough.
            while (&stream).write_all(&chunk).is_ok() {}
        });
        let goodput = measure(&received, warm_up, length);
        let _ = received.shutdown(Shutdown::Both);
        let _ = stream.shutdown(Shutdown::Both);
        sending.join().expect("the sender does not panic");
        goodput
    })
}

fn measure(mut stream: &TcpStream, warm_up: Duration, length: Duration) -> Result<f64> {
    let mut chunk = vec![0; CHUNK_BYTES];
    let start = Instant::now();
    let (mut bytes, mut opened) = (0, None);
    loop {
        let count = stream.read(&mut chunk).context("receive")?;
        let now = Instant::now();
        match opened {
            None if now - start >= warm_up => opened = Some(now),
            None => {}
            Some(opened) => {
                bytes += count;
                if now - opened >= length {
                    return Ok(bytes as f64 * 8.0 / (now - opened).as_secs_f64() / 1e6);
                }
            }
        }
    }
}

/// Large, so that system calls are not what is measured.
const CHUNK_BYTES: usize = 256 << 10;
