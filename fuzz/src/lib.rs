//! What every fuzz target does with the bytes it is given.
//!
//! A target is a few lines in `targets/`. It fails by panicking: when a decoder does, or when a
//! decoder takes bytes that it cannot say again.

use std::fmt::Debug;

use bincode::{Decode, Encode};
use novacron_protocol::codec;
use novacron_protocol::record;

/// Decodes a `T` as a reader with the limit `max` does; what it takes must encode, and decode to
/// the same value.
pub fn reopen<T: Encode + Decode<()> + PartialEq + Debug>(bytes: &[u8], max: usize) {
    let Ok(value) = codec::decode::<T>(bytes, max) else { return };
    let again = codec::encode(&value).expect("what was decoded can be encoded");
    assert_eq!(codec::decode::<T>(&again, max), Ok(value));
}

/// `payload` as a record of `version` with the checksum that belongs to it, so that the fuzzer
/// gets behind the checksum, which it could never guess.
pub fn sealed(version: u16, payload: &[u8]) -> Vec<u8> {
    record::seal(version, &Raw(payload)).expect("a fuzzer's input is short")
}

/// Bytes that encode as themselves.
struct Raw<'a>(&'a [u8]);

impl Encode for Raw<'_> {
    fn encode<E: bincode::enc::Encoder>(
        &self,
        encoder: &mut E,
    ) -> Result<(), bincode::error::EncodeError> {
        use bincode::enc::write::Writer as _;
        encoder.writer().write(self.0)
    }
}
