//! What is left of a request's body when the answer is known.
//!
//! A client that is still sending when the connection is closed sees a broken connection, not the
//! answer. So the rest of a body that nobody wanted is read and dropped, within bounds, before the
//! answer goes out: a refused upload is told why, and the connection can be used again.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use futures_util::StreamExt as _;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::sync::oneshot;

/// How much is read and dropped, and for how long: as much as the largest body that is taken.
const REST_BYTES_MAX: usize = novacron_protocol::limits::BLOB_BYTES_MAX;
const REST_TIMEOUT: Duration = Duration::from_secs(5);

/// A body that hands itself back when it is dropped before its end.
struct Lent {
    body: Body,
    rest_tx: Option<oneshot::Sender<Body>>,
}

/// The lender's end.
pub(crate) struct Rest(oneshot::Receiver<Body>);

/// Lends a body to a handler.
pub(crate) fn lend(body: Body) -> (Body, Rest) {
    let (rest_tx, rest_rx) = oneshot::channel();
    (Body::new(Lent { body, rest_tx: Some(rest_tx) }), Rest(rest_rx))
}

impl Rest {
    /// Reads and drops what the handler has left of the body.
    pub(crate) async fn drain(mut self) {
        let Ok(body) = self.0.try_recv() else { return };
        let mut stream = body.into_data_stream();
        let draining = async {
            let mut drained = 0;
            while let Some(Ok(chunk)) = stream.next().await {
                drained += chunk.len();
                if drained > REST_BYTES_MAX {
                    break;
                }
            }
        };
        let _ = tokio::time::timeout(REST_TIMEOUT, draining).await;
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        if self.body.is_end_stream() {
            return;
        }
        if let Some(rest) = self.rest_tx.take() {
            // Nobody waits for it when the connection is gone.
            let _ = rest.send(std::mem::take(&mut self.body));
        }
    }
}

impl HttpBody for Lent {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
