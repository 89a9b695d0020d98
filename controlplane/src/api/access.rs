//! Who asks, whether they may, and the body they sent, within its bounds.
//!
//! Runs before every handler. A handler that takes a [`Caller`] knows that its role was checked.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use axum::Extension;
use axum::body::{Body, Bytes};
use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use futures_util::StreamExt as _;
use novacron_controlplane_core::command::{Actor, RequestKey};
use novacron_controlplane_core::user::{Role, User};
use novacron_protocol::api::{IDEMPOTENCY_KEY_HEADER, ProblemCode};
use novacron_protocol::limits::{API_BODY_BYTES_MAX, IDEMPOTENCY_KEY_LEN_MAX};
use novacron_protocol::{ByteCount, Digest, RequestId, UserId};

use super::bearer::BearerToken;
use super::failure::Failure;
use super::input::{WholeBody, bad_header};
use super::{Api, Shared};
use crate::cluster::Consistency;

/// What a route asks of its callers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rule {
    /// Anybody: says nothing that is not public.
    Public,
    /// Users of at least this role; the body is read whole before the handler.
    Role(Role),
    /// The same, but the handler reads the body as it comes.
    RoleStreamed(Role),
}

impl Rule {
    /// The role that is needed; `None` lets everybody in.
    pub(crate) const fn role(self) -> Option<Role> {
        match self {
            Self::Public => None,
            Self::Role(role) | Self::RoleStreamed(role) => Some(role),
        }
    }
}

/// The address that a request came from; put into its extensions by [`super::server`].
#[derive(Debug, Clone, Copy)]
pub(crate) struct ClientAddress(pub(crate) SocketAddr);

/// Somebody who has proven who they are and may do what the route does.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    pub(crate) user: UserId,
    pub(crate) actor: Actor,
    /// From `Idempotency-Key`: what makes a repeat of this request recognisable.
    pub(crate) request: Option<RequestKey>,
}

/// How long a body that is read whole may take: at the limit of 1 MiB that is 35 kB/s.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

impl FromRequestParts<Shared> for Caller {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &Shared) -> Result<Self, Failure> {
        let caller = parts.extensions.get::<Self>().cloned();
        caller.ok_or_else(|| Failure::internal("a public route asked who its caller is"))
    }
}

pub(crate) async fn admit(
    State(rule): State<Rule>,
    Extension(api): Extension<Shared>,
    request: Request,
    next: Next,
) -> Response {
    let (mut parts, body) = request.into_parts();
    match api.admit_parts(rule, &mut parts, body).await {
        Ok(body) => next.run(Request::from_parts(parts, body)).await,
        Err(failure) => failure.into_response(),
    }
}

impl Api {
    /// Checks the caller and puts what handlers need into the request's extensions. Gives back the
    /// body that is left to read.
    async fn admit_parts(
        self: &Shared,
        rule: Rule,
        parts: &mut Parts,
        body: Body,
    ) -> Result<Body, Failure> {
        let Some(role) = rule.role() else { return Ok(body) };
        let user = self.check(role, parts).await?;
        check_precondition(parts)?;
        let mut caller = Caller { user: user.id, actor: actor_of(&user), request: None };
        if let Rule::RoleStreamed(_) = rule {
            parts.extensions.insert(caller);
            return Ok(body);
        }
        let whole = read_whole(body).await?;
        caller.request = request_key(&user, parts, &whole)?;
        parts.extensions.insert(WholeBody(whole));
        parts.extensions.insert(caller);
        Ok(Body::empty())
    }

    /// Who asks, if they may do what needs `role`.
    async fn check(self: &Shared, role: Role, parts: &Parts) -> Result<User, Failure> {
        let address = parts.extensions.get::<ClientAddress>().map(|client| client.0);
        let what = format!("{} {}", parts.method, parts.uri.path());
        let user = match self.authenticate(&parts.headers, address).await {
            Ok(user) => user,
            Err(denial) => {
                let address = address.map_or_else(|| "?".to_owned(), |peer| peer.ip().to_string());
                self.auditor.record(Actor::Unknown { address }, &what, denial.why);
                return Err(denial.failure);
            }
        };
        if user.role < role {
            let detail = format!("user {} is {}; this needs {role}", user.name, user.role);
            self.auditor.record(actor_of(&user), &what, detail.clone());
            return Err(Failure::new(ProblemCode::Forbidden, detail)
                .hint(format!("use the token of a user with the role {role}")));
        }
        Ok(user)
    }

    async fn authenticate(
        &self,
        headers: &HeaderMap,
        address: Option<SocketAddr>,
    ) -> Result<User, Denial> {
        let token = bearer_of(headers);
        if let Some(token) = &token
            && let Some(user) = self.cluster.state().user(token.user)
            && user.secret.matches(&token.secret.digest())
        {
            return Ok(user.clone());
        }
        let ip = address.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |address| address.ip());
        self.guard.count_failure(ip).map_err(Denial::too_many)?;
        let Some(token) = token else { return Err(Denial::unauthenticated("no bearer token")) };
        if self.cluster.state().user(token.user).is_some() {
            return Err(Denial::unauthenticated("wrong secret"));
        }
        // This member may be behind: the user may have been made at another one just now.
        let view = self.cluster.read(Consistency::Linearizable).await;
        let view = view.map_err(|error| Denial {
            failure: error.into(),
            why: "the cluster could not say who it is".to_owned(),
        })?;
        match view.state.user(token.user) {
            Some(user) if user.secret.matches(&token.secret.digest()) => Ok(user.clone()),
            Some(_) => Err(Denial::unauthenticated("wrong secret")),
            None => Err(Denial::unauthenticated("no such user")),
        }
    }
}

/// Why somebody was not let in: what they are told, and what is recorded.
struct Denial {
    failure: Failure,
    why: String,
}

impl Denial {
    /// All look the same from outside.
    fn unauthenticated(why: &str) -> Self {
        let failure = Failure::new(ProblemCode::Unauthenticated, "a valid bearer token is needed")
            .hint("send Authorization: Bearer with the token from `novacron user create`");
        Self { failure, why: why.to_owned() }
    }

    fn too_many(wait: Duration) -> Self {
        let failure =
            Failure::new(ProblemCode::TooManyRequests, "too many failed logins from this address")
                .retry_after(wait);
        Self { failure, why: "too many failed logins".to_owned() }
    }
}

fn actor_of(user: &User) -> Actor {
    Actor::User { id: user.id, name: user.name.clone() }
}

/// The bearer token of a request (RFC 6750 section 2.1); one that is malformed is none.
fn bearer_of(headers: &HeaderMap) -> Option<BearerToken> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim().parse().ok())?
}

/// Reads the body into memory, within its bounds of size and time.
async fn read_whole(body: Body) -> Result<Bytes, Failure> {
    let read = tokio::time::timeout(BODY_TIMEOUT, read_body(body, API_BODY_BYTES_MAX));
    let slow = |_| Failure::new(ProblemCode::RequestTimeout, "the body did not arrive in time");
    read.await.map_err(slow)?
}

async fn read_body(body: Body, max: usize) -> Result<Bytes, Failure> {
    let mut stream = body.into_data_stream();
    let mut bytes = Vec::new();
    while let Some(chunk) = stream.next().await {
        let chunk = chunk.map_err(|error| {
            Failure::new(ProblemCode::RequestTimeout, format!("the body broke off: {error}"))
        })?;
        if bytes.len() + chunk.len() > max {
            return Err(too_large(max));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes.into())
}

/// The answer to a body of more than `max` bytes.
pub(crate) fn too_large(max: usize) -> Failure {
    let limit = ByteCount(max as u64);
    let mut failure =
        Failure::new(ProblemCode::BodyTooLarge, format!("a body here is at most {limit}"));
    failure.problem.limit = Some(limit);
    failure
}

/// Only VMs take `If-Match`; elsewhere it would be passed over, and a client must not think that
/// it was looked at (RFC 9110 section 13.1.1).
fn check_precondition(parts: &Parts) -> Result<(), Failure> {
    let looked_at = parts.method == Method::GET || parts.uri.path().starts_with("/api/v1/vms/");
    match parts.headers.contains_key(header::IF_MATCH) && !looked_at {
        true => Err(bad_header("If-Match", "is not taken here, only to change a VM")),
        false => Ok(()),
    }
}

/// What makes a repeat of a request recognisable: the user and their key name it, and everything
/// that was asked is its fingerprint.
fn request_key(user: &User, parts: &Parts, body: &[u8]) -> Result<Option<RequestKey>, Failure> {
    let Some(key) = parts.headers.get(IDEMPOTENCY_KEY_HEADER) else { return Ok(None) };
    let refuse = || {
        let message = format!("must be 1 to {IDEMPOTENCY_KEY_LEN_MAX} printable ASCII characters");
        bad_header("Idempotency-Key", &message)
    };
    let key = key.to_str().map_err(|_| refuse())?;
    if key.is_empty() || key.len() > IDEMPOTENCY_KEY_LEN_MAX {
        return Err(refuse());
    }
    if parts.method == Method::GET {
        return Ok(None);
    }
    let name = Digest::of(
        &[b"novacron idempotency 1\0", &user.id.as_bytes()[..], key.as_bytes()].concat(),
    );
    let id = *name.0.first_chunk::<16>().expect("a digest has 32 bytes");
    let path = parts.uri.path_and_query().map_or("", |path| path.as_str());
    let asked = [parts.method.as_str().as_bytes(), path.as_bytes(), body].join(&0);
    Ok(Some(RequestKey {
        id: RequestId::from_uuid(uuid::Builder::from_custom_bytes(id).into_uuid()),
        fingerprint: Digest::of(&asked),
    }))
}
