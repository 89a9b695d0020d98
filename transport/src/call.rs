//! One question and one answer on a bidirectional stream of their own.

use bytes::Bytes;
use novacron_protocol::wire::Class;
use novacron_protocol::wire::call::{Request, Response};
use tokio::io::AsyncRead;

use crate::body::Body;
use crate::session::SessionError;

/// A question from the peer. Dropped without an answer, the caller sees `Unanswered`.
#[derive(Debug)]
pub struct IncomingCall;

#[expect(unused_variables, reason = "signatures first")]
impl IncomingCall {
    pub fn class(&self) -> Class {
        unimplemented!()
    }

    pub fn request(&self) -> &Request {
        unimplemented!()
    }

    /// What follows the request, e.g. a snapshot.
    pub fn body(&mut self) -> &mut Body {
        unimplemented!()
    }

    pub async fn respond(self, response: &Response) -> Result<(), SessionError> {
        unimplemented!()
    }

    /// Answers, then sends all of `body`.
    pub async fn respond_with_body(
        self,
        response: &Response,
        body: impl AsyncRead + Send + Unpin,
    ) -> Result<(), SessionError> {
        unimplemented!()
    }

    /// Answers, then sends bytes at hand.
    pub async fn respond_with_bytes(
        self,
        response: &Response,
        body: Bytes,
    ) -> Result<(), SessionError> {
        unimplemented!()
    }
}
