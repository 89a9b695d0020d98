//! Takes connections: TLS 1.3, then HTTP/1.1, within bounds of number and time.
//!
//! Whoever opens connections and says nothing costs one slot for at most [`HANDSHAKE_TIMEOUT`]
//! plus [`HEADER_TIMEOUT`]; when all slots are taken, newcomers wait in the kernel's queue.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::Shared;
use super::access::ClientAddress;

/// Connections at once. Each takes some 30 kB with its TLS buffers, so all take 30 MB; a dashboard
/// or command line has one to three.
const CONNECTIONS_MAX: usize = 1024;
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// From a connection's readiness to the end of a request's head; also how long one may idle.
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);
/// Longest request head. A bearer token, a page token and 32 labels fit four times.
const HEADER_BYTES_MAX: usize = 32 << 10;
/// How long requests under way may take to end when the member stops.
const GRACE: Duration = Duration::from_secs(10);
/// Pause after the kernel refused a connection, most likely for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Tells long answers, such as event streams, that the server stops; in every request's
/// extensions.
#[derive(Debug, Clone, Default)]
pub(crate) struct Stopping(CancellationToken);

impl Stopping {
    pub(crate) fn is_cancelled(&self) -> bool {
        self.0.is_cancelled()
    }

    pub(crate) async fn cancelled(&self) {
        self.0.cancelled().await;
    }
}

impl FromRequestParts<Shared> for Stopping {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &Shared) -> Result<Self, Infallible> {
        Ok(parts.extensions.get::<Self>().cloned().unwrap_or_default())
    }
}

/// Serves `router` until `shutdown`, then lets requests under way end.
///
/// `tls` is asked for the configuration of each new connection, so that a renewed certificate
/// shows at once.
pub async fn serve(
    listener: TcpListener,
    tls: impl Fn() -> Arc<rustls::ServerConfig>,
    router: Router,
    shutdown: impl Future<Output = ()>,
) {
    let stopping = Stopping::default();
    let mut shutdown = std::pin::pin!(shutdown);
    let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let connections = TaskTracker::new();
    loop {
        let (stream, address, slot) = tokio::select! {
            connection = next(&listener, &slots) => connection,
            () = &mut shutdown => break,
        };
        let (acceptor, router) = (TlsAcceptor::from(tls()), router.clone());
        let stopping = stopping.clone();
        connections.spawn(async move {
            if let Err(error) = serve_one(stream, address, &acceptor, router, stopping).await {
                tracing::debug!("API connection from {address} ended: {error}");
            }
            drop(slot);
        });
    }
    drop(listener);
    stopping.0.cancel();
    connections.close();
    if tokio::time::timeout(GRACE, connections.wait()).await.is_err() {
        let open = connections.len();
        tracing::warn!("{open} API connection(s) did not end in {GRACE:?} and are cut");
    }
}

/// The next connection and its slot.
async fn next(
    listener: &TcpListener,
    slots: &Arc<Semaphore>,
) -> (TcpStream, SocketAddr, OwnedSemaphorePermit) {
    let slot = slots.clone().acquire_owned().await;
    let slot = slot.expect("nobody closes the semaphore");
    loop {
        match listener.accept().await {
            Ok((stream, address)) => return (stream, address, slot),
            Err(error) => {
                tracing::warn!("failed to take an API connection: {error}");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn serve_one(
    stream: TcpStream,
    address: SocketAddr,
    acceptor: &TlsAcceptor,
    router: Router,
    stopping: Stopping,
) -> io::Result<()> {
    // Answers are small: waiting to fill a segment would only delay them.
    stream.set_nodelay(true)?;
    let handshake = tokio::time::timeout(HANDSHAKE_TIMEOUT, acceptor.accept(stream));
    let stream = handshake.await.map_err(|_| io::ErrorKind::TimedOut)??;
    let router = TowerToHyperService::new(router);
    let told = stopping.clone();
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(ClientAddress(address));
        request.extensions_mut().insert(told.clone());
        router.call(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(HEADER_BYTES_MAX)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        ended = connection.as_mut() => return ended.map_err(io::Error::other),
        () = stopping.cancelled() => connection.as_mut().graceful_shutdown(),
    }
    connection.await.map_err(io::Error::other)
}
