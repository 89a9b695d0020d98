//! What a member answered.

use std::time::Duration;

use novacron_protocol::Timestamp;
use novacron_protocol::api::{Problem, ProblemCode};
use serde::de::DeserializeOwned;
use serde_json::Value;
use ureq::http;

use super::{ClientError, Fault};
use crate::context::Endpoint;
use crate::output::age;

/// A JSON answer: as the member sent it, and as this release understands it.
#[derive(Debug, Clone)]
pub(crate) struct Answer<T> {
    pub(crate) value: Value,
    pub(crate) view: T,
}

/// A whole answer in memory.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) endpoint: Endpoint,
    /// The member's wall clock, when it told.
    pub(crate) date: Option<Timestamp>,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    pub(super) fn read(
        mut response: http::Response<ureq::Body>,
        endpoint: &Endpoint,
        bytes_max: u64,
    ) -> Result<Self, Fault> {
        let date = header(&response, "date").and_then(age::parse_http_date);
        let body = response.body_mut().with_config().limit(bytes_max).read_to_vec();
        let body = body.map_err(|error| Fault::of(endpoint, &error))?;
        Ok(Self { status: response.status().as_u16(), endpoint: endpoint.clone(), date, body })
    }

    pub(crate) fn json<T: DeserializeOwned>(self) -> Result<Answer<T>, ClientError> {
        let garbled = |error: serde_json::Error| ClientError::Garbled {
            endpoint: self.endpoint.clone(),
            what: error.to_string(),
        };
        let value: Value = serde_json::from_slice(&self.body).map_err(garbled)?;
        let view = T::deserialize(&value).map_err(garbled)?;
        Ok(Answer { value, view })
    }

    /// The problem in an answer that is no success.
    pub(super) fn into_error(self) -> ClientError {
        match serde_json::from_slice::<Problem>(&self.body) {
            Ok(problem) => ClientError::Refused(Box::new(problem)),
            Err(_) if self.status == ProblemCode::Unavailable.status() => {
                let problem = Problem::new(ProblemCode::Unavailable, "the member is not ready");
                ClientError::Refused(Box::new(problem))
            }
            Err(_) => ClientError::Garbled {
                endpoint: self.endpoint,
                what: format!("status {} without a problem document", self.status),
            },
        }
    }
}

/// The pause a member asks for. Only the form in seconds: ours sends no date here.
pub(super) fn retry_after(response: &http::Response<ureq::Body>) -> Option<Duration> {
    header(response, "retry-after")?.trim().parse().ok().map(Duration::from_secs)
}

fn header<'a>(response: &'a http::Response<ureq::Body>, name: &str) -> Option<&'a str> {
    response.headers().get(name)?.to_str().ok()
}
