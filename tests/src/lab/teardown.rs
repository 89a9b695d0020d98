//! Taking labs down: complete, idempotent, and possible from any program at any time.
//!
//! What there is to remove is read from the kernel and the file system, never from memory: the
//! program that built the lab may be long gone.

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::namespace::NetNamespace;
use super::network;

/// Where a lab keeps its hosts' and members' data. Short, because unix sockets are below it and
/// their paths end at 107 bytes; on disk, because the members' logs are synced for real.
pub fn state_dir(lab: &str) -> PathBuf {
    Path::new(STATE_ROOT).join(lab)
}

/// Makes the lab's directory. Another lab's teardown may take the root away in between: again then.
pub(super) fn make_state_dir(lab: &str) -> Result<()> {
    let dir = state_dir(lab);
    let made = (0..3)
        .map(|_| fs::create_dir_all(&dir))
        .find(|made| !matches!(made, Err(error) if error.kind() == ErrorKind::NotFound));
    made.with_context(|| format!("{} vanishes", dir.display()))?
        .with_context(|| format!("make {}", dir.display()))
}

/// Removes every trace of `lab`: processes, namespaces, mounts, files.
pub fn down(lab: &str) -> Result<()> {
    // Hosts come after `nc-<lab>` in order; they go first, as their cables end in it.
    let mut namespaces = NetNamespace::existing(|name| network::lab_of(name) == Some(lab))?;
    namespaces.reverse();
    for namespace in &namespaces {
        namespace.remove().with_context(|| format!("remove namespace {}", namespace.name()))?;
    }
    match fs::remove_dir_all(state_dir(lab)) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(error).with_context(|| format!("remove {}", state_dir(lab).display()))
        }
        _ => Ok(()),
    }?;
    // The last lab takes the root with it; another one keeps it.
    let _ = fs::remove_dir(STATE_ROOT);
    Ok(())
}

/// Names of the labs of which anything is left on this machine.
pub fn existing() -> Result<BTreeSet<String>> {
    let namespaces = NetNamespace::existing(|name| network::lab_of(name).is_some())?;
    let mut labs: BTreeSet<String> = namespaces
        .iter()
        .filter_map(|namespace| network::lab_of(namespace.name()))
        .map(str::to_owned)
        .collect();
    if let Ok(entries) = fs::read_dir(STATE_ROOT) {
        let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        labs.extend(names.filter(|name| super::is_lab_name(name)));
    }
    Ok(labs)
}

const STATE_ROOT: &str = "/var/tmp/novacron-lab";
