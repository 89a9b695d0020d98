//! Answers: status, JSON body, and the headers that say what they were read from.

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use novacron_controlplane_core::State;
use novacron_protocol::api::{INDEX_HEADER, PREFIX, STALENESS_HEADER};
use novacron_protocol::{LogIndex, OperationId};
use serde::Serialize;

use super::failure::Failure;
use crate::cluster::View;

/// What every handler gives.
pub(crate) type Reply = Result<Answer, Failure>;

#[derive(Debug)]
pub(crate) struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Answer {
    pub(crate) fn json<T: Serialize>(status: StatusCode, value: &T) -> Self {
        let body = serde_json::to_vec(value)
            .expect("answers have string keys and finite numbers, which always serialise");
        Self::bytes(status, "application/json", body)
    }

    pub(crate) fn ok<T: Serialize>(value: &T) -> Self {
        Self::json(StatusCode::OK, value)
    }

    pub(crate) fn empty() -> Self {
        Self { status: StatusCode::NO_CONTENT, headers: HeaderMap::new(), body: Vec::new() }
    }

    pub(crate) fn bytes(status: StatusCode, media_type: &'static str, body: Vec<u8>) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
        Self { status, headers, body }
    }

    /// Says how old the state is that was read.
    #[must_use]
    pub(crate) fn read_from(self, view: &View) -> Self {
        let staleness = view.staleness.as_millis().to_string();
        self.after(&view.state).header(HeaderName::from_static(STALENESS_HEADER), &staleness)
    }

    /// Says which state was read.
    #[must_use]
    pub(crate) fn after(self, state: &State) -> Self {
        self.header(HeaderName::from_static(INDEX_HEADER), &state.applied().to_string())
    }

    #[must_use]
    pub(crate) fn etag(self, changed: LogIndex) -> Self {
        self.header(header::ETAG, &format!("\"{changed}\""))
    }

    /// Says where to follow an operation.
    #[must_use]
    pub(crate) fn follow(self, operation: OperationId) -> Self {
        self.header(header::LOCATION, &format!("{PREFIX}/operations/{operation}"))
    }

    fn header(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.insert(name, value);
        }
        self
    }
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        (self.status, self.headers, Body::from(self.body)).into_response()
    }
}
