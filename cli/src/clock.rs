//! The only place of the CLI that reads the wall clock: for ages, and to compare with a member's.

use std::time::{SystemTime, UNIX_EPOCH};

use novacron_protocol::Timestamp;

/// This machine's wall clock, now.
#[expect(clippy::disallowed_methods, reason = "this is the clock module")]
pub(crate) fn wall() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}
