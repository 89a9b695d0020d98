//! One question and one answer on a bidirectional stream of their own.

use std::sync::Arc;

use bytes::Bytes;
use novacron_protocol::wire::Class;
use novacron_protocol::wire::call::{Request, Response};
use tokio::io::AsyncRead;
use tokio::sync::Semaphore;

use crate::body::{self, Body};
use crate::driver::{SendStream, WriteError};
use crate::session::SessionError;
use crate::session::connection::Connection;
use crate::session::reader::FrameReader;
use crate::session::writer::{FrameWriter, framed};

/// A question from the peer. Dropped without an answer, the caller sees
/// [`SessionError::Unanswered`].
#[derive(Debug)]
pub struct IncomingCall {
    class: Class,
    request: Request,
    body: Body,
    answer: FrameWriter,
    connection: Arc<Connection>,
    bodies: Arc<Semaphore>,
}

impl IncomingCall {
    pub(crate) fn new(
        class: Class,
        request: Request,
        reader: FrameReader,
        mut answer: SendStream,
        connection: Arc<Connection>,
        bodies: Arc<Semaphore>,
    ) -> Self {
        let body = Body::new(reader, Arc::clone(&connection));
        answer.set_class(class);
        Self { class, request, body, answer: FrameWriter::new(answer), connection, bodies }
    }

    pub fn class(&self) -> Class {
        self.class
    }

    pub fn request(&self) -> &Request {
        &self.request
    }

    /// What follows the request, e.g. a snapshot.
    pub fn body(&mut self) -> &mut Body {
        &mut self.body
    }

    /// Resolves when the caller no longer waits for an answer.
    pub fn abandoned(&self) -> impl Future<Output = ()> + Send + 'static {
        self.answer.settled()
    }

    /// Answers. The answer is on its way, not there, when this returns.
    pub async fn respond(mut self, response: &Response) -> Result<(), SessionError> {
        self.write(framed(None, response)?).await?;
        self.answer.finish();
        Ok(())
    }

    /// Answers, then sends all of `body`; waits while too many bodies are on their way to this
    /// peer. When reading `body` fails, the caller sees a body that was cut off.
    pub async fn respond_with_body(
        mut self,
        response: &Response,
        body: impl AsyncRead + Send + Unpin,
    ) -> Result<(), SessionError> {
        self.write(framed(None, response)?).await?;
        let _turn = self.bodies.acquire().await.expect("the semaphore is never closed");
        body::send(&mut self.answer, body, &self.connection).await?;
        self.answer.finish();
        Ok(())
    }

    /// Answers, then sends bytes at hand.
    pub async fn respond_with_bytes(
        self,
        response: &Response,
        body: Bytes,
    ) -> Result<(), SessionError> {
        self.respond_with_body(response, std::io::Cursor::new(body)).await
    }

    async fn write(&mut self, frame: Bytes) -> Result<(), SessionError> {
        match self.answer.write(frame).await {
            // A caller that went away needs no answer.
            Ok(()) | Err(WriteError::Stopped) => Ok(()),
            Err(WriteError::ConnectionLost(error)) => Err(self.connection.explain(error)),
        }
    }
}
