//! Why a session ended, in words and as QUIC close codes.
//!
//! Codes are part of the protocol: a code never changes its meaning, new ones are added.

use novacron_protocol::wire::hello::HelloRefusal;

/// Why a session ended, told to the peer in the connection's close.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CloseReason {
    #[error("no longer needed")]
    Finished,
    #[error("shutting down")]
    ShuttingDown,
    /// The peer sent what the protocol does not allow.
    #[error("protocol violation: {0}")]
    Violation(String),
    #[error("no common protocol version: {0}")]
    Version(String),
    #[error("peer belongs to another cluster")]
    WrongCluster,
    #[error("this identity was revoked; join again with a new token")]
    Revoked,
    #[error("the certificate expired and was not renewed")]
    Expired,
    #[error("a session needs a certificate")]
    NoCertificate,
    /// The same peer opened newer sessions.
    #[error("replaced by a newer session")]
    Replaced,
    /// A code that this build does not know.
    #[error("{text} (code {code})")]
    Other { code: u64, text: String },
}

/// Longest text in a close that is sent or believed: it must fit a packet.
const TEXT_CHARS_MAX: usize = 200;

impl CloseReason {
    pub(crate) fn code(&self) -> u32 {
        match self {
            Self::Finished => 0,
            Self::ShuttingDown => 1,
            Self::Violation(_) => 2,
            Self::Version(_) => 3,
            Self::WrongCluster => 4,
            Self::Revoked => 5,
            Self::Expired => 6,
            Self::NoCertificate => 7,
            Self::Replaced => 8,
            Self::Other { code, .. } => u32::try_from(*code).unwrap_or(u32::MAX),
        }
    }

    /// The words that go with the code.
    pub(crate) fn text(&self) -> String {
        let text = match self {
            Self::Violation(text) | Self::Version(text) | Self::Other { text, .. } => text.clone(),
            other => other.to_string(),
        };
        clean(&text)
    }

    /// What a peer's close says.
    pub(crate) fn from_wire(code: u64, text: &[u8]) -> Self {
        let text = clean(&String::from_utf8_lossy(text));
        match code {
            0 => Self::Finished,
            1 => Self::ShuttingDown,
            2 => Self::Violation(text),
            3 => Self::Version(text),
            4 => Self::WrongCluster,
            5 => Self::Revoked,
            6 => Self::Expired,
            7 => Self::NoCertificate,
            8 => Self::Replaced,
            _ => Self::Other { code, text },
        }
    }
}

impl From<&HelloRefusal> for CloseReason {
    fn from(refusal: &HelloRefusal) -> Self {
        match refusal {
            HelloRefusal::Version(_) => Self::Version(refusal.to_string()),
            HelloRefusal::WrongCluster(_) => Self::WrongCluster,
            HelloRefusal::Revoked => Self::Revoked,
        }
    }
}

/// Text fit for a log line, however it was made.
fn clean(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(TEXT_CHARS_MAX).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_close_a_peer_may_send_reads_back_as_itself(
            code in prop_oneof![0_u64..12, 0..1_u64 << 62], text in prop::collection::vec(any::<u8>(), 0..300),
        ) {
            let reason = CloseReason::from_wire(code, &text);
            prop_assert!(reason.to_string().chars().all(|c| !c.is_control()));
            if code <= u64::from(u32::MAX) {
                let again = CloseReason::from_wire(reason.code().into(), reason.text().as_bytes());
                prop_assert_eq!(again, reason);
            }
        }
    }
}
