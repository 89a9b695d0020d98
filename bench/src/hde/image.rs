//! An image of which the receiver has an older version; and what noise costs.

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use novacron_hde::delta::{Cut, DeltaReceiver, DeltaSender, SignatureBuilder};
use novacron_hde::{Checks, Compressor, Link, Options, Sender};
use novacron_protocol::Digest;
use serde_json::json;
use std::io::Write as _;
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use super::pipeline::processor_seconds;
use crate::report::Report;

const BLOCK: usize = 4096;
const LINK: Link = Link { bytes_per_s: Some(62.5e6), queued_bytes: 0 };

/// Content that does not compress, from a seed.
pub(crate) fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut out = vec![0; len];
    blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut out);
    out
}

/// An image of noise, the hardest case, with a hundredth of its blocks of 4 KiB changed all over it.
pub(crate) fn delta(report: &mut Report, len: usize) -> Result<()> {
    let base = Bytes::from(noise(1, len));
    let mut changed = base.to_vec();
    let blocks = len / BLOCK;
    let picks = noise(2, 8 * blocks);
    // A block is picked with odds of 1 in 100, so changes cluster as chance has it.
    let picked = picks.chunks_exact(8).enumerate().filter(|(_, pick)| {
        u64::from_le_bytes((*pick).try_into().expect("chunks of eight")) % 100 == 0
    });
    let mut count = 0;
    for (at, _) in picked {
        changed[at * BLOCK..][..BLOCK].copy_from_slice(&noise(3 + at as u64, BLOCK));
        count += 1;
    }
    let changed = Bytes::from(changed);
    let digest = Digest::of(&changed);

    let mut seconds = (processor_seconds(), 0.0, 0.0);
    let mut builder = SignatureBuilder::new(Cut::disk(len as u64), 99);
    for start in (0..len).step_by(1 << 20) {
        builder.push(base.slice(start..len.min(start + (1 << 20))));
    }
    let up = builder.finish().encode();
    seconds.0 = processor_seconds() - seconds.0;

    let began = processor_seconds();
    let signature = novacron_hde::delta::Signature::decode(&up)?;
    let mut sender = DeltaSender::new(signature, Checks::ByDigest, Options::default());
    let (mut compressor, mut down) = (Compressor::default(), vec![sender.preamble()]);
    let mut rest = changed.clone();
    while !sender.is_ended() {
        let take = rest.len().min(sender.wants()).min(1 << 20);
        sender.push(rest.split_to(take)).context("push what it wants")?;
        if rest.is_empty() {
            sender.finish();
        }
        while let Some(job) = sender.poll_job(LINK) {
            let coded = job.run(&mut compressor);
            sender.handle_coded(&coded, Duration::from_micros(1));
            down.push(coded.header);
            down.push(coded.body);
        }
    }
    seconds.1 = processor_seconds() - began;

    let down_bytes: usize = down.iter().map(Bytes::len).sum();
    let began = processor_seconds();
    let mut receiver = DeltaReceiver::new(base, digest, len as u64);
    for bytes in down {
        receiver.push(bytes);
        while receiver.poll()?.is_some() {}
    }
    ensure!(receiver.finish()? == len as u64, "the image did not arrive");
    seconds.2 = processor_seconds() - began;

    let case = json!({ "name": format!("delta {} MiB", len >> 20), "changed_blocks": count, "blocks": blocks });
    let mut section = report.section("novacron", case);
    let share = (up.len() + down_bytes) as f64 / len as f64 * 100.0;
    section.add("changed", count as f64 / blocks as f64 * 100.0, "%");
    section.add_with_aim("wire_both_ways", share, "%", 2.0);
    section.add("hashes_up", up.len() as f64, "bytes");
    section.add("stream_down", down_bytes as f64, "bytes");
    section.add("processor_signature", seconds.0, "s");
    section.add("processor_sender", seconds.1, "s");
    section.add("processor_receiver", seconds.2, "s");
    Ok(())
}

/// Noise, beside handing the same slices to a socket.
pub(crate) fn pass_through(report: &mut Report, len: usize) -> Result<()> {
    let content = Bytes::from(noise(4, len));
    let plain = (0..3).map(|_| plain_send(&content)).collect::<Result<Vec<f64>>>()?;
    let plain = plain.into_iter().fold(f64::INFINITY, f64::min);
    let (mut added, mut wire) = (f64::INFINITY, 0);
    for _ in 0..3 {
        let (seconds, bytes) = code_only(&content)?;
        added = added.min(seconds);
        wire = bytes;
    }
    let mut section =
        report.section("novacron", json!({ "name": format!("noise {} MiB", len >> 20) }));
    section.add("processor_plain_tcp_send", plain * 1e3, "ms");
    section.add("processor_added", added * 1e3, "ms");
    section.add_with_aim("processor_more", added / plain * 100.0, "%", 1.0);
    section.add_with_aim("bytes_more", (wire - len) as f64 / len as f64 * 100.0, "%", 0.1);
    Ok(())
}

fn code_only(content: &Bytes) -> Result<(f64, usize)> {
    let mut sender = Sender::new(Checks::ByDigest, Options::default());
    let mut compressor = Compressor::default();
    let (mut rest, mut wire) = (content.clone(), 2);
    let began = processor_seconds();
    while !sender.is_ended() {
        let take = rest.len().min(sender.wants());
        sender.push(rest.split_to(take)).context("push what it wants")?;
        if rest.is_empty() {
            sender.finish();
        }
        let Some(job) = sender.poll_job(LINK) else { continue };
        let coded = job.run(&mut compressor);
        sender.handle_coded(&coded, Duration::from_micros(1));
        wire += coded.wire_len();
    }
    Ok((processor_seconds() - began, wire))
}

/// Processor time of writing the content to a loopback connection in slices of our blocks' length.
fn plain_send(content: &Bytes) -> Result<f64> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let mut out = TcpStream::connect(listener.local_addr()?)?;
    let (mut input, _) = listener.accept()?;
    let reader = thread::spawn(move || std::io::copy(&mut input, &mut std::io::sink()));
    let began = processor_seconds();
    for slice in content.chunks(256 << 10) {
        out.write_all(slice)?;
    }
    let seconds = processor_seconds() - began;
    drop(out);
    let read = reader.join().map_err(|_| anyhow::anyhow!("the reader panicked"))??;
    ensure!(read == content.len() as u64, "the content did not arrive");
    Ok(seconds)
}
