//! Bytes to values and back: bincode 2, little-endian, variable-length integers, bounded.
//!
//! Decoding never reserves more memory than the bytes at hand can justify, refuses trailing bytes,
//! and never panics on input.

use bincode::{Decode, Encode, config};

use crate::limits::{FRAME_BYTES_MAX, HELLO_BYTES_MAX, RECORD_BYTES_MAX};

/// Bytes that are not the wanted value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    #[error("{len} bytes exceed the limit of {max}")]
    TooLong { len: usize, max: usize },
    #[error("malformed {what}: {detail}")]
    Malformed { what: &'static str, detail: String },
    #[error("{count} bytes too many after a {what}")]
    Trailing { what: &'static str, count: usize },
}

/// Runs bincode with a bound on the memory that a decoder may claim: at least 64 times the input.
/// Claims count values as they are in memory, where the densest of ours (a raft entry, an event)
/// takes about 20 times its encoding; and a few bytes of a stranger's reserve no more than 1 MiB.
macro_rules! bounded {
    ($bytes:expr) => {{
        let bytes: &[u8] = $bytes;
        match bytes.len() {
            ..=HELLO_BYTES_MAX => bincode::decode_from_slice(
                bytes,
                config::standard().with_limit::<{ HELLO_BYTES_MAX * CLAIM_PER_BYTE }>(),
            ),
            ..=FRAME_BYTES_MAX => bincode::decode_from_slice(
                bytes,
                config::standard().with_limit::<{ FRAME_BYTES_MAX * CLAIM_PER_BYTE }>(),
            ),
            // Only from our own disk and from a leader's snapshot, behind a checksum.
            _ => bincode::decode_from_slice(
                bytes,
                config::standard().with_limit::<{ RECORD_BYTES_MAX * CLAIM_PER_BYTE }>(),
            ),
        }
    }};
}

const CLAIM_PER_BYTE: usize = 64;

/// Encodes `value`. Fails only for values that have no encoding, of which the protocol has none.
pub fn encode<T: Encode>(value: &T) -> Result<Vec<u8>, CodecError> {
    bincode::encode_to_vec(value, config::standard()).map_err(|error| CodecError::Malformed {
        what: short_name::<T>(),
        detail: error.to_string(),
    })
}

/// Decodes one `T` from all of `bytes`, which may be `max` long.
pub fn decode<T: Decode<()>>(bytes: &[u8], max: usize) -> Result<T, CodecError> {
    let what = short_name::<T>();
    if bytes.len() > max {
        return Err(CodecError::TooLong { len: bytes.len(), max });
    }
    let (value, used) = bounded!(bytes)
        .map_err(|error| CodecError::Malformed { what, detail: error.to_string() })?;
    match bytes.len() - used {
        0 => Ok(value),
        count => Err(CodecError::Trailing { what, count }),
    }
}

/// Decodes one `T` from the beginning of `bytes`, which may be `max` long, and leaves the rest
/// alone: for messages whose first fields are fixed for all time.
pub fn decode_prefix<T: Decode<()>>(bytes: &[u8], max: usize) -> Result<T, CodecError> {
    let what = short_name::<T>();
    if bytes.len() > max {
        return Err(CodecError::TooLong { len: bytes.len(), max });
    }
    bounded!(bytes)
        .map(|(value, _)| value)
        .map_err(|error| CodecError::Malformed { what, detail: error.to_string() })
}

/// The type's name without its path, for messages to people.
fn short_name<T>() -> &'static str {
    let full = std::any::type_name::<T>();
    let end = full.find('<').unwrap_or(full.len());
    full[..end].rsplit("::").next().unwrap_or(full)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_huge_length_prefix_is_refused_without_reserving_memory() {
        let mut bytes = vec![253];
        bytes.extend(u64::MAX.to_le_bytes());
        assert!(matches!(decode::<Vec<u64>>(&bytes, 64), Err(CodecError::Malformed { .. })));
    }

    #[test]
    fn values_that_take_far_more_memory_than_bytes_are_decoded() {
        for len in [HELLO_BYTES_MAX / 2, HELLO_BYTES_MAX + 1, FRAME_BYTES_MAX + 1] {
            let many = vec![None::<[u8; 40]>; len];
            let bytes = encode(&many).unwrap();
            assert_eq!(decode::<Vec<Option<[u8; 40]>>>(&bytes, RECORD_BYTES_MAX), Ok(many));
        }
    }

    #[test]
    fn a_stranger_cannot_make_us_reserve_what_they_did_not_send() {
        let mut bytes = vec![252];
        bytes.extend(((1_u32 << 20) + 1).to_le_bytes());
        let error = decode::<Vec<u8>>(&bytes, HELLO_BYTES_MAX).unwrap_err();
        assert!(error.to_string().contains("LimitExceeded"), "{error}");
    }

    #[test]
    fn trailing_and_oversize_bytes_are_named() {
        assert_eq!(decode::<u8>(&[1, 2], 8), Err(CodecError::Trailing { what: "u8", count: 1 }));
        assert_eq!(decode::<u8>(&[1, 2], 1), Err(CodecError::TooLong { len: 2, max: 1 }));
    }
}
