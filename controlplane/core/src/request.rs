//! Answers to try-once requests, so that a repeat is answered and not done again.

use bincode::{Decode, Encode};
use imbl::OrdMap;
use novacron_protocol::limits::REQUESTS_KEPT;
use novacron_protocol::{Digest, LogIndex, RequestId};

use crate::command::RequestKey;
use crate::outcome::{Applied, Refusal, RefusalCode};

/// The newest [`REQUESTS_KEPT`] answers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RequestLog {
    answers: OrdMap<RequestId, Answer>,
    by_age: OrdMap<LogIndex, RequestId>,
}

/// The first answer to a request.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Answer {
    pub index: LogIndex,
    pub fingerprint: Digest,
    pub applied: Applied,
}

impl RequestLog {
    pub(crate) fn restore(answers: Vec<(RequestId, Answer)>) -> Self {
        let by_age = answers.iter().map(|(id, answer)| (answer.index, *id)).collect();
        Self { answers: answers.into_iter().collect(), by_age }
    }

    /// The first answer to `key`, or a refusal when the id came with another request.
    pub fn replay(&self, key: &RequestKey) -> Option<Applied> {
        let answer = self.answers.get(&key.id)?;
        if answer.fingerprint == key.fingerprint {
            return Some(answer.applied.clone());
        }
        let message = "this idempotency key was used for another request";
        Some(Err(Refusal::new(RefusalCode::KeyReused, message)))
    }

    pub(crate) fn record(&mut self, index: LogIndex, key: &RequestKey, applied: &Applied) {
        let answer = Answer { index, fingerprint: key.fingerprint, applied: applied.clone() };
        self.answers.insert(key.id, answer);
        self.by_age.insert(index, key.id);
        while self.by_age.len() > REQUESTS_KEPT {
            let Some((oldest, id)) = self.by_age.get_min().copied() else { break };
            self.by_age.remove(&oldest);
            self.answers.remove(&id);
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = (&RequestId, &Answer)> {
        self.answers.iter()
    }
}
