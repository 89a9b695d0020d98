//! etcd's own protocol: gRPC over HTTP/2, with the two messages of `etcdserverpb.KV` that are needed,
//! written by hand.

use std::net::SocketAddr;

use anyhow::{Context, Result, ensure};
use bytes::{BufMut as _, Bytes, BytesMut};
use h2::client::SendRequest;
use http::{Method, Request, Version};
use tokio::net::TcpStream;

/// A client with an HTTP/2 connection of its own.
pub(super) struct Grpc {
    sender: SendRequest<Bytes>,
    address: SocketAddr,
    key: Vec<u8>,
}

impl Grpc {
    pub(super) async fn connect(address: SocketAddr, number: usize) -> Result<Self> {
        let stream = TcpStream::connect(address).await.context("connect to etcd")?;
        stream.set_nodelay(true)?;
        let (sender, connection) = h2::client::handshake(stream).await.context("speak HTTP/2")?;
        tokio::spawn(async move {
            let _ = connection.await;
        });
        Ok(Self { sender, address, key: format!("bench-{number:08}").into_bytes() })
    }

    /// `PutRequest { key = 1, value = 2 }`.
    pub(super) async fn put(&mut self, value: &[u8]) -> Result<()> {
        let mut message = BytesMut::new();
        field(&mut message, 1, &self.key);
        field(&mut message, 2, value);
        self.call("/etcdserverpb.KV/Put", &message).await
    }

    /// `RangeRequest { key = 1 }`; linearizable, because `serializable` is not set.
    pub(super) async fn range(&mut self) -> Result<()> {
        let mut message = BytesMut::new();
        field(&mut message, 1, &self.key);
        self.call("/etcdserverpb.KV/Range", &message).await
    }

    async fn call(&mut self, path: &str, message: &[u8]) -> Result<()> {
        let request = Request::builder()
            .method(Method::POST)
            .version(Version::HTTP_2)
            .uri(format!("http://{}{path}", self.address))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(())?;
        let mut ready = self.sender.clone().ready().await?;
        let (response, mut body) = ready.send_request(request, false)?;
        // Not compressed, its length, itself.
        let mut frame = BytesMut::with_capacity(5 + message.len());
        frame.put_u8(0);
        frame.put_u32(u32::try_from(message.len())?);
        frame.put_slice(message);
        body.send_data(frame.freeze(), true)?;
        let response = response.await?;
        ensure!(response.status() == 200, "etcd answers {}", response.status());
        let mut body = response.into_body();
        while let Some(chunk) = body.data().await {
            let len = chunk?.len();
            body.flow_control().release_capacity(len)?;
        }
        let trailers = body.trailers().await?.context("etcd sent no status")?;
        let status = trailers.get("grpc-status").context("etcd sent no status")?;
        ensure!(status == "0", "etcd refuses: {status:?} {:?}", trailers.get("grpc-message"));
        Ok(())
    }
}

/// A length-delimited field of protobuf.
fn field(out: &mut BytesMut, number: u8, bytes: &[u8]) {
    out.put_u8(number << 3 | 2);
    let mut len = bytes.len();
    while len >= 0x80 {
        out.put_u8(len as u8 | 0x80);
        len >>= 7;
    }
    out.put_u8(len as u8);
    out.put_slice(bytes);
}
