//! JSON over HTTP, the same client for NovaCron and its peers.

use std::io::Read;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::Serialize;
use serde::de::DeserializeOwned;
use ureq::tls::{Certificate, RootCerts, TlsConfig};

/// A client with a pool of connections. Cheap to clone; clones share the pool.
#[derive(Debug, Clone)]
pub(crate) struct Http {
    agent: ureq::Agent,
    authorization: Option<Arc<str>>,
}

impl Http {
    /// Without TLS, for peers.
    pub(crate) fn plain() -> Self {
        Self { agent: settings().build().new_agent(), authorization: None }
    }

    /// For servers with a certificate of the authority in `ca_pem`, as the owner of `token`.
    pub(crate) fn trusting(ca_pem: &str, token: &str) -> Result<Self> {
        let ca = Certificate::from_pem(ca_pem.as_bytes()).context("read the authority")?;
        let tls = TlsConfig::builder()
            .root_certs(RootCerts::new_with_certs(&[ca]))
            .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .build();
        let agent = settings().tls_config(tls).build().new_agent();
        Ok(Self { agent, authorization: Some(format!("Bearer {token}").into()) })
    }

    pub(crate) fn get<T: DeserializeOwned>(&self, url: &str) -> Result<T> {
        let request = self.agent.get(url);
        read(url, self.authorized(request).call())
    }

    pub(crate) fn post<T: DeserializeOwned>(&self, url: &str, body: &impl Serialize) -> Result<T> {
        let request = self.agent.post(url);
        read(url, self.authorized(request).send_json(body))
    }

    pub(crate) fn post_empty<T: DeserializeOwned>(&self, url: &str) -> Result<T> {
        let request = self.agent.post(url);
        read(url, self.authorized(request).send_empty())
    }

    /// A server-sent event stream, to be read for as long as it lasts.
    pub(crate) fn open_events(&self, url: &str) -> Result<impl Read + Send + use<>> {
        let request = self.agent.get(url).config().timeout_global(None).build();
        let request = self.authorized(request).header("accept", "text/event-stream");
        let response = request.call().with_context(|| format!("open {url}"))?;
        let status = response.status();
        anyhow::ensure!(status.is_success(), "{url}: {status}");
        Ok(response.into_body().into_reader())
    }

    fn authorized<B>(&self, request: ureq::RequestBuilder<B>) -> ureq::RequestBuilder<B> {
        match &self.authorization {
            Some(authorization) => request.header("authorization", &**authorization),
            None => request,
        }
    }
}

fn settings() -> ureq::config::ConfigBuilder<ureq::typestate::AgentScope> {
    ureq::Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .proxy(None)
        .max_idle_connections(CONNECTIONS_MAX)
        .max_idle_connections_per_host(CONNECTIONS_MAX)
        .timeout_global(Some(ANSWER_WITHIN))
}

fn read<T: DeserializeOwned>(
    url: &str,
    answer: Result<ureq::http::Response<ureq::Body>, ureq::Error>,
) -> Result<T> {
    let mut answer = answer.with_context(|| url.to_owned())?;
    let status = answer.status();
    if !status.is_success() {
        bail!("{url}: {status}: {}", answer.body_mut().read_to_string().unwrap_or_default());
    }
    answer.body_mut().read_json().with_context(|| format!("read the answer of {url}"))
}

/// Above the 10 s for which a member tries through leader changes.
const ANSWER_WITHIN: Duration = Duration::from_secs(15);
/// As many as the load generator has workers; a handshake in the middle would be measured too.
const CONNECTIONS_MAX: usize = 128;
