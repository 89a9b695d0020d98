//! raft-rs logs through slog; this hands its records to tracing.

use slog::{Drain, Level, OwnedKVList, Record};

/// A slog logger that ends in tracing. Raft's own chatter is debug; what an operator needs to know
/// of an election is logged by the driver.
pub(super) fn logger() -> slog::Logger {
    slog::Logger::root(Tracing.fuse(), slog::o!())
}

struct Tracing;

impl Drain for Tracing {
    type Ok = ();
    type Err = slog::Never;

    fn log(&self, record: &Record<'_>, _: &OwnedKVList) -> Result<(), slog::Never> {
        let message = record.msg();
        match record.level() {
            Level::Critical | Level::Error => tracing::error!(target: "raft", "{message}"),
            Level::Warning => tracing::warn!(target: "raft", "{message}"),
            Level::Info | Level::Debug => tracing::debug!(target: "raft", "{message}"),
            Level::Trace => tracing::trace!(target: "raft", "{message}"),
        }
        Ok(())
    }
}
