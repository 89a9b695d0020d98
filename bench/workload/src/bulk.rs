//! Bulk: bytes without end, of which the first say whose they are.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::time::Instant;

/// What one bulk stream sends: chunks until its time is over. Also an [`AsyncRead`].
#[derive(Debug, Clone)]
pub struct Feed {
    header: Option<[u8; HEADER_BYTES]>,
    chunk: Bytes,
    until: Instant,
}

/// First byte of a stream of bulk; the second is the sender's number.
pub const BULK: u8 = 0xb1;
/// First byte of a stream of commands.
pub const COMMANDS: u8 = 0xc0;
pub const HEADER_BYTES: usize = 2;
/// As much as is handed to a transport at once: large enough that calls do not count, small enough
/// to stay in a processor's cache.
pub const CHUNK_BYTES: usize = 64 << 10;

impl Feed {
    /// Bytes of sender `flow` until then.
    pub fn new(flow: u8, until: Instant) -> Self {
        // Not zeros: nobody shall compress this.
        let mut state = 0x9e37_79b9_u32 | u32::from(flow);
        let chunk: Vec<u8> = (0..CHUNK_BYTES).map(|_| next_byte(&mut state)).collect();
        Self { header: Some([BULK, flow]), chunk: chunk.into(), until }
    }
}

impl Iterator for Feed {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        if let Some(header) = self.header.take() {
            return Some(Bytes::copy_from_slice(&header));
        }
        (Instant::now() < self.until).then(|| self.chunk.clone())
    }
}

impl AsyncRead for Feed {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if let Some(chunk) = self.next() {
            let len = chunk.len().min(buffer.remaining());
            buffer.put_slice(&chunk[..len]);
        }
        Poll::Ready(Ok(()))
    }
}

/// xorshift32.
fn next_byte(state: &mut u32) -> u8 {
    *state ^= *state << 13;
    *state ^= *state >> 17;
    *state ^= *state << 5;
    state.to_be_bytes()[0]
}
