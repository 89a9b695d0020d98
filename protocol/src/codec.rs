//! Bytes to values and back: bincode 2, little-endian, variable-length integers, bounded.
//!
//! Decoding never reserves more memory than the bytes at hand can justify, refuses trailing bytes,
//! and never panics on input.

use bincode::config::{self, Configuration, LittleEndian, Varint};
use bincode::{Decode, Encode};

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

/// bincode's own limit counts what a decoder claims for containers; it is a second line behind
/// the callers' tighter limits on the input's length.
const CLAIM_BYTES_MAX: usize = 128 << 20;

const CONFIG: Configuration<LittleEndian, Varint, config::Limit<CLAIM_BYTES_MAX>> =
    config::standard().with_limit::<CLAIM_BYTES_MAX>();

/// Encodes `value`. Fails only when the value exceeds the claim limit.
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
    let (value, used) = bincode::decode_from_slice(bytes, CONFIG)
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
    bincode::decode_from_slice(bytes, CONFIG)
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
    fn trailing_and_oversize_bytes_are_named() {
        assert_eq!(decode::<u8>(&[1, 2], 8), Err(CodecError::Trailing { what: "u8", count: 1 }));
        assert_eq!(decode::<u8>(&[1, 2], 1), Err(CodecError::TooLong { len: 2, max: 1 }));
    }
}
