//! Real time: coding, a TCP connection over loopback, and expanding, each on a thread.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::{Mutex, PoisonError, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use bytes::{Bytes, BytesMut};
use novacron_hde::{Checks, Coded, Compressor, Link, LinkRate, Options, Receiver, Sender, Waiting};

use super::pipeline::{Outcome, processor_seconds};

/// Coded blocks between coder and socket.
const BLOCKS_MAX: usize = 32;
/// Before the coder looks at the link again, which has enough to do.
const PAUSE: Duration = Duration::from_micros(20);
const READ_BYTES: usize = 256 << 10;

/// What the writer knows of the link.
#[derive(Debug, Default)]
struct Shared {
    rate: LinkRate,
    queued_bytes: usize,
}

/// Brings `content` over once.
pub(crate) fn run(content: &Bytes, options: Options) -> Result<Outcome> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let out = TcpStream::connect(listener.local_addr()?)?;
    out.set_nodelay(true)?;
    let (input, _) = listener.accept()?;
    let shared = &Mutex::new(Shared::default());
    let (blocks_tx, blocks_rx) = mpsc::sync_channel(BLOCKS_MAX);
    let len = content.len() as u64;
    let began = Instant::now();
    thread::scope(|scope| {
        let writer = scope.spawn(move || write(out, &blocks_rx, shared, began));
        let reader = scope.spawn(move || read(input, len, began));
        let coder = scope.spawn(move || code(content, options, blocks_tx, shared));
        let (wire_bytes, coding) = coder.join().map_err(|_| anyhow!("the coder panicked"))??;
        let writing = writer.join().map_err(|_| anyhow!("the writer panicked"))??;
        let (seconds, reading) = reader.join().map_err(|_| anyhow!("the reader panicked"))??;
        Ok(Outcome { seconds, wire_bytes, processor_seconds: coding + writing + reading })
    })
}

fn code(
    content: &Bytes,
    options: Options,
    blocks_tx: mpsc::SyncSender<Coded>,
    shared: &Mutex<Shared>,
) -> Result<(u64, f64)> {
    let mut sender = Sender::new(Checks::ByDigest, options);
    let mut compressor = Compressor::default();
    let mut rest = content.clone();
    while !sender.is_ended() {
        let take = rest.len().min(sender.wants());
        sender.push(rest.split_to(take)).context("push what it wants")?;
        if rest.is_empty() {
            sender.finish();
        }
        let link = {
            let shared = shared.lock().unwrap_or_else(PoisonError::into_inner);
            Link { bytes_per_s: shared.rate.bytes_per_s(), queued_bytes: shared.queued_bytes }
        };
        let Some(job) = sender.poll_job(link) else {
            thread::sleep(PAUSE);
            continue;
        };
        let before = processor_seconds();
        let coded = job.run(&mut compressor);
        sender.handle_coded(&coded, Duration::from_secs_f64(processor_seconds() - before));
        shared.lock().unwrap_or_else(PoisonError::into_inner).queued_bytes += coded.wire_len();
        blocks_tx.send(coded).context("the writer is gone")?;
    }
    Ok((sender.stats().wire_bytes, processor_seconds()))
}

fn write(
    mut out: TcpStream,
    blocks_rx: &mpsc::Receiver<Coded>,
    shared: &Mutex<Shared>,
    began: Instant,
) -> Result<f64> {
    out.write_all(&Sender::new(Checks::ByDigest, Options::default()).preamble())?;
    for coded in blocks_rx {
        out.write_all(&coded.header)?;
        out.write_all(&coded.body)?;
        let mut shared = shared.lock().unwrap_or_else(PoisonError::into_inner);
        shared.queued_bytes -= coded.wire_len();
        let waiting = if shared.queued_bytes > 0 { Waiting::Some } else { Waiting::None };
        shared.rate.handle_taken(began.elapsed(), coded.wire_len(), waiting);
    }
    Ok(processor_seconds())
}

fn read(mut input: TcpStream, len: u64, began: Instant) -> Result<(f64, f64)> {
    let mut receiver = Receiver::new(len);
    let mut buffer = BytesMut::new();
    while !receiver.is_finished() {
        buffer.resize(READ_BYTES, 0);
        let read = input.read(&mut buffer)?;
        ensure!(read > 0, "the stream was cut off");
        receiver.push(buffer.split_to(read).freeze());
        while receiver.poll()?.is_some() {}
    }
    ensure!(receiver.finish()? == len, "the content did not arrive");
    Ok((began.elapsed().as_secs_f64(), processor_seconds()))
}
