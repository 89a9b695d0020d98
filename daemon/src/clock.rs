//! The only place of the daemons that reads the wall clock.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use novacron_protocol::Timestamp;

/// A monotonic clock that started with the process, and the wall clock for people.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    started: Instant,
}

impl Clock {
    pub fn start() -> Self {
        Self { started: Instant::now() }
    }

    /// Time since the start; never goes back.
    pub fn now(&self) -> Duration {
        self.started.elapsed()
    }

    /// The wall clock. Only for people and for deadlines in minutes.
    #[expect(clippy::disallowed_methods, reason = "this is the clock module")]
    pub fn timestamp(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }
}
