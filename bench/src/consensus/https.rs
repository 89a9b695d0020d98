//! The admin API over a connection that is kept, with no more HTTP than it needs.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use novacron_protocol::HostId;
use novacron_protocol::api::host::HostView;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use serde::Deserialize;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::fleet::cluster::host_name;
use crate::http::Http;

/// What an admin knows, and which host is written to.
pub(super) struct Admin {
    token: String,
    connector: TlsConnector,
    pub(super) host: HostId,
}

/// The context file that `init` writes, its endpoints aside.
#[derive(Deserialize)]
struct ContextFile {
    token: String,
    ca_pem: String,
}

impl Admin {
    /// Of the cluster whose first member keeps its things in `data`.
    pub(super) fn read(data: &Path, api: SocketAddr) -> Result<Self> {
        let text =
            fs::read_to_string(data.join("admin.toml")).context("read the admin's context")?;
        let ContextFile { token, ca_pem } = toml::from_str(&text)?;
        let http = Http::trusting(&ca_pem, &token)?;
        let url = format!("https://{api}/api/v1/hosts/{}", host_name(1));
        let host: HostView = http.get(&url)?;
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(ca_pem.as_bytes())?)?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Self { token, connector: TlsConnector::from(Arc::new(config)), host: host.id })
    }
}

/// A client with a connection of its own.
pub(super) struct Https {
    stream: TlsStream<TcpStream>,
    head: String,
    path: String,
    buffer: Vec<u8>,
}

impl Https {
    pub(super) async fn connect(admin: &Admin, address: SocketAddr) -> Result<Self> {
        let tcp = TcpStream::connect(address).await.context("connect to a member")?;
        tcp.set_nodelay(true)?;
        let name = ServerName::IpAddress(address.ip().into());
        let stream = admin.connector.connect(name, tcp).await.context("speak TLS")?;
        let head = format!("host: {address}\r\nauthorization: Bearer {}\r\n", admin.token);
        let path = format!("/api/v1/hosts/{}", admin.host);
        Ok(Self { stream, head, path, buffer: Vec::new() })
    }

    pub(super) async fn write(&mut self, value: &str) -> Result<()> {
        let body = format!("{{\"reason\":\"{value}\"}}");
        let request = format!(
            "POST {}/cordon HTTP/1.1\r\n{}content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
            self.path,
            self.head,
            body.len()
        );
        self.exchange(&request).await
    }

    pub(super) async fn read(&mut self) -> Result<()> {
        let request = format!("GET {} HTTP/1.1\r\n{}\r\n", self.path, self.head);
        self.exchange(&request).await
    }

    async fn exchange(&mut self, request: &str) -> Result<()> {
        self.stream.write_all(request.as_bytes()).await?;
        self.stream.flush().await?;
        self.buffer.clear();
        loop {
            let read = self.stream.read_buf(&mut self.buffer).await?;
            ensure!(read > 0, "the member closed the connection");
            let Some(end) = self.buffer.windows(4).position(|bytes| bytes == b"\r\n\r\n") else {
                continue;
            };
            let head = std::str::from_utf8(&self.buffer[..end])?.to_ascii_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
            let length: usize = length.context("an answer without a length")?.trim().parse()?;
            if self.buffer.len() < end + 4 + length {
                continue;
            }
            if !head.starts_with("http/1.1 200") {
                bail!("{}", String::from_utf8_lossy(&self.buffer));
            }
            return Ok(());
        }
    }
}
