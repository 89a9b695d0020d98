//! `Type=notify` and the watchdog. Without systemd all of it does nothing.

use std::future::Future;
use std::time::Duration;

use sd_notify::NotifyState;
use tokio::signal::unix::{SignalKind, signal};

/// Tells systemd that the daemon serves.
pub fn ready(status: &str) {
    notify(&[NotifyState::Ready, NotifyState::Status(status)]);
}

pub fn stopping() {
    notify(&[NotifyState::Stopping]);
}

/// Feeds the watchdog for as long as `alive` answers in time; for ever, so run it beside the rest.
/// A daemon that hangs is restarted by systemd.
pub async fn feed_watchdog<F>(mut alive: impl FnMut() -> F)
where
    F: Future<Output = ()>,
{
    let Some(limit) = sd_notify::watchdog_enabled() else {
        return std::future::pending().await;
    };
    let mut ticks = tokio::time::interval((limit / 3).max(Duration::from_millis(100)));
    loop {
        ticks.tick().await;
        if tokio::time::timeout(limit / 3, alive()).await.is_ok() {
            notify(&[NotifyState::Watchdog]);
        }
    }
}

/// Waits for SIGTERM or SIGINT.
pub async fn stop_requested() {
    let (Ok(mut term), Ok(mut interrupt)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = term.recv() => {}
        _ = interrupt.recv() => {}
    }
}

fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::debug!(%error, "systemd was not told");
    }
}
