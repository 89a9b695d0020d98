//! The workload over plain two-way streams of bytes: all that most systems offer.

use anyhow::{Context, Result};
use bytes::Bytes;

use crate::bulk::{BULK, COMMANDS, Feed, HEADER_BYTES};
use crate::command::{Splitter, answer};
use crate::meter::Meter;
use crate::sender::{Carrier, Incoming, Outgoing};

/// A connection on which streams can be opened. Clones are the same connection.
pub trait Streams: Clone + Send + Sync + 'static {
    type Writer: Writer;
    type Reader: Reader;

    fn open(&self) -> impl Future<Output = Result<(Self::Writer, Self::Reader)>> + Send;
}

/// The sending half of a stream.
pub trait Writer: Send + 'static {
    /// Hands over all of `bytes`; waits while the stream takes no more.
    fn write(&mut self, bytes: Bytes) -> impl Future<Output = Result<()>> + Send;
}

/// The receiving half of a stream.
pub trait Reader: Send + 'static {
    /// The next bytes; `None` at the end. May be cancelled without a loss.
    fn read(&mut self) -> impl Future<Output = Result<Option<Bytes>>> + Send;
}

/// [`Streams`] as a [`Carrier`].
#[derive(Debug, Clone)]
pub struct OverStreams<S>(pub S);

/// The receiving half of a stream of messages.
#[derive(Debug)]
pub struct MessageReader<R> {
    reader: R,
    splitter: Splitter,
}

impl<S: Streams> Carrier for OverStreams<S> {
    type Outgoing = S::Writer;
    type Incoming = MessageReader<S::Reader>;

    async fn bulk(&self, feed: Feed) -> Result<()> {
        let (mut writer, _reader) = self.0.open().await?;
        for chunk in feed {
            writer.write(chunk).await?;
        }
        Ok(())
    }

    async fn messages(&self) -> Result<(Self::Outgoing, Self::Incoming)> {
        let (mut writer, reader) = self.0.open().await?;
        writer.write(Bytes::from_static(&[COMMANDS, 0])).await?;
        Ok((writer, MessageReader { reader, splitter: Splitter::default() }))
    }
}

impl<W: Writer> Outgoing for W {
    async fn send(&mut self, message: Bytes) -> Result<()> {
        self.write(message).await
    }
}

impl<R: Reader> Incoming for MessageReader<R> {
    async fn recv(&mut self) -> Result<Bytes> {
        loop {
            if let Some(message) = self.splitter.pop() {
                return Ok(message);
            }
            let bytes = self.reader.read().await?.context("the answers ended")?;
            self.splitter.push(&bytes);
        }
    }
}

/// The serving end of one stream, to its end.
pub async fn serve(mut writer: impl Writer, mut reader: impl Reader, meter: Meter) -> Result<()> {
    let mut first = Vec::new();
    while first.len() < HEADER_BYTES {
        let Some(bytes) = reader.read().await? else { return Ok(()) };
        first.extend_from_slice(&bytes);
    }
    match first[0] {
        BULK => {
            let mut counter = meter.counter();
            counter.take(&first);
            while let Some(bytes) = reader.read().await? {
                counter.take(&bytes);
            }
            Ok(())
        }
        COMMANDS => {
            let mut splitter = Splitter::default();
            splitter.push(&first[HEADER_BYTES..]);
            loop {
                while let Some(command) = splitter.pop() {
                    writer.write(answer(&command)?).await?;
                }
                let Some(bytes) = reader.read().await? else { return Ok(()) };
                splitter.push(&bytes);
            }
        }
        other => anyhow::bail!("a stream begins with {other:#04x}"),
    }
}
