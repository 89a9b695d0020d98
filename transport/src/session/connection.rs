//! A QUIC connection that remembers why this side closed it.

use std::sync::{Arc, OnceLock};

use quinn::{ConnectionError, VarInt};

use super::SessionError;
use crate::close::CloseReason;
use crate::driver;

/// Why a whole endpoint was closed; shared by its connections.
pub(crate) type EndpointClosing = Arc<OnceLock<CloseReason>>;

/// One connection, and its end in our own words.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) quic: driver::Connection,
    reason: OnceLock<CloseReason>,
    endpoint: EndpointClosing,
}

impl Connection {
    pub(crate) fn new(quic: driver::Connection, endpoint: EndpointClosing) -> Arc<Self> {
        Arc::new(Self { quic, reason: OnceLock::new(), endpoint })
    }

    /// Ends the connection at once. The first reason given stands.
    pub(crate) fn close(&self, reason: CloseReason) {
        let reason = self.reason.get_or_init(|| reason);
        self.quic.close(VarInt::from_u32(reason.code()), reason.text().as_bytes());
    }

    /// Ends the connection because the peer broke the protocol.
    pub(crate) fn blame(&self, what: impl std::fmt::Display) -> SessionError {
        let what = what.to_string();
        tracing::warn!(peer = %self.quic.remote_address(), "closing a session: {what}");
        self.close(CloseReason::Violation(what));
        self.ended().unwrap_or(SessionError::Closed(CloseReason::Finished))
    }

    /// Whether this side ended the connection.
    pub(crate) fn closed_here(&self) -> bool {
        matches!(self.quic.close_reason(), Some(ConnectionError::LocallyClosed))
    }

    /// Why it ended, if it did.
    pub(crate) fn ended(&self) -> Option<SessionError> {
        self.quic.close_reason().map(|error| self.explain(error))
    }

    /// Waits for the end.
    pub(crate) async fn closed(&self) -> SessionError {
        let error = self.quic.closed().await;
        self.explain(error)
    }

    pub(crate) fn explain(&self, error: ConnectionError) -> SessionError {
        match error {
            ConnectionError::LocallyClosed => {
                let reason = self.reason.get().or_else(|| self.endpoint.get());
                SessionError::Closed(reason.cloned().unwrap_or(CloseReason::Finished))
            }
            ConnectionError::ApplicationClosed(close) => SessionError::Closed(
                CloseReason::from_wire(close.error_code.into_inner(), &close.reason),
            ),
            ConnectionError::TimedOut => SessionError::Lost("the peer is silent".into()),
            ConnectionError::Reset => SessionError::Lost("the peer was restarted".into()),
            other => SessionError::Lost(other.to_string()),
        }
    }
}
