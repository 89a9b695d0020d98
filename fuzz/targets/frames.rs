//! A byte stream cut into frames, arriving in two pieces.

#![no_main]

use bytes::BytesMut;
use novacron_protocol::frame::{FrameDecoder, put_frame};
use novacron_protocol::limits::HELLO_BYTES_MAX;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Some((cut, stream)) = bytes.split_first() else { return };
    let (head, tail) = stream.split_at(usize::from(*cut).min(stream.len()));
    let mut decoder = FrameDecoder::new(HELLO_BYTES_MAX);
    let mut again = BytesMut::new();
    for piece in [head, tail] {
        decoder.push(piece);
        while let Ok(Some(frame)) = decoder.poll_frame() {
            put_frame(&mut again, &frame, HELLO_BYTES_MAX).expect("it came out of a frame");
        }
    }
    assert!(stream.starts_with(&again));
});
