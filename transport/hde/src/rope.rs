//! Bytes in pieces, as they came.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

/// A queue of bytes that copies only where what is taken spans pieces.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rope {
    pieces: VecDeque<Bytes>,
    len: usize,
}

impl Rope {
    pub(crate) fn push(&mut self, piece: Bytes) {
        if !piece.is_empty() {
            self.len += piece.len();
            self.pieces.push_back(piece);
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The first piece; empty when there is none.
    pub(crate) fn front(&self) -> &[u8] {
        self.pieces.front().map_or(&[], |piece| piece)
    }

    pub(crate) fn take_front(&mut self) -> Option<Bytes> {
        let piece = self.pieces.pop_front()?;
        self.len -= piece.len();
        Some(piece)
    }

    /// Takes the first `len` bytes, which are there, as one piece.
    pub(crate) fn take(&mut self, len: usize) -> Bytes {
        assert!(len <= self.len, "{len} of {} bytes", self.len);
        self.len -= len;
        if let Some(front) = self.pieces.front_mut().filter(|front| front.len() > len) {
            return front.split_to(len);
        }
        if self.pieces.front().is_some_and(|front| front.len() == len) {
            return self.pieces.pop_front().expect("it is there");
        }
        let mut joined = BytesMut::with_capacity(len);
        while joined.len() < len {
            let mut piece = self.pieces.pop_front().expect("as many bytes as were counted");
            let part = piece.split_to(piece.len().min(len - joined.len()));
            joined.extend_from_slice(&part);
            if !piece.is_empty() {
                self.pieces.push_front(piece);
            }
        }
        joined.freeze()
    }

    /// The byte at the front.
    pub(crate) fn first(&self) -> Option<u8> {
        self.front().first().copied()
    }

    /// Puts back what was taken.
    pub(crate) fn unshift(&mut self, piece: Bytes) {
        if !piece.is_empty() {
            self.len += piece.len();
            self.pieces.push_front(piece);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_in_one_piece_is_not_copied() {
        let mut rope = Rope::default();
        let piece = Bytes::from(vec![1; 100]);
        rope.push(piece.clone());
        rope.push(Bytes::from_static(b"xyz"));
        assert_eq!(rope.take(40).as_ptr(), piece.as_ptr());
        assert_eq!(&rope.take(61)[59..], b"\x01x");
        rope.unshift(Bytes::from_static(b"w"));
        assert_eq!((rope.len(), rope.first()), (3, Some(b'w')));
        assert_eq!(rope.take(3), "wyz");
        assert!(rope.is_empty());
    }
}
