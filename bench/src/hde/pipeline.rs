//! Coding, link and expanding side by side, in virtual time made of measured processor times.
//!
//! Each block is really coded and really expanded; the thread's processor clock says what that took.
//! The link is arithmetic: a rate and a queue. Then the three run as if each had a processor of its
//! own: a block is coded after the one before, sent when it is coded and the link is free, expanded
//! when it has arrived. So a link of 5 Mbit/s costs no hour, nothing else on the machine shifts the
//! result by more than its caches, and fixed choices and ours are timed by one rule.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use novacron_hde::{Checks, Compressor, Link, LinkRate, Options, Piece, Receiver, Sender, Waiting};
use rustix::time::{ClockId, clock_gettime};

/// What bringing a whole content over took.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Outcome {
    /// From the first byte at the sender to the last byte at the receiver.
    pub(crate) seconds: f64,
    pub(crate) wire_bytes: u64,
    /// Processor time of coding and expanding.
    pub(crate) processor_seconds: f64,
}

/// One block as it was measured.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Block {
    pub(crate) wire_bytes: usize,
    pub(crate) coding_seconds: f64,
    pub(crate) expanding_seconds: f64,
}

/// Processor time of this thread, in seconds.
pub(crate) fn processor_seconds() -> f64 {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9
}

/// Runs blocks that were measured before over a link.
pub(crate) fn replay(blocks: &[Block], bytes_per_s: f64) -> Outcome {
    let mut line = Line::new(bytes_per_s);
    for block in blocks {
        line.code(*block);
    }
    line.outcome()
}

/// Runs our sender over a link, deciding as it goes.
pub(crate) fn ours(content: &Bytes, bytes_per_s: f64) -> Result<Outcome> {
    let mut sender = Sender::new(Checks::ByDigest, Options::default());
    let mut compressor = Compressor::default();
    let mut receiver = Receiver::new(content.len() as u64);
    receiver.push(sender.preamble());
    let mut line = Line::new(bytes_per_s);
    let mut rest = content.clone();
    let mut received = 0;
    while !sender.is_ended() {
        let take = rest.len().min(sender.wants());
        sender.push(rest.split_to(take)).context("push what it wants")?;
        if rest.is_empty() {
            sender.finish();
        }
        let before = processor_seconds();
        let Some(job) = sender.poll_job(line.link()) else {
            line.wait();
            continue;
        };
        let planned = processor_seconds();
        let coded = job.run(&mut compressor);
        let took = processor_seconds() - planned;
        sender.handle_coded(&coded, Duration::from_secs_f64(took));
        let coding_seconds = processor_seconds() - before;
        let wire_bytes = coded.wire_len();
        receiver.push(coded.header.clone());
        receiver.push(coded.body.clone());
        let before = processor_seconds();
        received += drain(&mut receiver)?;
        let expanding_seconds = processor_seconds() - before;
        line.code(Block { wire_bytes, coding_seconds, expanding_seconds });
    }
    ensure!(received == content.len() && receiver.is_finished(), "the content did not arrive");
    Ok(line.outcome())
}

fn drain(receiver: &mut Receiver) -> Result<usize> {
    let mut len = 0;
    while let Some(piece) = receiver.poll()? {
        len += match &piece {
            Piece::Bytes(bytes) => bytes.len(),
            // A hole is written as one, by its length.
            Piece::Fill { len, .. } | Piece::Copy { len, .. } => *len,
        };
    }
    Ok(len)
}

/// The three stages and where each is in time.
struct Line {
    bytes_per_s: f64,
    rate: LinkRate,
    /// Coding is done until here.
    now: f64,
    /// Bytes that wait for the link at `now`.
    queue: f64,
    expanded: f64,
    /// When the link is free.
    link_free: f64,
    wire_bytes: u64,
    processor_seconds: f64,
}

impl Line {
    fn new(bytes_per_s: f64) -> Self {
        Self {
            bytes_per_s,
            rate: LinkRate::default(),
            now: 0.0,
            queue: 0.0,
            expanded: 0.0,
            link_free: 0.0,
            wire_bytes: 0,
            processor_seconds: 0.0,
        }
    }

    fn link(&self) -> Link {
        Link { bytes_per_s: self.rate.bytes_per_s(), queued_bytes: self.queue as usize }
    }

    fn code(&mut self, block: Block) {
        self.pass(block.coding_seconds);
        let sent = self.now.max(self.link_free) + block.wire_bytes as f64 / self.bytes_per_s;
        self.link_free = sent;
        self.expanded = self.expanded.max(sent) + block.expanding_seconds;
        self.queue += block.wire_bytes as f64;
        self.wire_bytes += block.wire_bytes as u64;
        self.processor_seconds += block.coding_seconds + block.expanding_seconds;
        // Something waits from now on.
        self.rate.handle_taken(Duration::from_secs_f64(self.now), 0, Waiting::Some);
    }

    /// Lets the link take a packet or a few, when coding has to wait for it.
    fn wait(&mut self) {
        self.pass((1500.0 / self.bytes_per_s).max(2e-5));
    }

    /// The link takes what it can in `seconds`.
    fn pass(&mut self, seconds: f64) {
        let takes = (self.bytes_per_s * seconds).min(self.queue);
        let busy = takes / self.bytes_per_s;
        let left = self.queue - takes;
        let waiting = if left > 0.0 { Waiting::Some } else { Waiting::None };
        if takes > 0.0 {
            let at = Duration::from_secs_f64(self.now + busy);
            self.rate.handle_taken(at, takes as usize, waiting);
        }
        self.queue = left;
        self.now += seconds;
    }

    fn outcome(&self) -> Outcome {
        Outcome {
            seconds: self.expanded,
            wire_bytes: self.wire_bytes,
            processor_seconds: self.processor_seconds,
        }
    }
}
