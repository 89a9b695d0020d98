//! Which namespaces belong to which program, so that nothing outlives its maker.
//!
//! A namespace's name has its maker's pid in it. A program that was killed leaves its namespaces
//! behind (their devices and pumps are gone with it); the next one that makes a link sweeps them.

use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::{process, thread};

use anyhow::{Context, Result};
use novacron_tests::lab::namespace::NetNamespace;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

static LIVE: Mutex<Vec<String>> = Mutex::new(Vec::new());
static COUNT: AtomicU32 = AtomicU32::new(0);
static WATCHER: OnceLock<()> = OnceLock::new();

/// The names of the namespaces of one link.
#[derive(Debug)]
pub(crate) struct Names([String; 2]);

impl Names {
    pub(crate) fn claim() -> Self {
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let names = ["a", "b"].map(|end| format!("{PREFIX}{}-{number}{end}", process::id()));
        live().extend(names.clone());
        Self(names)
    }

    pub(crate) fn a(&self) -> &str {
        &self.0[0]
    }

    pub(crate) fn b(&self) -> &str {
        &self.0[1]
    }

    /// They are gone.
    pub(crate) fn release(&self) {
        live().retain(|name| !self.0.contains(name));
    }

    /// Removes what there is of them.
    pub(crate) fn remove_all(&self) {
        remove(&self.0);
        self.release();
    }
}

/// Takes every link of this program down, and ends it, when it is interrupted or terminated. For
/// programs that do not care for signals themselves; others call [`take_down`] on their way out.
pub fn guard_against_interrupts() -> Result<()> {
    if WATCHER.set(()).is_err() {
        return Ok(());
    }
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP]).context("handle signals")?;
    thread::spawn(move || {
        if let Some(signal) = signals.forever().next() {
            take_down();
            process::exit(128 + signal);
        }
    });
    Ok(())
}

/// Removes the namespaces of every link of this program.
pub fn take_down() {
    let names = live().clone();
    remove(&names);
}

/// Removes what programs left behind that are no more.
pub fn sweep() -> Result<()> {
    let is_orphan = |name: &str| {
        maker_of(name).is_some_and(|maker| !Path::new("/proc").join(maker.to_string()).exists())
    };
    for namespace in NetNamespace::existing(is_orphan)? {
        namespace.remove().with_context(|| format!("remove namespace {}", namespace.name()))?;
    }
    Ok(())
}

fn remove(names: &[String]) {
    let ours = NetNamespace::existing(|name| names.iter().any(|own| own == name));
    for namespace in ours.unwrap_or_default() {
        if let Err(error) = namespace.remove() {
            eprintln!("emulated link: failed to remove {}: {error:#}", namespace.name());
        }
    }
}

/// The pid in a namespace's name, if it is one of ours.
fn maker_of(namespace: &str) -> Option<u32> {
    let (pid, rest) = namespace.strip_prefix(PREFIX)?.split_once('-')?;
    let number = rest.strip_suffix(['a', 'b'])?;
    number.parse::<u32>().ok()?;
    pid.parse().ok()
}

fn live() -> MutexGuard<'static, Vec<String>> {
    LIVE.lock().unwrap_or_else(PoisonError::into_inner)
}

const PREFIX: &str = "nclink-";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_names_its_maker_and_foreign_ones_do_not() {
        let names = Names::claim();
        assert_eq!(maker_of(names.a()), Some(process::id()));
        assert_eq!(maker_of(names.b()), Some(process::id()));
        for foreign in ["nclink-", "nclink-x-0a", "nclink-7-a", "nclink-7-0c", "nc-demo", "7-0a"] {
            assert_eq!(maker_of(foreign), None, "{foreign}");
        }
        names.release();
    }
}
