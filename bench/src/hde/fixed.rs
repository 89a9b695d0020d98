//! The peers: one choice for all of a content, in one zstd stream and in blocks of our own.

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use novacron_hde::{Checks, Choice, Compressor, Link, Options, Piece, Receiver, Sender};
use zstd::stream::raw::{Decoder, Encoder, InBuffer, Operation as _, OutBuffer};

use super::pipeline::{Block, processor_seconds};

/// One fixed choice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fixed {
    /// In blocks, as ours are.
    Blocks(Choice),
    /// One zstd frame, flushed every [`FLUSH_BYTES`], with that level's own window.
    Stream(i32),
}

/// As much as a sender of streams gives its link at once.
const FLUSH_BYTES: usize = 128 << 10;

impl Fixed {
    /// Every choice; the levels of `levels` only.
    pub(crate) fn all(levels: &[i32]) -> Vec<Self> {
        let zstd = |level: &i32| i8::try_from(*level).map(Choice::Zstd);
        let blocks = levels.iter().filter_map(|level| zstd(level).ok()).map(Self::Blocks);
        [Self::Blocks(Choice::Raw), Self::Blocks(Choice::Lz4)]
            .into_iter()
            .chain(blocks)
            .chain(levels.iter().copied().map(Self::Stream))
            .collect()
    }

    pub(crate) fn name(self) -> String {
        match self {
            Self::Blocks(choice) => choice.to_string(),
            Self::Stream(level) => format!("zstd{level} stream"),
        }
    }

    /// Codes and expands all of `content`, and says what each block took.
    pub(crate) fn measure(self, content: &Bytes) -> Result<Vec<Block>> {
        match self {
            Self::Blocks(choice) => blocks(content, choice),
            Self::Stream(level) => stream(content, level),
        }
    }
}

fn blocks(content: &Bytes, choice: Choice) -> Result<Vec<Block>> {
    let options = Options { fixed: Some(choice), ..Options::default() };
    let mut sender = Sender::new(Checks::ByDigest, options);
    let mut compressor = Compressor::default();
    let mut receiver = Receiver::new(content.len() as u64);
    receiver.push(sender.preamble());
    let (mut rest, mut measured) = (content.clone(), Vec::new());
    let link = Link { bytes_per_s: Some(1e9), queued_bytes: 0 };
    while !sender.is_ended() {
        let take = rest.len().min(sender.wants());
        sender.push(rest.split_to(take)).context("push what it wants")?;
        if rest.is_empty() {
            sender.finish();
        }
        let before = processor_seconds();
        let Some(job) = sender.poll_job(link) else { continue };
        let coded = job.run(&mut compressor);
        let coding_seconds = processor_seconds() - before;
        let wire_bytes = coded.wire_len();
        receiver.push(coded.header);
        receiver.push(coded.body);
        let before = processor_seconds();
        while let Some(piece) = receiver.poll()? {
            ensure!(matches!(piece, Piece::Bytes(_)), "a fixed choice codes everything");
        }
        let expanding_seconds = processor_seconds() - before;
        measured.push(Block { wire_bytes, coding_seconds, expanding_seconds });
    }
    ensure!(receiver.finish()? == content.len() as u64, "the content did not arrive");
    Ok(measured)
}

fn stream(content: &Bytes, level: i32) -> Result<Vec<Block>> {
    let mut encoder = Encoder::new(level)?;
    let mut decoder = Decoder::new()?;
    let mut coded = vec![0; 2 * FLUSH_BYTES];
    let mut expanded = vec![0; 2 * FLUSH_BYTES];
    let mut measured = Vec::new();
    for part in content.chunks(FLUSH_BYTES) {
        let before = processor_seconds();
        let mut out = OutBuffer::around(&mut coded[..]);
        let mut input = InBuffer::around(part);
        while input.pos() < part.len() {
            encoder.run(&mut input, &mut out)?;
        }
        ensure!(encoder.flush(&mut out)? == 0, "the buffer holds a flush");
        let coding_seconds = processor_seconds() - before;
        let wire_bytes = out.pos();
        let before = processor_seconds();
        let mut back = OutBuffer::around(&mut expanded[..]);
        let mut input = InBuffer::around(&coded[..wire_bytes]);
        while input.pos() < wire_bytes {
            decoder.run(&mut input, &mut back)?;
        }
        ensure!(back.pos() == part.len(), "what was flushed can be expanded");
        let expanding_seconds = processor_seconds() - before;
        ensure!(expanded[..part.len()] == *part, "the content did not arrive");
        measured.push(Block { wire_bytes, coding_seconds, expanding_seconds });
    }
    Ok(measured)
}
