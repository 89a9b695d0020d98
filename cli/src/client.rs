//! Calls to the admin API: one synchronous HTTPS request at a time.
//!
//! A call goes to the member that answered last and, when that one does not, to the next of the
//! context's endpoints. Every request that changes something carries an idempotency key, which
//! stays the same over all its tries, so that a lost answer never does a thing twice. `503` and
//! `429` with `Retry-After` are tried again for [`PATIENCE`], and so is a cluster that answered
//! before in this run and now does not; a cluster that never answered fails at once.

mod answer;
pub(crate) mod events;
#[cfg(test)]
pub(crate) mod fake;
mod fault;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use novacron_protocol::Digest;
use novacron_protocol::api::{self, Page};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use ureq::http::{self, Method};
use ureq::tls::{RootCerts, TlsConfig};
use uuid::Uuid;

use crate::context::{Context, Endpoint};
use crate::output;
pub(crate) use answer::{Answer, Reply};
pub(crate) use fault::{ClientError, Fault};

/// Calls the API of one cluster.
#[derive(Debug)]
pub(crate) struct Client {
    agent: ureq::Agent,
    endpoints: Vec<Endpoint>,
    authorization: String,
    /// Which endpoint answered last.
    preferred: AtomicUsize,
    /// Whether any has answered in this run.
    reached: AtomicBool,
    /// Whether the present outage was told.
    told: AtomicBool,
    patience: Duration,
}

/// One request, as often as it takes.
#[derive(Debug)]
pub(crate) struct Call {
    method: Method,
    /// Below `/api/v1`, with its query.
    target: String,
    payload: Payload,
    key: Option<String>,
    accept: &'static str,
    answer_within: Duration,
}

#[derive(Debug)]
enum Payload {
    None,
    Json(Vec<u8>),
    Zstd(Vec<u8>),
}

/// An answer that is read as it comes.
pub(crate) struct Stream {
    pub(crate) endpoint: Endpoint,
    pub(crate) reader: ureq::BodyReader<'static>,
}

/// Why one request to one endpoint gave nothing.
enum Setback {
    /// The endpoint could not be talked to.
    Fault(Fault),
    /// This member cannot say now; another may, or the same one after a while.
    Later { after: Option<Duration>, error: ClientError },
    /// No other member would say otherwise.
    Final(ClientError),
}

/// Why a round over all endpoints gave nothing, and after which pause another round may.
struct Miss {
    error: ClientError,
    pause: Option<Duration>,
}

/// How long a connection and its TLS handshake may take before the next endpoint is tried.
const CONNECT_WITHIN: Duration = Duration::from_secs(3);
/// How long a member may take to answer. Above the 10 s in which it gives up on the leader.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);
/// How long a member may take to receive, check and store a blob.
const BLOB_ANSWER_WITHIN: Duration = Duration::from_secs(60);
/// How long one read or write may stall. Above the 15 s between two signs of life of a stream.
const STALL_MAX: Duration = Duration::from_secs(45);
/// How long a busy or electing cluster is tried again before the command fails: an election takes
/// under 2 s, a restart of a member under 10 s.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);
/// Pause between two rounds over endpoints of which none answers.
const ROUND_PAUSE: Duration = Duration::from_millis(500);
/// Largest answer that is read: a page of 1,000 VMs of 4 KiB each, eight times.
const ANSWER_BYTES_MAX: u64 = 32 << 20;

impl Client {
    pub(crate) fn new(context: &Context) -> Self {
        let tls = TlsConfig::builder()
            .root_certs(RootCerts::new_with_certs(std::slice::from_ref(&context.ca)))
            .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .build();
        let agent = ureq::Agent::config_builder()
            .tls_config(tls)
            .https_only(true)
            .http_status_as_error(false)
            // A member never redirects, and our token is for nobody else.
            .max_redirects(0)
            // Members are reached directly; a proxy of the environment is for the internet.
            .proxy(None)
            .user_agent(concat!("novacron/", env!("CARGO_PKG_VERSION")))
            .timeout_resolve(Some(CONNECT_WITHIN))
            .timeout_connect(Some(CONNECT_WITHIN))
            .timeout_per_read(Some(STALL_MAX))
            .timeout_per_write(Some(STALL_MAX))
            .build()
            .new_agent();
        Self {
            agent,
            endpoints: context.endpoints.clone(),
            authorization: context.token.header(),
            preferred: AtomicUsize::new(0),
            reached: AtomicBool::new(false),
            told: AtomicBool::new(false),
            patience: PATIENCE,
        }
    }

    /// The same, with another bound on how long it tries again.
    #[must_use]
    pub(crate) fn with_patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// A client of one endpoint only, without fail-over.
    pub(crate) fn only(&self, endpoint: &Endpoint) -> Self {
        Self {
            agent: self.agent.clone(),
            endpoints: vec![endpoint.clone()],
            authorization: self.authorization.clone(),
            preferred: AtomicUsize::new(0),
            reached: AtomicBool::new(false),
            told: AtomicBool::new(false),
            patience: self.patience,
        }
    }

    /// A client of all endpoints that tries `endpoint` first.
    pub(crate) fn preferring(&self, endpoint: &Endpoint) -> Self {
        let at = self.endpoints.iter().position(|known| known == endpoint).unwrap_or(0);
        Self {
            agent: self.agent.clone(),
            endpoints: self.endpoints.clone(),
            authorization: self.authorization.clone(),
            preferred: AtomicUsize::new(at),
            reached: AtomicBool::new(true),
            told: AtomicBool::new(false),
            patience: self.patience,
        }
    }

    /// Endpoints in the order in which the next call tries them.
    pub(crate) fn endpoints(&self) -> Vec<Endpoint> {
        let first = self.preferred.load(Ordering::Relaxed);
        let turn = |at: usize| self.endpoints[(first + at) % self.endpoints.len()].clone();
        (0..self.endpoints.len()).map(turn).collect()
    }

    pub(crate) fn get<T: DeserializeOwned>(&self, target: &str) -> Result<Answer<T>, ClientError> {
        self.call(&Call::get(target))?.json()
    }

    /// All pages of a list. `target` may have a query already.
    pub(crate) fn list<T: DeserializeOwned>(
        &self,
        target: &str,
    ) -> Result<Answer<Vec<T>>, ClientError> {
        let mut values = Vec::new();
        let mut views = Vec::new();
        let mut page_token: Option<String> = None;
        loop {
            let joint = if target.contains('?') { '&' } else { '?' };
            let mut page =
                format!("{target}{joint}limit={}", novacron_protocol::limits::PAGE_LIMIT_MAX);
            if let Some(token) = page_token {
                page.push_str(&format!("&page_token={}", encode(&token)));
            }
            let answer: Answer<Page<T>> = self.get(&page)?;
            if let Value::Object(mut object) = answer.value
                && let Some(Value::Array(items)) = object.remove("items")
            {
                values.extend(items);
            }
            views.extend(answer.view.items);
            page_token = answer.view.next_page_token;
            if page_token.is_none() {
                return Ok(Answer { value: Value::Array(values), view: views });
            }
        }
    }

    /// Changes something.
    pub(crate) fn post<T: DeserializeOwned>(
        &self,
        target: &str,
        body: &impl Serialize,
    ) -> Result<Answer<T>, ClientError> {
        self.call(&Call::change(target, body))?.json()
    }

    /// Changes something, with nothing more to say.
    pub(crate) fn post_empty<T: DeserializeOwned>(
        &self,
        target: &str,
    ) -> Result<Answer<T>, ClientError> {
        self.call(&Call::post(target, Payload::None).keyed())?.json()
    }

    /// Asks a question that is too long for a URL.
    pub(crate) fn ask<T: DeserializeOwned>(
        &self,
        target: &str,
        body: &impl Serialize,
    ) -> Result<Answer<T>, ClientError> {
        self.call(&Call::post(target, Payload::Json(to_json(body))))?.json()
    }

    pub(crate) fn delete(&self, target: &str) -> Result<Reply, ClientError> {
        self.call(&Call::new(Method::DELETE, target).keyed())
    }

    /// Uploads the zstd frames of the content that `digest` names.
    pub(crate) fn put_blob(&self, digest: Digest, frames: Vec<u8>) -> Result<(), ClientError> {
        let mut call = Call::new(Method::PUT, &format!("/blobs/{digest}"));
        call.payload = Payload::Zstd(frames);
        call.answer_within = BLOB_ANSWER_WITHIN;
        self.call(&call).map(drop)
    }

    /// Makes one call, with fail-over and patience.
    pub(crate) fn call(&self, call: &Call) -> Result<Reply, ClientError> {
        self.attempt(call, |response, endpoint| Reply::read(response, endpoint, ANSWER_BYTES_MAX))
    }

    /// Opens a stream, with fail-over and patience.
    pub(crate) fn open(&self, call: &Call) -> Result<Stream, ClientError> {
        self.attempt(call, |response, endpoint| {
            Ok(Stream { endpoint: endpoint.clone(), reader: response.into_body().into_reader() })
        })
    }

    fn attempt<T>(
        &self,
        call: &Call,
        read: impl Fn(http::Response<ureq::Body>, &Endpoint) -> Result<T, Fault>,
    ) -> Result<T, ClientError> {
        let started = Instant::now();
        loop {
            let Miss { error, pause } = match self.round(call, &read) {
                Ok(answer) => {
                    self.told.store(false, Ordering::Relaxed);
                    return Ok(answer);
                }
                Err(miss) => miss,
            };
            let Some(pause) =
                pause.filter(|pause| *pause <= self.patience.saturating_sub(started.elapsed()))
            else {
                return Err(error);
            };
            if !self.told.swap(true, Ordering::Relaxed) {
                let seconds = self.patience.as_secs();
                output::note(&format!("{error}; trying again for up to {seconds} s"));
            }
            thread::sleep(pause);
        }
    }

    /// Tries each endpoint once.
    fn round<T>(
        &self,
        call: &Call,
        read: impl Fn(http::Response<ureq::Body>, &Endpoint) -> Result<T, Fault>,
    ) -> Result<T, Miss> {
        let first = self.preferred.load(Ordering::Relaxed);
        let mut faults = Vec::new();
        let mut later: Option<Miss> = None;
        for turn in 0..self.endpoints.len() {
            let at = (first + turn) % self.endpoints.len();
            let outcome = self.once(call, &self.endpoints[at], &read);
            if !matches!(outcome, Err(Setback::Fault(_))) {
                self.reached.store(true, Ordering::Relaxed);
            }
            match outcome {
                Ok(answer) => {
                    self.preferred.store(at, Ordering::Relaxed);
                    return Ok(answer);
                }
                Err(Setback::Final(error)) => {
                    self.preferred.store(at, Ordering::Relaxed);
                    return Err(Miss { error, pause: None });
                }
                Err(Setback::Fault(fault)) => faults.push(fault),
                Err(Setback::Later { after, error }) => {
                    let sooner = |known: &Miss| match (after, known.pause) {
                        (Some(after), Some(pause)) => after < pause,
                        (after, pause) => after.is_some() && pause.is_none(),
                    };
                    if later.as_ref().is_none_or(sooner) {
                        later = Some(Miss { error, pause: after });
                    }
                }
            }
        }
        let may_return = self.reached.load(Ordering::Relaxed);
        Err(later.unwrap_or_else(|| Miss {
            error: ClientError::Unreachable { faults },
            pause: may_return.then_some(ROUND_PAUSE),
        }))
    }

    /// One request to one endpoint.
    fn once<T>(
        &self,
        call: &Call,
        endpoint: &Endpoint,
        read: impl Fn(http::Response<ureq::Body>, &Endpoint) -> Result<T, Fault>,
    ) -> Result<T, Setback> {
        let fault = |error: &ureq::Error| Setback::Fault(Fault::of(endpoint, error));
        let response = self.send(call, endpoint).map_err(|error| fault(&error))?;
        if response.status().is_success() {
            return read(response, endpoint).map_err(Setback::Fault);
        }
        let retry_after = answer::retry_after(&response);
        let reply = Reply::read(response, endpoint, ANSWER_BYTES_MAX).map_err(Setback::Fault)?;
        let status = reply.status;
        let error = reply.into_error();
        match status {
            429 | 503 => Err(Setback::Later { after: retry_after, error }),
            _ => Err(Setback::Final(error)),
        }
    }

    fn send(
        &self,
        call: &Call,
        endpoint: &Endpoint,
    ) -> Result<http::Response<ureq::Body>, ureq::Error> {
        let mut request = http::Request::builder()
            .method(call.method.clone())
            .uri(format!("{endpoint}{}{}", api::PREFIX, call.target))
            .header("authorization", &self.authorization)
            .header("accept", call.accept);
        if let Some(key) = &call.key {
            request = request.header(api::IDEMPOTENCY_KEY_HEADER, key);
        }
        match &call.payload {
            Payload::None => self.agent.run(self.bound(call, request.body(())?)),
            Payload::Json(bytes) | Payload::Zstd(bytes) => {
                let media_type = match call.payload {
                    Payload::Zstd(_) => "application/zstd",
                    _ => "application/json",
                };
                let request = request.header("content-type", media_type).body(bytes)?;
                self.agent.run(self.bound(call, request))
            }
        }
    }

    /// Bounds how long the answer may take to begin.
    fn bound<S: ureq::AsSendBody>(
        &self,
        call: &Call,
        request: http::Request<S>,
    ) -> http::Request<S> {
        self.agent
            .configure_request(request)
            .timeout_recv_response(Some(call.answer_within))
            .timeout_per_read(Some(STALL_MAX.max(call.answer_within)))
            .build()
    }
}

impl Call {
    fn new(method: Method, target: &str) -> Self {
        Self {
            method,
            target: target.to_owned(),
            payload: Payload::None,
            key: None,
            accept: "application/json, application/problem+json",
            answer_within: ANSWER_WITHIN,
        }
    }

    pub(crate) fn get(target: &str) -> Self {
        Self::new(Method::GET, target)
    }

    fn post(target: &str, payload: Payload) -> Self {
        Self { payload, ..Self::new(Method::POST, target) }
    }

    /// A change that may be tried at one member after the other, and is done once.
    pub(crate) fn change(target: &str, body: &impl Serialize) -> Self {
        Self::post(target, Payload::Json(to_json(body))).keyed()
    }

    fn keyed(self) -> Self {
        Self { key: Some(Uuid::new_v4().to_string()), ..self }
    }

    /// For an answer that takes its time: a long poll, or much to check.
    #[must_use]
    pub(crate) fn waiting(self, wait: Duration) -> Self {
        Self { answer_within: self.answer_within + wait, ..self }
    }

    /// For an answer that is not JSON.
    #[must_use]
    pub(crate) fn accept(self, accept: &'static str) -> Self {
        Self { accept, ..self }
    }
}

/// Text as a path segment or a value of a query (RFC 3986: all but the unreserved is escaped).
pub(crate) fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                encoded.push(char::from(byte));
            }
            byte => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

fn to_json(body: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(body).expect("a request of ours has string keys and no failing field")
}

#[cfg(test)]
mod tests;
