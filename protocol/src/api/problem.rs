//! What every failed request is answered with: problem details (RFC 9457).

use serde::{Deserialize, Serialize};

use crate::{ByteCount, LogIndex};

/// Media type of a [`Problem`].
pub const PROBLEM_MEDIA_TYPE: &str = "application/problem+json";

/// Why a request was not done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Problem {
    /// `urn:novacron:problem:<code>`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The code in words; the same for every problem of this code.
    pub title: String,
    /// The HTTP status of the answer.
    pub status: u16,
    /// What went wrong this time, a sentence fragment for people.
    pub detail: String,
    /// Stable name of the problem, for programs; see [`ProblemCode`].
    pub code: String,
    /// Names the request in the member's log; also in the header `X-Request-Id`.
    pub request_id: String,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// The fields that are wrong, when the request's content is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
    /// With `events-forgotten`: the index to resume from after reading the present state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resume_after: Option<LogIndex>,
    /// With `blobs-missing`: how many blobs are still to be uploaded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing: Option<u64>,
    /// With `body-too-large`: the most that is taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<ByteCount>,
}

/// One thing wrong with a request's content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct FieldError {
    /// JSON pointer (RFC 6901) into the body; for others a query parameter or header:
    /// `?limit`, `If-Match`.
    pub pointer: String,
    pub message: String,
}

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $status:literal, $title:literal;)*) => {
        /// Stable names of problems, each with one HTTP status.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum ProblemCode {
            $($(#[$doc])* $name,)*
        }

        impl ProblemCode {
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $code,)* }
            }

            /// HTTP status of an answer with this code.
            pub const fn status(self) -> u16 {
                match self { $(Self::$name => $status,)* }
            }

            pub const fn title(self) -> &'static str {
                match self { $(Self::$name => $title,)* }
            }
        }
    };
}

codes! {
    /// The body is not JSON.
    MalformedJson = "malformed-json", 400, "The body is not JSON";
    /// Fields are missing, unknown, of a wrong type or out of bounds.
    InvalidRequest = "invalid-request", 422, "The request has invalid fields";
    /// A parameter of the path or query.
    InvalidParameter = "invalid-parameter", 400, "A parameter is invalid";
    InvalidPageToken = "invalid-page-token", 400, "The page token is not one of this list's";
    /// A header, such as `If-Match` or `Idempotency-Key`.
    InvalidHeader = "invalid-header", 400, "A header is invalid";
    InvalidBlob = "invalid-blob", 422, "The blob is not what its digest says";
    Unauthenticated = "unauthenticated", 401, "A valid bearer token is needed";
    Forbidden = "forbidden", 403, "The user's role does not allow this";
    NotFound = "not-found", 404, "There is no such thing";
    NoSuchRoute = "no-such-route", 404, "The API has no such path";
    MethodNotAllowed = "method-not-allowed", 405, "The path does not take this method";
    RequestTimeout = "request-timeout", 408, "The body did not arrive in time";
    Conflict = "conflict", 409, "The thing's state does not allow this";
    NameTaken = "name-taken", 409, "The name is taken";
    /// An image whose blobs are not all uploaded to this member.
    BlobsMissing = "blobs-missing", 409, "Blobs of the image are missing";
    Infeasible = "infeasible", 409, "No host can take it";
    /// The events asked for are no longer kept.
    EventsForgotten = "events-forgotten", 410, "The events are no longer kept";
    PreconditionFailed = "precondition-failed", 412, "It changed since it was read";
    BodyTooLarge = "body-too-large", 413, "The body is too large";
    UnsupportedMediaType = "unsupported-media-type", 415, "The body's media type is not taken";
    IdempotencyKeyReused = "idempotency-key-reused", 422, "The idempotency key was used before";
    TooManyRequests = "too-many-requests", 429, "Too many requests";
    Internal = "internal", 500, "A fault of this member";
    /// A host or a peer gave no usable answer.
    BadAnswer = "bad-answer", 502, "Another process gave no usable answer";
    Unavailable = "unavailable", 503, "The cluster cannot answer now";
    /// This member has no session with the host or member that is needed.
    NotConnected = "not-connected", 503, "The other process is not connected to this member";
    NotLeader = "not-leader", 503, "This member is not the leader";
    NotReady = "not-ready", 503, "This member is not ready";
    LimitReached = "limit-reached", 409, "A bound of the system is reached";
    StorageFull = "storage-full", 507, "This member's disk is full";
}

impl Problem {
    pub fn new(code: ProblemCode, detail: impl Into<String>) -> Self {
        Self {
            kind: format!("urn:novacron:problem:{}", code.as_str()),
            title: code.title().to_owned(),
            status: code.status(),
            detail: detail.into(),
            code: code.as_str().to_owned(),
            request_id: String::new(),
            hint: None,
            errors: Vec::new(),
            resume_after: None,
            missing: None,
            limit: None,
        }
    }

    /// Whether it is of this code. A code this build does not know is none of its codes.
    pub fn is(&self, code: ProblemCode) -> bool {
        self.code == code.as_str()
    }

    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Names a field that is wrong.
    #[must_use]
    pub fn on(mut self, pointer: impl Into<String>, message: impl Into<String>) -> Self {
        self.errors.push(FieldError { pointer: pointer.into(), message: message.into() });
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_kebab_case_unique_and_an_error() {
        let mut seen = std::collections::BTreeSet::new();
        for code in ProblemCode::ALL {
            assert!(seen.insert(code.as_str()), "{code:?} twice");
            assert!(code.as_str().bytes().all(|b| b.is_ascii_lowercase() || b == b'-'));
            assert!((400..600).contains(&code.status()), "{code:?}");
        }
    }
}
