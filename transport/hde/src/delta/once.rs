//! Short contents at hand, such as a chunk of an image: coded and rebuilt in one call.

use std::time::Duration;

use bytes::Bytes;
use novacron_protocol::Digest;

use super::receiver::{Base, DeltaError, DeltaReceiver};
use super::sender::DeltaSender;
use super::signature::Signature;
use crate::block::Checks;
use crate::planner::{Link, Options};
use crate::work::Compressor;

/// Memory of the compressor: zstd 9 at most. Whoever asks for many of these must not make us spend half
/// a second on each.
const COMPRESSOR_BYTES: usize = 16 << 20;

/// The whole stream for `content`, for a link of `bytes_per_s`. What the choices cost is taken from
/// what they cost on such content elsewhere: there is no time to learn.
pub fn encode_once(signature: Signature, content: &Bytes, bytes_per_s: f64) -> Bytes {
    let link = Link { bytes_per_s: Some(bytes_per_s), queued_bytes: 0 };
    let options = Options { compressor_bytes_max: COMPRESSOR_BYTES, ..Options::default() };
    let mut sender = DeltaSender::new(signature, Checks::ByDigest, options);
    let mut compressor = Compressor::default();
    let mut stream = sender.preamble().to_vec();
    let mut rest = content.clone();
    while !sender.is_ended() {
        let take = rest.len().min(sender.wants());
        sender.push(rest.split_to(take)).expect("it is given what it wants");
        if rest.is_empty() {
            sender.finish();
        }
        while let Some(job) = sender.poll_job(link) {
            let coded = job.run(&mut compressor);
            sender.count(&coded, Duration::ZERO);
            stream.extend_from_slice(&coded.header);
            stream.extend_from_slice(&coded.body);
        }
    }
    stream.into()
}

/// The content of digest `expected`, at most `max` bytes, from the whole stream.
pub fn decode_once(
    stream: Bytes,
    base: impl Base,
    expected: Digest,
    max: usize,
) -> Result<Vec<u8>, DeltaError> {
    let mut receiver = DeltaReceiver::new(base, expected, max as u64);
    receiver.push(stream);
    let mut content = Vec::new();
    while let Some(part) = receiver.poll()? {
        content.extend_from_slice(&part);
    }
    receiver.finish()?;
    Ok(content)
}
