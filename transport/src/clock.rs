//! The only place of this crate that reads a wall clock. Certificates are the only thing here
//! that has wall-clock ends; every other wait is on tokio's monotonic clock.

use std::time::{Duration, SystemTime};

use novacron_protocol::Timestamp;

/// Longest sleep towards a wall-clock instant before the clock is read again, so that a clock
/// that was set right meanwhile is noticed.
pub(crate) const RECHECK_AFTER: Duration = Duration::from_secs(60);

/// Now, as this machine's clock has it.
pub(crate) fn now() -> Timestamp {
    #[expect(clippy::disallowed_methods, reason = "this is the clock module")]
    let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    Timestamp(since_epoch.map_or(0, |span| u64::try_from(span.as_millis()).unwrap_or(u64::MAX)))
}
