//! gRPC by tonic: every stream is a two-way streaming call on one HTTP/2 connection.
//!
//! Messages are plain bytes, so that no encoding counts against it.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use anyhow::{Context as _, Result};
use bytes::{Buf as _, BufMut as _, Bytes};
use hyper_util::rt::TokioIo;
use novacron_workload::streams::{self, OverStreams, Reader, Streams, Writer};
use novacron_workload::{Event, Meter, SendArguments, ServeArguments, sender};
use tokio::sync::mpsc;
use tokio_stream::wrappers::{ReceiverStream, TcpListenerStream};
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Identity, Server, ServerTlsConfig};
use tonic::{Request, Response, Status, Streaming};

use crate::Congestion;
use crate::certificate::{self, NAME, Secret};
use crate::tcp;

/// The only call: `Workload/Exchange`.
const METHOD: &str = "/novacron.Workload/Exchange";
/// Messages that wait for the connection; it has buffers of its own.
const WAITING_MAX: usize = 1;

pub(crate) async fn serve(
    congestion: Congestion,
    arguments: &ServeArguments,
    secret: &Secret,
) -> Result<()> {
    let listener = tcp::listen(congestion, arguments.listen)?;
    let meter = Meter::start();
    let identity = Identity::from_pem(&secret.certificate_pem, &secret.key_pem);
    let mut server = Server::builder().tls_config(ServerTlsConfig::new().identity(identity))?;
    if let Some(window) = arguments.tuning.window_bytes {
        server = server.initial_stream_window_size(window).initial_connection_window_size(window);
    }
    Event::Listening { address: listener.local_addr()? }.tell();
    let incoming = TcpListenerStream::new(listener);
    server.add_service(Workload { meter }).serve_with_incoming(incoming).await?;
    Ok(())
}

pub(crate) async fn send(congestion: Congestion, arguments: &SendArguments) -> Result<()> {
    let to = arguments.to;
    let ca = Certificate::from_pem(certificate::load_pem(&arguments.dir)?);
    let tls = ClientTlsConfig::new().ca_certificate(ca).domain_name(NAME);
    let mut endpoint = Channel::builder(format!("https://{to}").parse()?).tls_config(tls)?;
    if let Some(window) = arguments.tuning.window_bytes {
        endpoint =
            endpoint.initial_stream_window_size(window).initial_connection_window_size(window);
    }
    let dial =
        tower::service_fn(
            move |_| async move { tcp::connect(congestion, to).await.map(TokioIo::new) },
        );
    let channel = endpoint.connect_with_connector(dial).await;
    let channel = channel.with_context(|| format!("connect to {to}"))?;
    sender::run(OverStreams(GrpcStreams(channel)), arguments).await
}

/// The service, by hand: there is only one method.
#[derive(Clone)]
struct Workload {
    meter: Meter,
}

impl tonic::server::NamedService for Workload {
    const NAME: &'static str = "novacron.Workload";
}

impl tower::Service<http::Request<tonic::body::Body>> for Workload {
    type Response = http::Response<tonic::body::Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<tonic::body::Body>) -> Self::Future {
        let exchange = Exchange { meter: self.meter.clone() };
        Box::pin(async move {
            Ok(tonic::server::Grpc::new(PlainBytes).streaming(exchange, request).await)
        })
    }
}

struct Exchange {
    meter: Meter,
}

type Answers = Pin<Box<dyn futures_util::Stream<Item = Result<Bytes, Status>> + Send>>;

impl tonic::server::StreamingService<Bytes> for Exchange {
    type Response = Bytes;
    type ResponseStream = Answers;
    type Future = std::future::Ready<Result<Response<Answers>, Status>>;

    fn call(&mut self, request: Request<Streaming<Bytes>>) -> Self::Future {
        let (answers_tx, answers_rx) = mpsc::channel(WAITING_MAX);
        let reader = GrpcReader::Open(request.into_inner());
        tokio::spawn(streams::serve(GrpcAnswers(answers_tx), reader, self.meter.clone()));
        std::future::ready(Ok(Response::new(Box::pin(ReceiverStream::new(answers_rx)) as Answers)))
    }
}

#[derive(Clone)]
struct GrpcStreams(Channel);

struct GrpcWriter(mpsc::Sender<Bytes>);

struct GrpcAnswers(mpsc::Sender<Result<Bytes, Status>>);

/// The answer's head comes with its first message, so it is not waited for before.
enum GrpcReader {
    Opening(tokio::task::JoinHandle<Result<Streaming<Bytes>, Status>>),
    Open(Streaming<Bytes>),
}

impl Streams for GrpcStreams {
    type Writer = GrpcWriter;
    type Reader = GrpcReader;

    async fn open(&self) -> Result<(Self::Writer, Self::Reader)> {
        let (chunks_tx, chunks_rx) = mpsc::channel(WAITING_MAX);
        let mut client = tonic::client::Grpc::new(self.0.clone());
        client.ready().await?;
        let opening = tokio::spawn(async move {
            let request = Request::new(ReceiverStream::new(chunks_rx));
            let path = PathAndQuery::from_static(METHOD);
            client.streaming(request, path, PlainBytes).await.map(Response::into_inner)
        });
        Ok((GrpcWriter(chunks_tx), GrpcReader::Opening(opening)))
    }
}

impl Writer for GrpcWriter {
    async fn write(&mut self, bytes: Bytes) -> Result<()> {
        self.0.send(bytes).await.context("the call has ended")
    }
}

impl Writer for GrpcAnswers {
    async fn write(&mut self, bytes: Bytes) -> Result<()> {
        self.0.send(Ok(bytes)).await.context("the call has ended")
    }
}

impl Reader for GrpcReader {
    async fn read(&mut self) -> Result<Option<Bytes>> {
        loop {
            match self {
                Self::Open(stream) => return Ok(stream.message().await?),
                Self::Opening(opening) => *self = Self::Open(opening.await??),
            }
        }
    }
}

/// Messages as they are.
#[derive(Debug, Clone, Copy)]
struct PlainBytes;

impl Codec for PlainBytes {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for PlainBytes {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, item: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(item);
        Ok(())
    }
}

impl Decoder for PlainBytes {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining())))
    }
}
