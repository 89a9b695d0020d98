//! What `apply` answers: an outcome or a refusal, the same on every member.

use bincode::{Decode, Encode};
use novacron_protocol::codec::{self, CodecError};
use novacron_protocol::limits::FRAME_BYTES_MAX;
use novacron_protocol::{HostId, ImageId, MemberId, OperationId, TokenId, UserId, VmId};

/// What a command led to.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum Outcome {
    Done,
    User(UserId),
    Token(TokenId),
    Host(HostId),
    Member(MemberId),
    /// Long work has begun; the operation tells how it goes.
    Vm {
        vm: VmId,
        operation: OperationId,
    },
    Image {
        image: ImageId,
        operation: OperationId,
    },
}

/// A command that was understood and not done. Nothing changed but, perhaps, the audit record.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode, thiserror::Error)]
#[error("{message}")]
pub struct Refusal {
    pub code: RefusalCode,
    pub message: String,
    /// The field of the request that it is about, when it is about one.
    pub field: Option<String>,
}

/// Stable reasons; the API shows them as problem codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub enum RefusalCode {
    NotFound,
    /// The name is taken.
    NameTaken,
    /// The thing is in a state or use that does not allow it.
    Conflict,
    /// It changed since the caller last read it.
    PreconditionFailed,
    /// The same idempotency key came with another request.
    KeyReused,
    /// A bound of the system is reached.
    LimitReached,
    /// Placement cannot put it there.
    Infeasible,
    TokenUnknown,
    TokenExpired,
    TokenUsedUp,
    TokenWrongRole,
    /// The cluster is initialised already, or not yet.
    WrongPhase,
    Invalid,
}

/// What `apply` gives back.
pub type Applied = Result<Outcome, Refusal>;

impl Refusal {
    pub fn new(code: RefusalCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), field: None }
    }

    #[must_use]
    pub fn on(mut self, field: &str) -> Self {
        self.field = Some(field.to_owned());
        self
    }

    pub(crate) fn not_found(what: impl std::fmt::Display) -> Self {
        Self::new(RefusalCode::NotFound, format!("there is no {what}"))
    }

    pub(crate) fn conflict(message: impl Into<String>) -> Self {
        Self::new(RefusalCode::Conflict, message)
    }
}

/// Encodes an answer for the member that waits for it.
pub fn encode_applied(applied: &Applied) -> Result<Vec<u8>, CodecError> {
    codec::encode(applied)
}

/// Decodes an answer from the leader.
pub fn decode_applied(bytes: &[u8]) -> Result<Applied, CodecError> {
    codec::decode(bytes, FRAME_BYTES_MAX)
}
