//! Kernel TCP and TLS 1.3 by rustls: a connection for each stream, as TCP has no others.
//!
//! So a command beside bulk has a connection of its own, which is the best that can be done with
//! TCP. Buffers are the kernel's: it sizes them by itself, up to what the harness allowed.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result};
use bytes::{Bytes, BytesMut};
use novacron_workload::bulk::CHUNK_BYTES;
use novacron_workload::streams::{self, OverStreams, Reader, Streams, Writer};
use novacron_workload::{Event, Meter, SendArguments, ServeArguments, sender};
use rustls::pki_types::ServerName;
use socket2::{Domain, Socket, Type};
use tokio::io::{
    AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadHalf, WriteHalf,
};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};

use crate::Congestion;
use crate::certificate::{self, NAME, Secret};

/// A listener whose connections use `congestion`.
pub(crate) fn listen(congestion: Congestion, address: SocketAddr) -> Result<TcpListener> {
    let socket = socket(congestion, address)?;
    socket.set_reuse_address(true)?;
    socket.bind(&address.into()).with_context(|| format!("listen on {address}"))?;
    socket.listen(64)?;
    Ok(TcpListener::from_std(socket.into())?)
}

/// A connection that uses `congestion`.
pub(crate) async fn connect(congestion: Congestion, to: SocketAddr) -> io::Result<TcpStream> {
    let socket = TcpSocket::from_std_stream(socket(congestion, to)?.into());
    let stream = socket.connect(to).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn socket(congestion: Congestion, address: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.set_tcp_congestion(congestion.as_str().as_bytes())?;
    Ok(socket)
}

pub(crate) async fn serve(
    congestion: Congestion,
    arguments: &ServeArguments,
    secret: &Secret,
) -> Result<()> {
    let listener = listen(congestion, arguments.listen)?;
    let acceptor = TlsAcceptor::from(Arc::new(certificate::server_config(secret)?));
    let meter = Meter::start();
    Event::Listening { address: listener.local_addr()? }.tell();
    loop {
        let (stream, from) = listener.accept().await?;
        let (acceptor, meter) = (acceptor.clone(), meter.clone());
        tokio::spawn(async move {
            if let Err(error) = serve_one(stream, acceptor, meter).await {
                eprintln!("{from}: {error:#}");
            }
        });
    }
}

async fn serve_one(stream: TcpStream, acceptor: TlsAcceptor, meter: Meter) -> Result<()> {
    stream.set_nodelay(true)?;
    let stream: server::TlsStream<_> = acceptor.accept(stream).await?;
    let (reader, writer) = tokio::io::split(stream);
    streams::serve(TcpWriter(writer), TcpReader::new(reader), meter).await
}

pub(crate) async fn send(congestion: Congestion, arguments: &SendArguments) -> Result<()> {
    let connections = Connections {
        congestion,
        to: arguments.to,
        tls: TlsConnector::from(Arc::new(certificate::client_config(&arguments.dir)?)),
        dir: arguments.dir.clone(),
    };
    sender::run(OverStreams(connections), arguments).await
}

/// Dials a connection for each stream.
#[derive(Clone)]
struct Connections {
    congestion: Congestion,
    to: SocketAddr,
    tls: TlsConnector,
    dir: PathBuf,
}

struct TcpWriter<S>(WriteHalf<S>);

struct TcpReader<S> {
    half: ReadHalf<S>,
    buffer: BytesMut,
}

impl Streams for Connections {
    type Writer = TcpWriter<client::TlsStream<TcpStream>>;
    type Reader = TcpReader<client::TlsStream<TcpStream>>;

    async fn open(&self) -> Result<(Self::Writer, Self::Reader)> {
        let stream = connect(self.congestion, self.to).await;
        let stream = stream.with_context(|| format!("connect to {}", self.to))?;
        let name = ServerName::try_from(NAME)?;
        let tls = self.tls.connect(name, stream).await;
        let tls = tls.with_context(|| format!("trust by {}", self.dir.display()))?;
        let (reader, writer) = tokio::io::split(tls);
        Ok((TcpWriter(writer), TcpReader::new(reader)))
    }
}

impl<S: AsyncWrite + Send + 'static> Writer for TcpWriter<S> {
    async fn write(&mut self, bytes: Bytes) -> Result<()> {
        self.0.write_all(&bytes).await?;
        Ok(self.0.flush().await?)
    }
}

impl<S: AsyncRead> TcpReader<S> {
    fn new(half: ReadHalf<S>) -> Self {
        Self { half, buffer: BytesMut::new() }
    }
}

impl<S: AsyncRead + Send + 'static> Reader for TcpReader<S> {
    async fn read(&mut self) -> Result<Option<Bytes>> {
        self.buffer.reserve(CHUNK_BYTES);
        let read = self.half.read_buf(&mut self.buffer).await?;
        Ok((read > 0).then(|| self.buffer.split().freeze()))
    }
}
