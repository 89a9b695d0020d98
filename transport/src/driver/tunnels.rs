//! Opens and accepts tunnels.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls_pki_types::ServerName;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::endpoint::{Shared, Way};
use super::tunnel::{ALPN_TUNNEL, Tunnel, prepare};
use super::{connection, endpoint};

/// Accepted tunnels at once; more wait with their handshakes. Each holds some 100 KiB.
const TUNNELS_MAX: usize = 8_192;
/// TCP and TLS must be through after this long.
const OPEN_TIMEOUT: Duration = Duration::from_secs(5);
/// After an error of the listener, such as too many open files.
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);

/// How to open a tunnel to the peer of one connection.
#[derive(Debug, Clone)]
pub(super) struct Dialler {
    pub(super) addr: SocketAddr,
    pub(super) tls: Arc<rustls::ClientConfig>,
}

impl Dialler {
    pub(super) fn new(addr: SocketAddr, mut tls: rustls::ClientConfig) -> Self {
        tls.alpn_protocols = vec![ALPN_TUNNEL.to_vec()];
        Self { addr, tls: Arc::new(tls) }
    }

    /// Opens a tunnel and carries the connection's packets until it ends.
    pub(super) async fn run(
        self,
        endpoint: Arc<endpoint::Shared>,
        connection: Arc<connection::Shared>,
    ) {
        let carried = match tokio::time::timeout(OPEN_TIMEOUT, self.open()).await {
            Ok(Ok(stream)) => {
                tracing::info!(to = %self.addr, "UDP is silent; going through TCP");
                let tunnel = Arc::new(Tunnel::new(self.addr));
                endpoint.ways.divert(self.addr, Arc::clone(&tunnel));
                if !connection.handle_tunnel_opened(Instant::now()) {
                    return endpoint.ways.undivert(self.addr, Some(&tunnel));
                }
                let arrived = |packet| endpoint.route_one(Way::Tunnel, self.addr, packet);
                let carried = tunnel.carry(stream, arrived).await;
                endpoint.ways.undivert(self.addr, Some(&tunnel));
                carried
            }
            Ok(Err(error)) => Err(error),
            Err(_) => Err(io::ErrorKind::TimedOut.into()),
        };
        if let Err(error) = carried {
            tracing::debug!(to = %self.addr, "no tunnel: {error}");
        }
        connection.handle_tunnel_closed(Instant::now());
    }

    async fn open(&self) -> io::Result<tokio_rustls::client::TlsStream<TcpStream>> {
        let stream = TcpStream::connect(self.addr).await?;
        prepare(&stream)?;
        let name = ServerName::IpAddress(self.addr.ip().into());
        TlsConnector::from(Arc::clone(&self.tls)).connect(name, stream).await
    }
}

/// Accepts tunnels until nobody needs the endpoint any more.
pub(super) async fn accept(
    endpoint: Arc<Shared>,
    listener: TcpListener,
    mut tls: rustls::ServerConfig,
) {
    tls.alpn_protocols = vec![ALPN_TUNNEL.to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(tls));
    let places = Arc::new(Semaphore::new(TUNNELS_MAX));
    loop {
        let place = Arc::clone(&places).acquire_owned().await.expect("never closed");
        let (stream, from) = tokio::select! {
            () = endpoint.gone() => return,
            accepted = listener.accept() => match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!("cannot accept a tunnel: {error}");
                    tokio::time::sleep(ACCEPT_AGAIN).await;
                    continue;
                }
            },
        };
        let (endpoint, acceptor) = (Arc::clone(&endpoint), acceptor.clone());
        tokio::spawn(async move {
            if let Err(error) = serve(&endpoint, &acceptor, stream, from).await {
                tracing::debug!(%from, "a tunnel ended: {error}");
            }
            drop(place);
        });
    }
}

async fn serve(
    endpoint: &Arc<Shared>,
    acceptor: &TlsAcceptor,
    stream: TcpStream,
    from: SocketAddr,
) -> io::Result<()> {
    prepare(&stream)?;
    let stream = tokio::time::timeout(OPEN_TIMEOUT, acceptor.accept(stream))
        .await
        .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    let addr = endpoint.ways.made_up_address();
    let tunnel = Arc::new(Tunnel::new(from));
    endpoint.ways.divert(addr, Arc::clone(&tunnel));
    let arrived = |packet| endpoint.route_one(Way::Tunnel, addr, packet);
    let carried = tokio::select! {
        carried = tunnel.carry(stream, arrived) => carried,
        () = endpoint.gone() => Ok(()),
    };
    endpoint.ways.undivert(addr, Some(&tunnel));
    carried
}
