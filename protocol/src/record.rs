//! The envelope around everything kept on disk: magic, format version, checksum, payload.
//!
//! ```text
//! 0      1         3            7
//! | 0xNC | version | crc32c     | payload ...
//! ```
//! The checksum (CRC-32C, RFC 3720 appendix B.4) covers version and payload, so a flipped bit
//! anywhere is detected and named, never served.

use bincode::{Decode, Encode};

use crate::codec::{self, CodecError};
use crate::limits::RECORD_BYTES_MAX;

const MAGIC: u8 = 0xAC;
const HEADER_BYTES: usize = 7;

/// Bytes that are not a whole, undamaged record of a version this program reads.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    #[error("cut short: {0} bytes")]
    Truncated(usize),
    #[error("not a record of this program")]
    Foreign,
    #[error("checksum is {found:08x}, expected {expected:08x}: the bytes were damaged")]
    Checksum { expected: u32, found: u32 },
    #[error("format version {found}; this program reads up to {newest}: install a newer release")]
    Version { found: u16, newest: u16 },
    #[error(transparent)]
    Codec(#[from] CodecError),
}

/// Seals `value` as a record of format `version`.
pub fn seal<T: Encode>(version: u16, value: &T) -> Result<Vec<u8>, CodecError> {
    let payload = codec::encode(value)?;
    if payload.len() > RECORD_BYTES_MAX {
        return Err(CodecError::TooLong { len: payload.len(), max: RECORD_BYTES_MAX });
    }
    let mut record = Vec::with_capacity(HEADER_BYTES + payload.len());
    record.push(MAGIC);
    record.extend(version.to_le_bytes());
    record.extend(checksum(version, &payload).to_le_bytes());
    record.extend(payload);
    Ok(record)
}

/// Opens a record sealed with a version of at most `newest`.
pub fn open<T: Decode<()>>(newest: u16, record: &[u8]) -> Result<T, RecordError> {
    let (version, payload) = verify(newest, record)?;
    debug_assert!(version <= newest);
    Ok(codec::decode(payload, RECORD_BYTES_MAX)?)
}

/// Checks a record without decoding its payload; gives its version and payload.
pub fn verify(newest: u16, record: &[u8]) -> Result<(u16, &[u8]), RecordError> {
    let [magic, v0, v1, c0, c1, c2, c3, payload @ ..] = record else {
        return Err(RecordError::Truncated(record.len()));
    };
    if *magic != MAGIC {
        return Err(RecordError::Foreign);
    }
    let version = u16::from_le_bytes([*v0, *v1]);
    let expected = u32::from_le_bytes([*c0, *c1, *c2, *c3]);
    let found = checksum(version, payload);
    if found != expected {
        return Err(RecordError::Checksum { expected, found });
    }
    if version > newest {
        return Err(RecordError::Version { found: version, newest });
    }
    Ok((version, payload))
}

fn checksum(version: u16, payload: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&version.to_le_bytes()), payload)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_newer_version_says_what_to_do() {
        let record = seal(3, &7_u32).unwrap();
        assert_eq!(open::<u32>(3, &record), Ok(7));
        let error = open::<u32>(2, &record).unwrap_err();
        assert_eq!(error, RecordError::Version { found: 3, newest: 2 });
    }

    proptest! {
        #[test]
        fn every_flipped_bit_and_every_cut_is_detected(
            value in prop::collection::vec(any::<u8>(), 0..64),
            at in any::<prop::sample::Index>(),
            bit in 0_u32..8,
        ) {
            let record = seal(1, &value).unwrap();
            let at = at.index(record.len());
            let mut flipped = record.clone();
            flipped[at] ^= 1_u8 << bit;
            prop_assert!(open::<Vec<u8>>(u16::MAX, &flipped).is_err());
            prop_assert!(open::<Vec<u8>>(u16::MAX, &record[..at]).is_err());
        }

        #[test]
        fn hostile_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..500)) {
            let _ = open::<Vec<String>>(1, &bytes);
        }
    }
}
