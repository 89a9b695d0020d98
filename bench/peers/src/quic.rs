//! quinn 0.11: its CUBIC and its BBR.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;

use anyhow::{Context, Result};
use bytes::Bytes;
use novacron_workload::bulk::CHUNK_BYTES;
use novacron_workload::streams::{self, OverStreams, Reader, Streams, Writer};
use novacron_workload::{Event, Meter, SendArguments, ServeArguments, sender};
use quinn::congestion::{BbrConfig, ControllerFactory, CubicConfig};
use quinn::crypto::rustls::{QuicClientConfig, QuicServerConfig};
use quinn::{Connection, Endpoint, EndpointConfig, TransportConfig, VarInt};
use socket2::{Domain, Socket, Type};

use crate::Congestion;
use crate::certificate::{self, NAME, Secret};

/// What every QUIC system here gets from the kernel, or as much of it as the kernel gives.
pub(crate) const SOCKET_BUFFER_BYTES: usize = 4 << 20;

pub(crate) fn socket(address: SocketAddr) -> Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM, None)?;
    socket.set_recv_buffer_size(SOCKET_BUFFER_BYTES)?;
    socket.set_send_buffer_size(SOCKET_BUFFER_BYTES)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into()).with_context(|| format!("listen on {address}"))?;
    Ok(socket.into())
}

/// Where a sender binds.
pub(crate) const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);

pub(crate) async fn serve(
    congestion: Congestion,
    arguments: &ServeArguments,
    secret: &Secret,
) -> Result<()> {
    let crypto = QuicServerConfig::try_from(certificate::server_config(secret)?)?;
    let mut config = quinn::ServerConfig::with_crypto(Arc::new(crypto));
    config.transport_config(transport(congestion, arguments.tuning.window_bytes));
    let endpoint = endpoint(Some(config), arguments.listen)?;
    let meter = Meter::start();
    Event::Listening { address: endpoint.local_addr()? }.tell();
    while let Some(incoming) = endpoint.accept().await {
        let meter = meter.clone();
        tokio::spawn(async move {
            let Ok(connection) = incoming.await else { return };
            while let Ok((send, recv)) = connection.accept_bi().await {
                tokio::spawn(streams::serve(QuinnWriter(send), QuinnReader(recv), meter.clone()));
            }
        });
    }
    Ok(())
}

pub(crate) async fn send(congestion: Congestion, arguments: &SendArguments) -> Result<()> {
    let crypto = QuicClientConfig::try_from(certificate::client_config(&arguments.dir)?)?;
    let mut config = quinn::ClientConfig::new(Arc::new(crypto));
    config.transport_config(transport(congestion, arguments.tuning.window_bytes));
    let endpoint = endpoint(None, ANY)?;
    let connection = endpoint.connect_with(config, arguments.to, NAME)?.await?;
    sender::run(OverStreams(QuinnStreams(connection)), arguments).await
}

fn endpoint(server: Option<quinn::ServerConfig>, address: SocketAddr) -> Result<Endpoint> {
    let runtime = Arc::new(quinn::TokioRuntime);
    Ok(Endpoint::new(EndpointConfig::default(), server, socket(address)?, runtime)?)
}

fn transport(congestion: Congestion, window_bytes: Option<u32>) -> Arc<TransportConfig> {
    let mut config = TransportConfig::default();
    let factory: Arc<dyn ControllerFactory + Send + Sync> = match congestion {
        Congestion::Cubic => Arc::new(CubicConfig::default()),
        Congestion::Bbr => Arc::new(BbrConfig::default()),
    };
    config.congestion_controller_factory(factory);
    if let Some(window) = window_bytes {
        config
            .stream_receive_window(VarInt::from_u32(window))
            .receive_window(VarInt::from_u32(window))
            .send_window(window.into());
    }
    Arc::new(config)
}

#[derive(Clone)]
struct QuinnStreams(Connection);

struct QuinnWriter(quinn::SendStream);

struct QuinnReader(quinn::RecvStream);

impl Streams for QuinnStreams {
    type Writer = QuinnWriter;
    type Reader = QuinnReader;

    async fn open(&self) -> Result<(Self::Writer, Self::Reader)> {
        let (send, recv) = self.0.open_bi().await?;
        Ok((QuinnWriter(send), QuinnReader(recv)))
    }
}

impl Writer for QuinnWriter {
    async fn write(&mut self, bytes: Bytes) -> Result<()> {
        Ok(self.0.write_chunk(bytes).await?)
    }
}

impl Reader for QuinnReader {
    async fn read(&mut self) -> Result<Option<Bytes>> {
        Ok(self.0.read_chunk(CHUNK_BYTES, true).await?.map(|chunk| chunk.bytes))
    }
}
