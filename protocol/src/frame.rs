//! Frames on a byte stream: a 4-byte little-endian length, then that many bytes.

use bytes::{Buf, BufMut, Bytes, BytesMut};

/// Bytes of the length that precedes a frame.
pub const HEADER_BYTES: usize = 4;

/// A peer announced a frame longer than this stream allows. The stream cannot be resynchronised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a frame of {len} bytes exceeds the limit of {max}")]
pub struct FrameTooLong {
    pub len: usize,
    pub max: usize,
}

/// Cuts a byte stream into frames of at most `max` bytes. Holds no more than one frame and what
/// the last read brought.
#[derive(Debug)]
pub struct FrameDecoder {
    buffer: BytesMut,
    max: usize,
}

impl FrameDecoder {
    pub fn new(max: usize) -> Self {
        Self { buffer: BytesMut::new(), max }
    }

    /// Takes bytes as they arrived.
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole frame, or `None` until more bytes come.
    pub fn poll_frame(&mut self) -> Result<Option<Bytes>, FrameTooLong> {
        let Some(header) = self.buffer.first_chunk::<HEADER_BYTES>() else { return Ok(None) };
        let len = u32::from_le_bytes(*header) as usize;
        if len > self.max {
            return Err(FrameTooLong { len, max: self.max });
        }
        if self.buffer.len() < HEADER_BYTES + len {
            return Ok(None);
        }
        self.buffer.advance(HEADER_BYTES);
        Ok(Some(self.buffer.split_to(len).freeze()))
    }

    /// What came after the frames taken so far: the raw bytes that follow them on the stream.
    pub fn into_remainder(self) -> Bytes {
        self.buffer.freeze()
    }

    /// Bytes of a frame that has begun and not ended: a stream that ends here was cut.
    pub fn buffered_bytes(&self) -> usize {
        self.buffer.len()
    }
}

/// Appends `payload` as one frame.
pub fn put_frame(out: &mut BytesMut, payload: &[u8], max: usize) -> Result<(), FrameTooLong> {
    let len = payload.len();
    let header = u32::try_from(len).ok().filter(|_| len <= max).ok_or(FrameTooLong { len, max })?;
    out.reserve(HEADER_BYTES + len);
    out.put_u32_le(header);
    out.put_slice(payload);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn frames_survive_any_cutting(
            frames in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..8),
            cuts in prop::collection::vec(1_usize..64, 1..64),
        ) {
            let mut wire = BytesMut::new();
            for frame in &frames {
                put_frame(&mut wire, frame, 300).unwrap();
            }
            let mut decoder = FrameDecoder::new(300);
            let mut seen = Vec::new();
            let mut cuts = cuts.iter().cycle();
            while !wire.is_empty() {
                let len = (*cuts.next().unwrap()).min(wire.len());
                decoder.push(&wire.split_to(len));
                while let Some(frame) = decoder.poll_frame().unwrap() {
                    seen.push(frame.to_vec());
                }
            }
            prop_assert_eq!(seen, frames);
            prop_assert_eq!(decoder.buffered_bytes(), 0);
        }

        #[test]
        fn hostile_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
            let mut decoder = FrameDecoder::new(1000);
            decoder.push(&bytes);
            while let Ok(Some(frame)) = decoder.poll_frame() {
                prop_assert!(frame.len() <= 1000);
            }
        }
    }

    #[test]
    fn a_frame_over_the_limit_is_refused_on_both_ends() {
        let mut out = BytesMut::new();
        assert_eq!(put_frame(&mut out, &[0; 11], 10), Err(FrameTooLong { len: 11, max: 10 }));
        let mut decoder = FrameDecoder::new(10);
        decoder.push(&u32::MAX.to_le_bytes());
        assert!(decoder.poll_frame().is_err());
    }
}
