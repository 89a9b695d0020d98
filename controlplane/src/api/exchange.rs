//! The outermost layer: every request gets an id, every failure becomes a problem.

use std::sync::atomic::{AtomicU64, Ordering};

use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use novacron_protocol::api::problem::PROBLEM_MEDIA_TYPE;
use novacron_protocol::api::{ProblemCode, REQUEST_ID_HEADER};

use super::body::{self, Rest};
use super::failure::Failure;
use super::{Shared, random};

/// Answers so far, by the first digit of their status.
#[derive(Debug, Default)]
pub(crate) struct RequestCounts {
    by_class: [AtomicU64; 6],
}

impl RequestCounts {
    fn count(&self, status: StatusCode) {
        let class = usize::from(status.as_u16() / 100);
        if let Some(counter) = self.by_class.get(class) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// First digit of the status and how many answers had it.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (usize, u64)> {
        let counts = self.by_class.iter().enumerate().skip(2);
        counts.map(|(class, count)| (class, count.load(Ordering::Relaxed)))
    }
}

pub(crate) async fn exchange(
    State(api): State<Shared>,
    mut request: Request,
    next: Next,
) -> Response {
    let id = random::uuid(api.clock.timestamp()).to_string();
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    request.extensions_mut().insert(api.clone());
    let (request, rest) = lend_body(request);
    let response = next.run(request).await;
    rest.drain().await;
    let mut response = match response.status() {
        status if status.is_client_error() || status.is_server_error() => {
            let failure = failure_of(&response);
            let (code, detail) = (&failure.problem.code, &failure.problem.detail);
            tracing::debug!(%id, %method, path, %code, "request refused: {detail}");
            render(failure, &id, response)
        }
        _ => response,
    };
    api.requests.count(response.status());
    let headers = response.headers_mut();
    if let Ok(id) = HeaderValue::from_str(&id) {
        headers.insert(REQUEST_ID_HEADER, id);
    }
    // Answers hold secrets and change all the time; no cache may keep or guess at one.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

fn lend_body(request: Request) -> (Request, Rest) {
    let (parts, body) = request.into_parts();
    let (body, rest) = body::lend(body);
    (Request::from_parts(parts, body), rest)
}

/// For paths that are no route.
pub(crate) async fn no_such_route() -> Failure {
    Failure::new(ProblemCode::NoSuchRoute, "the API has no such path")
        .hint("GET /api/v1/openapi.json has them all")
}

/// For routes that do not take the method.
pub(crate) async fn method_not_allowed() -> Failure {
    Failure::new(ProblemCode::MethodNotAllowed, "the path does not take this method")
        .hint("the header Allow has those it takes")
}

/// The failure a response carries, or one for a response that a library made.
fn failure_of(response: &Response) -> Failure {
    if let Some(failure) = response.extensions().get::<Failure>() {
        return failure.clone();
    }
    match response.status() {
        StatusCode::METHOD_NOT_ALLOWED => {
            Failure::new(ProblemCode::MethodNotAllowed, "the path does not take this method")
        }
        status if status.is_client_error() => {
            Failure::new(ProblemCode::InvalidParameter, "the path cannot be read")
        }
        status => Failure::internal(format!("a handler answered {status} without a reason")),
    }
}

/// Writes the problem out. Headers that the refused response had, such as `Allow`, stay.
fn render(mut failure: Failure, id: &str, refused: Response) -> Response {
    failure.problem.request_id = id.to_owned();
    let mut headers = refused.headers().clone();
    headers.remove(header::CONTENT_LENGTH);
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_MEDIA_TYPE));
    if let Some(after) = failure.retry_after {
        // Whole seconds, at least one: zero would be an invitation to hammer.
        let seconds = after.as_millis().div_ceil(1000).max(1);
        if let Ok(value) = HeaderValue::from_str(&seconds.to_string()) {
            headers.insert(header::RETRY_AFTER, value);
        }
    }
    if failure.problem.is(ProblemCode::Unauthenticated) {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    let status =
        StatusCode::from_u16(failure.problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let body = serde_json::to_vec(&failure.problem)
        .expect("a problem is strings and numbers, which always serialise");
    (status, headers, body).into_response()
}
