//! The first byte of every stream but the hello's: what the stream is for.

use novacron_protocol::wire::Class;

/// What a stream is for.
///
/// | byte | direction | stream |
/// |---|---|---|
/// | `0x00..=0x06` | one way | a class's frames, for the life of the session; one per class |
/// | `0x40` | one way | one `CertificateUpdate` |
/// | `0x80..=0x86` | both ways | a call of that class |
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamHeader {
    Messages(Class),
    CertificateUpdate,
    Call(Class),
}

/// A first byte that this version does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnknownHeader(pub u8);

const CERTIFICATE_UPDATE: u8 = 0x40;
const CALL: u8 = 0x80;

impl StreamHeader {
    pub fn to_byte(self) -> u8 {
        match self {
            Self::Messages(class) => class as u8,
            Self::CertificateUpdate => CERTIFICATE_UPDATE,
            Self::Call(class) => CALL | class as u8,
        }
    }

    pub fn from_byte(byte: u8) -> Result<Self, UnknownHeader> {
        let class = |code: u8| Class::ALL.get(usize::from(code)).copied();
        match byte {
            CERTIFICATE_UPDATE => Some(Self::CertificateUpdate),
            CALL.. => class(byte ^ CALL).map(Self::Call),
            _ => class(byte).map(Self::Messages),
        }
        .ok_or(UnknownHeader(byte))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_byte_is_one_header_or_none(byte in any::<u8>()) {
            match StreamHeader::from_byte(byte) {
                Ok(header) => prop_assert_eq!(header.to_byte(), byte),
                Err(unknown) => prop_assert_eq!(unknown, UnknownHeader(byte)),
            }
        }
    }

    #[test]
    fn headers_are_as_documented() {
        let known: Vec<_> = (0..=u8::MAX).filter(|b| StreamHeader::from_byte(*b).is_ok()).collect();
        let documented: Vec<_> = (0x00..=0x06).chain([0x40]).chain(0x80..=0x86).collect();
        assert_eq!(known, documented);
        assert_eq!(StreamHeader::from_byte(0x06), Ok(StreamHeader::Messages(Class::Bulk)));
        assert_eq!(StreamHeader::from_byte(0x81), Ok(StreamHeader::Call(Class::Command)));
    }
}
