//! Ctrl-C: the command ends, what it started goes on, and we say how to look at it.

use std::io::{self, Write as _};
use std::process;
use std::sync::{Mutex, MutexGuard, Once, PoisonError};
use std::thread;

use signal_hook::consts::SIGINT;
use signal_hook::iterator::Signals;

use crate::output;

/// What to say when the command is interrupted.
static PARTING: Mutex<Option<String>> = Mutex::new(None);
static WATCH: Once = Once::new();

/// Exit code of a command that SIGINT ended: 128 + 2, as shells have it.
const INTERRUPTED: i32 = 130;

/// While it lives, Ctrl-C says `parting` and ends the process.
#[derive(Debug)]
#[must_use = "dropped, it no longer stands in for Ctrl-C"]
pub(crate) struct Parting(());

impl Parting {
    pub(crate) fn say(parting: impl Into<String>) -> Self {
        *slot() = Some(parting.into());
        WATCH.call_once(watch);
        Self(())
    }
}

impl Drop for Parting {
    fn drop(&mut self) {
        *slot() = None;
    }
}

fn slot() -> MutexGuard<'static, Option<String>> {
    PARTING.lock().unwrap_or_else(PoisonError::into_inner)
}

fn watch() {
    // Without a handler Ctrl-C still ends the process, only without a word.
    let Ok(mut signals) = Signals::new([SIGINT]) else { return };
    thread::spawn(move || {
        let _ = signals.forever().next();
        if let Some(parting) = slot().take() {
            let _ = writeln!(io::stderr());
            output::note(&parting);
        }
        process::exit(INTERRUPTED);
    });
}
