//! s2n-quic: its CUBIC and its BBR.

use anyhow::{Context, Result};
use bytes::Bytes;
use novacron_workload::streams::{self, OverStreams, Reader, Streams, Writer};
use novacron_workload::{Event, Meter, SendArguments, ServeArguments, sender};
use s2n_quic::client::Connect;
use s2n_quic::provider::congestion_controller::{Bbr, Cubic};
use s2n_quic::provider::io::tokio as io;
use s2n_quic::provider::limits::Limits;
use s2n_quic::provider::tls::rustls as tls;
use s2n_quic::stream::{ReceiveStream, SendStream};
use s2n_quic::{Client, Connection, Server, connection};

use crate::Congestion;
use crate::certificate::{self, ALPN, NAME, Secret};
use crate::quic::{ANY, SOCKET_BUFFER_BYTES};

pub(crate) async fn serve(
    congestion: Congestion,
    arguments: &ServeArguments,
    secret: &Secret,
) -> Result<()> {
    let tls = tls::Server::builder()
        .with_certificate(&secret.certificate_pem, &secret.key_pem)
        .map_err(refused)?
        .with_application_protocols([ALPN].iter())
        .map_err(refused)?
        .build()
        .map_err(refused)?;
    let builder = Server::builder()
        .with_tls(tls)?
        .with_io(socket(arguments.listen)?)?
        .with_limits(limits(arguments.tuning.window_bytes)?)?;
    let mut server = match congestion {
        Congestion::Cubic => builder.with_congestion_controller(Cubic::default())?.start(),
        Congestion::Bbr => builder.with_congestion_controller(Bbr::default())?.start(),
    }
    .map_err(refused)?;
    let meter = Meter::start();
    Event::Listening { address: server.local_addr()? }.tell();
    while let Some(connection) = server.accept().await {
        tokio::spawn(serve_one(connection, meter.clone()));
    }
    Ok(())
}

async fn serve_one(mut connection: Connection, meter: Meter) {
    while let Ok(Some(stream)) = connection.accept_bidirectional_stream().await {
        let (recv, send) = stream.split();
        tokio::spawn(streams::serve(S2nWriter(send), S2nReader(recv), meter.clone()));
    }
}

pub(crate) async fn send(congestion: Congestion, arguments: &SendArguments) -> Result<()> {
    let pem = certificate::load_pem(&arguments.dir)?;
    let tls = tls::Client::builder()
        .with_certificate(&pem)
        .map_err(refused)?
        .with_application_protocols([ALPN].iter())
        .map_err(refused)?
        .build()
        .map_err(refused)?;
    let builder = Client::builder()
        .with_tls(tls)?
        .with_io(socket(ANY)?)?
        .with_limits(limits(arguments.tuning.window_bytes)?)?;
    let client = match congestion {
        Congestion::Cubic => builder.with_congestion_controller(Cubic::default())?.start(),
        Congestion::Bbr => builder.with_congestion_controller(Bbr::default())?.start(),
    }
    .map_err(refused)?;
    let connection = client.connect(Connect::new(arguments.to).with_server_name(NAME)).await;
    let connection = connection.with_context(|| format!("connect to {}", arguments.to))?;
    sender::run(OverStreams(S2nStreams(connection.handle())), arguments).await
}

/// Its builders' errors are not all `std::error::Error`.
fn refused(error: impl std::fmt::Display) -> anyhow::Error {
    anyhow::anyhow!("{error}")
}

fn socket(address: std::net::SocketAddr) -> Result<io::Provider> {
    let builder = io::Builder::default()
        .with_receive_address(address)?
        .with_send_buffer_size(SOCKET_BUFFER_BYTES)?
        .with_recv_buffer_size(SOCKET_BUFFER_BYTES)?;
    Ok(builder.build()?)
}

fn limits(window_bytes: Option<u32>) -> Result<Limits> {
    let limits = Limits::new();
    let Some(window) = window_bytes else { return Ok(limits) };
    Ok(limits
        .with_data_window(window.into())?
        .with_bidirectional_local_data_window(window.into())?
        .with_bidirectional_remote_data_window(window.into())?
        .with_max_send_buffer_size(window)?)
}

#[derive(Clone)]
struct S2nStreams(connection::Handle);

struct S2nWriter(SendStream);

struct S2nReader(ReceiveStream);

impl Streams for S2nStreams {
    type Writer = S2nWriter;
    type Reader = S2nReader;

    async fn open(&self) -> Result<(Self::Writer, Self::Reader)> {
        let stream = self.0.clone().open_bidirectional_stream().await?;
        let (recv, send) = stream.split();
        Ok((S2nWriter(send), S2nReader(recv)))
    }
}

impl Writer for S2nWriter {
    async fn write(&mut self, bytes: Bytes) -> Result<()> {
        Ok(self.0.send(bytes).await?)
    }
}

impl Reader for S2nReader {
    async fn read(&mut self) -> Result<Option<Bytes>> {
        Ok(self.0.receive().await?)
    }
}
