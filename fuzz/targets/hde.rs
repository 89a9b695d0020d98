//! Coded streams, signatures of a base, and coded samples. The first byte says which, and in which
//! pieces a stream comes.

#![no_main]

use bytes::Bytes;
use novacron_hde::delta::{DeltaReceiver, Signature};
use novacron_hde::telemetry::{BatchDecoder, BatchEncoder};
use novacron_hde::{Piece, Receiver};
use novacron_protocol::Digest;

/// Content that a stream may stand for.
const CONTENT_MAX: u64 = 1 << 20;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Some((kind, bytes)) = bytes.split_first() else { return };
    let part = usize::from(kind >> 2) + 1;
    match kind & 3 {
        0 => stream(bytes, part),
        1 => delta(bytes, part),
        2 => signature(bytes),
        _ => samples(bytes, part),
    }
});

fn stream(bytes: &[u8], part: usize) {
    let mut receiver = Receiver::new(CONTENT_MAX);
    let mut len = 0_u64;
    for part in bytes.chunks(part) {
        receiver.push(Bytes::copy_from_slice(part));
        loop {
            match receiver.poll() {
                Ok(Some(Piece::Copy { .. })) => panic!("there is no base"),
                Ok(Some(piece)) => len += piece.content_len() as u64,
                Ok(None) => break,
                Err(_) => return,
            }
            assert!(len <= CONTENT_MAX, "{len} bytes");
        }
    }
    if let Ok(finished) = receiver.finish() {
        assert_eq!(finished, len);
    }
}

fn delta(bytes: &[u8], part: usize) {
    let base = Bytes::from_static(&[7; 100]);
    let mut receiver = DeltaReceiver::new(base, Digest([0; 32]), CONTENT_MAX);
    for part in bytes.chunks(part) {
        receiver.push(Bytes::copy_from_slice(part));
        while let Ok(Some(_)) = receiver.poll() {}
    }
    assert!(receiver.finish().is_err(), "nothing has that digest");
}

fn signature(bytes: &[u8]) {
    if let Ok(signature) = Signature::decode(bytes) {
        assert_eq!(signature.encode(), bytes);
    }
}

fn samples(bytes: &[u8], part: usize) {
    let mut decoder = BatchDecoder::default();
    for message in bytes.chunks(part.max(4)) {
        let Ok(batch) = decoder.decode(message) else { continue };
        let mut encoder = BatchEncoder::default();
        let again = encoder.encode(&batch).expect("what was decoded can be said");
        assert_eq!(BatchDecoder::default().decode(&again), Ok(batch));
    }
}
