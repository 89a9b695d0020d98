//! A request that was not done: from a refusal or an error to a problem and its status.
//!
//! The mapping is a function of the cause alone. A failure travels to the client as an extension
//! of an empty response; [`super::exchange`] writes it out, with the request's id.

use std::time::Duration;

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use novacron_controlplane_core::{Refusal, RefusalCode};
use novacron_protocol::api::{Problem, ProblemCode};

use crate::blobs::BlobError;
use crate::cluster::ClusterError;
use crate::peers::PeerError;

/// A problem to answer with.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    pub(crate) problem: Box<Problem>,
    pub(crate) retry_after: Option<Duration>,
}

impl Failure {
    pub(crate) fn new(code: ProblemCode, detail: impl Into<String>) -> Self {
        Self { problem: Box::new(Problem::new(code, detail)), retry_after: None }
    }

    /// Something that must not happen did; the cause is for the log, not for the client.
    pub(crate) fn internal(cause: impl std::fmt::Display) -> Self {
        tracing::error!("API request failed: {cause}");
        let failure = Self::new(ProblemCode::Internal, "a fault of this member; its log has more");
        failure.hint("try again, or another member; report it with the request id")
    }

    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.problem.hint = Some(hint.into());
        self
    }

    #[must_use]
    pub(crate) fn on(mut self, pointer: impl Into<String>, message: impl Into<String>) -> Self {
        *self.problem = self.problem.on(pointer, message);
        self
    }

    #[must_use]
    pub(crate) fn retry_after(mut self, after: Duration) -> Self {
        self.retry_after = Some(after);
        self
    }

    /// Says where in the request the field is that a refusal names. What a field refers to and is
    /// not there makes the request invalid: the path itself leads somewhere.
    #[must_use]
    pub(crate) fn map_pointers(mut self, map: impl Fn(&str) -> String) -> Self {
        if self.problem.is(ProblemCode::NotFound) && !self.problem.errors.is_empty() {
            let errors = std::mem::take(&mut self.problem.errors);
            *self.problem = Problem::new(ProblemCode::InvalidRequest, self.problem.detail);
            self.problem.errors = errors;
        }
        for error in &mut self.problem.errors {
            error.pointer = map(&error.pointer);
        }
        self
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.problem.status);
        let mut response =
            status.expect("every code has a valid status, as a test proves").into_response();
        response.extensions_mut().insert(self);
        response
    }
}

/// The problem code of each refusal.
pub(crate) const fn code_of(code: RefusalCode) -> ProblemCode {
    match code {
        RefusalCode::NotFound => ProblemCode::NotFound,
        RefusalCode::NameTaken => ProblemCode::NameTaken,
        RefusalCode::Conflict => ProblemCode::Conflict,
        RefusalCode::PreconditionFailed => ProblemCode::PreconditionFailed,
        RefusalCode::KeyReused => ProblemCode::IdempotencyKeyReused,
        RefusalCode::LimitReached => ProblemCode::LimitReached,
        RefusalCode::Infeasible => ProblemCode::Infeasible,
        RefusalCode::TokenUnknown
        | RefusalCode::TokenExpired
        | RefusalCode::TokenUsedUp
        | RefusalCode::TokenWrongRole => ProblemCode::Forbidden,
        RefusalCode::WrongPhase => ProblemCode::NotReady,
        RefusalCode::Invalid => ProblemCode::InvalidRequest,
    }
}

const fn hint_for(code: RefusalCode) -> Option<&'static str> {
    match code {
        RefusalCode::PreconditionFailed => Some("read it again and repeat with the new ETag"),
        RefusalCode::KeyReused => Some("use a new key for a new request"),
        RefusalCode::NameTaken => Some("choose another name"),
        _ => None,
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        let mut failure = Self::new(code_of(refusal.code), refusal.message.clone());
        failure.problem.hint = hint_for(refusal.code).map(str::to_owned);
        match refusal.field {
            Some(field) => failure.on(format!("/{field}"), refusal.message),
            None => failure,
        }
    }
}

impl From<ClusterError> for Failure {
    fn from(error: ClusterError) -> Self {
        match error {
            ClusterError::Unavailable { ref retry_after, .. } => {
                let after = *retry_after;
                let failure = Self::new(ProblemCode::Unavailable, error.to_string());
                failure
                    .hint("try again with the same Idempotency-Key, here or at another member")
                    .retry_after(after)
            }
            ClusterError::Busy { retry_after } => {
                Self::new(ProblemCode::TooManyRequests, error.to_string()).retry_after(retry_after)
            }
            ClusterError::TooLarge(detail) => Self::new(ProblemCode::BodyTooLarge, detail),
            ClusterError::NotLeader { .. } => {
                Self::new(ProblemCode::NotLeader, "this member is not the leader")
            }
        }
    }
}

impl From<PeerError> for Failure {
    fn from(error: PeerError) -> Self {
        match error {
            PeerError::NotConnected(_) => Self::new(ProblemCode::NotConnected, error.to_string())
                .hint("ask another member, or see whether it is connected at all"),
            PeerError::Session(_) => {
                Self::new(ProblemCode::BadAnswer, error.to_string()).hint("try again in a moment")
            }
        }
    }
}

impl From<BlobError> for Failure {
    fn from(error: BlobError) -> Self {
        let detail = error.to_string();
        match error {
            BlobError::Full => Self::new(ProblemCode::StorageFull, detail)
                .hint("free space in the member's data_dir, or import through another member"),
            BlobError::WrongDigest { .. } | BlobError::Malformed(_) => {
                Self::new(ProblemCode::InvalidBlob, detail)
            }
            BlobError::TooLarge { .. } => Self::new(ProblemCode::BodyTooLarge, detail),
            BlobError::Interrupted(_) => Self::new(ProblemCode::RequestTimeout, detail),
            BlobError::Missing(_) => Self::new(ProblemCode::NotFound, detail),
            BlobError::Invalid(_) => Self::new(ProblemCode::InvalidBlob, detail),
            BlobError::Disk(_) => Self::internal(detail),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_becomes_a_response_of_its_status() {
        for code in ProblemCode::ALL {
            let response = Failure::new(*code, "x").into_response();
            assert_eq!(response.status().as_u16(), code.status());
        }
    }

    #[test]
    fn refusals_map_to_statuses_as_printed() {
        use RefusalCode::{
            Conflict, Infeasible, Invalid, KeyReused, LimitReached, NameTaken, NotFound,
            PreconditionFailed, TokenExpired, TokenUnknown, TokenUsedUp, TokenWrongRole,
            WrongPhase,
        };
        let codes = [
            NotFound,
            NameTaken,
            Conflict,
            PreconditionFailed,
            KeyReused,
            LimitReached,
            Infeasible,
            TokenUnknown,
            TokenExpired,
            TokenUsedUp,
            TokenWrongRole,
            WrongPhase,
            Invalid,
        ];
        let line = |code: RefusalCode| {
            let problem = code_of(code);
            format!("{code:?}: {} {}\n", problem.status(), problem.as_str())
        };
        insta::assert_snapshot!(codes.map(line).concat(), @r"
        NotFound: 404 not-found
        NameTaken: 409 name-taken
        Conflict: 409 conflict
        PreconditionFailed: 412 precondition-failed
        KeyReused: 422 idempotency-key-reused
        LimitReached: 409 limit-reached
        Infeasible: 409 infeasible
        TokenUnknown: 403 forbidden
        TokenExpired: 403 forbidden
        TokenUsedUp: 403 forbidden
        TokenWrongRole: 403 forbidden
        WrongPhase: 503 not-ready
        Invalid: 422 invalid-request
        ");
    }
}
