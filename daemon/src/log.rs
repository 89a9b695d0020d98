//! Logging to standard error, where systemd or a terminal picks it up.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

/// Starts logging. `NOVACRON_LOG` says what: `info` (the default), `debug`, or per module as in
/// `info,novacron_transport=debug`.
pub fn start() {
    let filter = EnvFilter::try_from_env("NOVACRON_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    let terminal = std::io::stderr().is_terminal();
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(terminal)
        .with_target(false);
    // systemd's journal has times of its own.
    if std::env::var_os("JOURNAL_STREAM").is_some() {
        builder.without_time().init();
    } else {
        builder.init();
    }
}
