//! The way of samples to the member that takes them.

use novacron_hde::telemetry::BatchEncoder;
use novacron_protocol::version::DIFFERENCES;
use novacron_protocol::wire::Class;
use novacron_protocol::wire::agent::FromAgent;
use novacron_protocol::wire::telemetry::Batch;
use novacron_transport::Session;

/// Sends batches as differences to those that went over the same session before.
#[derive(Debug, Default)]
pub(super) struct SampleSender {
    /// The session that the encoder is in step with, by its id.
    encoder: Option<(u64, BatchEncoder)>,
}

impl SampleSender {
    /// Sends a batch, or drops it when the session has no room: a member that is told late has more
    /// use for the next one.
    pub(super) fn send(&mut self, session: &Session, batch: Batch) {
        let message = self.message(session, batch);
        if let Err(error) = session.try_send(Class::Telemetry, &message) {
            tracing::debug!(%error, "a telemetry batch was dropped");
            if let Some((_, encoder)) = &mut self.encoder {
                encoder.renew();
            }
        }
    }

    fn message(&mut self, session: &Session, batch: Batch) -> FromAgent {
        if session.version() < DIFFERENCES {
            return FromAgent::Telemetry(batch);
        }
        let same = |(id, _): &(u64, BatchEncoder)| *id == session.stable_id();
        let kept = self.encoder.take().filter(same);
        let fresh = || (session.stable_id(), BatchEncoder::default());
        let (_, encoder) = self.encoder.insert(kept.unwrap_or_else(fresh));
        match encoder.encode(&batch) {
            Ok(message) => FromAgent::CodedTelemetry(message),
            Err(error) => {
                tracing::error!(%error, "a batch of samples has no coded form");
                FromAgent::Telemetry(batch)
            }
        }
    }
}
