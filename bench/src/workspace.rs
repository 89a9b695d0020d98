//! Where a run keeps its files and which processes it has, so that both go with it.
//!
//! Three ways out: dropped at the end; a signal or a panic, which take the same way; and a
//! `kill -9`, after which the kernel ends the children (see [`crate::program`]) and the next run
//! removes the files. One run at a time: they would measure each other.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;
use std::{panic, process, thread};

use anyhow::{Context, Result};
use novacron_tests::lab::process::lock;
use rustix::process::{Pid, Signal, kill_process};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// The directory of this run.
#[derive(Debug)]
pub(crate) struct Workspace {
    dir: PathBuf,
    /// Held for as long as the run lasts.
    _turn: File,
}

static DIR: OnceLock<PathBuf> = OnceLock::new();
static CHILDREN: Mutex<BTreeSet<u32>> = Mutex::new(BTreeSet::new());

impl Workspace {
    /// Waits for its turn, removes what a killed run left, and cleans up from now on.
    pub(crate) fn create(target: &Path) -> Result<Self> {
        let bench = target.join("bench");
        fs::create_dir_all(&bench).with_context(|| format!("make {}", bench.display()))?;
        let turn = lock(&bench.join("lock"))?;
        let dir = bench.join("run");
        remove(&dir).with_context(|| format!("remove {}", dir.display()))?;
        fs::create_dir(&dir).with_context(|| format!("make {}", dir.display()))?;
        DIR.set(dir.clone()).ok().context("one run at a time")?;
        let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP]).context("listen for signals")?;
        thread::spawn(move || {
            if let Some(signal) = signals.forever().next() {
                eprintln!("\ninterrupted: cleaning up");
                clean();
                process::exit(128 + signal);
            }
        });
        let print = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            print(panic);
            clean();
        }));
        Ok(Self { dir, _turn: turn })
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }
}

impl Drop for Workspace {
    fn drop(&mut self) {
        clean();
    }
}

/// Has `pid` killed when the run ends.
pub(crate) fn adopt(pid: u32) {
    children().insert(pid);
}

/// `pid` has ended and was reaped: the number may soon be somebody else's.
pub(crate) fn release(pid: u32) {
    children().remove(&pid);
}

fn children() -> std::sync::MutexGuard<'static, BTreeSet<u32>> {
    CHILDREN.lock().unwrap_or_else(PoisonError::into_inner)
}

fn clean() {
    novacron_emulator::take_down();
    for pid in children().iter() {
        if let Some(pid) = i32::try_from(*pid).ok().and_then(Pid::from_raw) {
            let _ = kill_process(pid, Signal::KILL);
        }
    }
    let Some(dir) = DIR.get() else { return };
    // The killed may finish a write or two while they die.
    for _ in 0..REMOVALS {
        if remove(dir).is_ok() {
            return;
        }
        thread::sleep(Duration::from_millis(50));
    }
    eprintln!("could not remove {}", dir.display());
}

fn remove(dir: &Path) -> std::io::Result<()> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// Tries to remove the directory: a killed process is gone within a second.
const REMOVALS: u32 = 40;
