//! An HTTPS member made of a script, for tests: real TLS on loopback, canned answers.

use std::collections::BTreeMap;
use std::fs::Permissions;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::Value;

use crate::context::{Context, Endpoint};

/// A CA, which fake members get their certificates from.
pub(crate) struct FakeAuthority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

/// A member that answers as its script says. It stops with the test's process.
#[derive(Debug)]
pub(crate) struct FakeMember {
    pub(crate) endpoint: Endpoint,
    /// What it was asked so far.
    pub(crate) requests: Arc<Mutex<Vec<Request>>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) body: Vec<u8>,
}

/// What a script does with a request.
#[derive(Debug, Clone)]
pub(crate) enum Reaction {
    Answer {
        status: u16,
        headers: Vec<(&'static str, String)>,
        body: Vec<u8>,
    },
    /// Reads the request and closes the connection without an answer.
    HangUp,
    /// Sends this as a stream of events and closes the connection in its middle.
    Stream(String),
}

impl Reaction {
    pub(crate) fn json(status: u16, value: &Value) -> Self {
        Self::Answer { status, headers: Vec::new(), body: value.to_string().into_bytes() }
    }

    pub(crate) fn problem(problem: &novacron_protocol::api::Problem) -> Self {
        let value = serde_json::to_value(problem).unwrap();
        Self::json(problem.status, &value)
    }

    pub(crate) fn with(self, name: &'static str, value: &str) -> Self {
        match self {
            Self::Answer { status, mut headers, body } => {
                headers.push((name, value.to_owned()));
                Self::Answer { status, headers, body }
            }
            other => other,
        }
    }
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }
}

impl FakeAuthority {
    pub(crate) fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// Writes a context file into `dir` and gives its path.
    pub(crate) fn write_context(&self, dir: &Path) -> String {
        let file = format!(
            "endpoints = [\"https://x\"]\ntoken = \"nc_test\"\nca_pem = \"\"\"\n{}\"\"\"\n",
            self.pem
        );
        let path = dir.join("config.toml");
        std::fs::write(&path, file).unwrap();
        std::fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// A context with these endpoints, in this order.
    pub(crate) fn context(&self, endpoints: &[&Endpoint]) -> Context {
        let dir = tempfile::tempdir().unwrap();
        let path = self.write_context(dir.path());
        let endpoints: Vec<Endpoint> =
            endpoints.iter().map(|endpoint| (*endpoint).clone()).collect();
        Context::load(Path::new(&path), &endpoints).unwrap()
    }

    /// An endpoint at which nothing listens.
    pub(crate) fn nobody() -> Endpoint {
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        format!("https://{address}").parse().unwrap()
    }

    /// Starts a member whose `script` gets each request with its number, from 0.
    pub(crate) fn member(
        &self,
        script: impl Fn(usize, &Request) -> Reaction + Send + Sync + 'static,
    ) -> FakeMember {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let config =
            ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_no_client_auth()
                .with_single_cert(
                    vec![certificate.der().clone()],
                    rustls::pki_types::PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
                )
                .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("https://{}", listener.local_addr().unwrap()).parse().unwrap();
        let requests: Arc<Mutex<Vec<Request>>> = Arc::default();
        let (config, script, seen) = (Arc::new(config), Arc::new(script), requests.clone());
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (config, script, seen) = (config.clone(), script.clone(), seen.clone());
                thread::spawn(move || serve(stream, config, &*script, &seen));
            }
        });
        FakeMember { endpoint, requests }
    }
}

impl FakeMember {
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }
}

/// Serves the requests of one connection until somebody closes it.
fn serve(
    stream: TcpStream,
    config: Arc<ServerConfig>,
    script: &dyn Fn(usize, &Request) -> Reaction,
    seen: &Mutex<Vec<Request>>,
) {
    let connection = ServerConnection::new(config).unwrap();
    let mut stream = BufReader::new(StreamOwned::new(connection, stream));
    while let Some(request) = read_request(&mut stream) {
        let number = {
            let mut seen = seen.lock().unwrap();
            seen.push(request.clone());
            seen.len() - 1
        };
        let wire = match script(number, &request) {
            Reaction::HangUp => return,
            Reaction::Stream(text) => {
                let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\
                            transfer-encoding: chunked\r\n\r\n";
                let chunk = format!("{:x}\r\n{text}\r\n", text.len());
                let _ = stream.get_mut().write_all(format!("{head}{chunk}").as_bytes());
                let _ = stream.get_mut().flush();
                return;
            }
            Reaction::Answer { status, headers, body } => {
                let mut head = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n", body.len());
                for (name, value) in headers {
                    head.push_str(&format!("{name}: {value}\r\n"));
                }
                [head.as_bytes(), b"\r\n", &body].concat()
            }
        };
        if stream.get_mut().write_all(&wire).and_then(|()| stream.get_mut().flush()).is_err() {
            return;
        }
    }
}

fn read_request(stream: &mut impl BufRead) -> Option<Request> {
    let mut line = || {
        let mut line = String::new();
        stream.read_line(&mut line).ok().filter(|len| *len > 0)?;
        Some(line.trim_end().to_owned())
    };
    let first = line()?;
    let mut words = first.split(' ');
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut headers = BTreeMap::new();
    loop {
        let line = line()?;
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_once(": ")?;
        headers.insert(name.to_ascii_lowercase(), value.to_owned());
    }
    let length = headers.get("content-length").map_or(0, |text| text.parse().unwrap());
    let mut body = vec![0; length];
    stream.read_exact(&mut body).ok()?;
    Some(Request { method, target, headers, body })
}
