//! Why a session ended.

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
