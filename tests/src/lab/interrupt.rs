//! Ctrl-C and SIGTERM: the lab is taken down before the program ends.
//!
//! A thread of its own waits for the signal, so the main thread may be anywhere. From the moment
//! of the signal no new process is started ([`check`]); what was just being started is found in
//! its namespace by the teardown.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock};
use std::{process, thread};

use anyhow::{Result, bail};
use tokio::signal::unix::{SignalKind, signal};

static INTERRUPTED: AtomicBool = AtomicBool::new(false);
static LABS: Mutex<Vec<String>> = Mutex::new(Vec::new());
static WATCHER: OnceLock<()> = OnceLock::new();

/// Has `lab` taken down if this program is interrupted from now on.
pub fn guard(lab: &str) {
    WATCHER.get_or_init(|| {
        thread::spawn(watch);
    });
    labs().push(lab.to_owned());
}

/// Lets `lab` survive this program.
pub fn release(lab: &str) {
    labs().retain(|name| name != lab);
}

/// Fails once the program is being interrupted.
pub fn check() -> Result<()> {
    if INTERRUPTED.load(Ordering::SeqCst) {
        bail!("interrupted");
    }
    Ok(())
}

/// Whether the program is on its way out.
pub fn is_interrupted() -> bool {
    INTERRUPTED.load(Ordering::SeqCst)
}

/// Waits for the thread that takes the labs down; it ends the program.
pub fn wait_for_the_end() -> ! {
    loop {
        thread::park();
    }
}

fn labs() -> std::sync::MutexGuard<'static, Vec<String>> {
    LABS.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn watch() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime without workers needs only memory and an epoll descriptor");
    let code = runtime.block_on(async {
        let hear = |kind| signal(kind).expect("these signals can be handled");
        let (mut interrupt, mut terminate, mut hangup) = (
            hear(SignalKind::interrupt()),
            hear(SignalKind::terminate()),
            hear(SignalKind::hangup()),
        );
        tokio::select! {
            _ = interrupt.recv() => 130,
            _ = terminate.recv() => 143,
            _ = hangup.recv() => 129,
        }
    });
    INTERRUPTED.store(true, Ordering::SeqCst);
    eprintln!("\ninterrupted: taking the lab down");
    let labs = labs().clone();
    for name in labs {
        if let Err(error) = super::teardown::down(&name) {
            eprintln!("lab {name}: {error:#}");
        }
    }
    process::exit(code);
}
