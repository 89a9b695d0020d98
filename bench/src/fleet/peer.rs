//! Other projects' programs, from Debian, to be measured beside ours.
//!
//! Taken from the search path when installed, else unpacked from the package without installing it:
//! an installed package would start a service of its own.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use novacron_tests::lab::process;

use super::say;

pub(crate) mod etcd;
pub(super) mod node_exporter;

/// A peer's program and what it calls its version; `None`, said aloud, where it cannot be had.
fn obtain(target: &Path, package: &str, program: &str) -> Option<(PathBuf, String)> {
    let found = installed(program).or_else(|| match unpacked(target, package, program) {
        Ok(path) => Some(path),
        Err(error) => {
            say(&format!("no {program} to compare with: {error:#}"));
            None
        }
    })?;
    let shown = Command::new(&found).arg("--version").output().ok()?;
    let both = [shown.stdout, shown.stderr].concat();
    let text = String::from_utf8_lossy(&both).lines().next().unwrap_or_default().to_owned();
    Some((found, text))
}

fn installed(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|dir| dir.join(program)).find(|path| path.is_file())
}

fn unpacked(target: &Path, package: &str, program: &str) -> Result<PathBuf> {
    let dir = target.join("bench/peers").join(package);
    let path = dir.join("usr/bin").join(program);
    if path.is_file() {
        return Ok(path);
    }
    fs::create_dir_all(&dir)?;
    say(&format!("fetching {package}"));
    let apt = |arguments: &[&str]| {
        process::output(Command::new("apt-get").arg("-q").args(arguments).current_dir(&dir))
    };
    // The lists may be absent or stale; without leave to refresh them the first failure stands.
    if let Err(error) = apt(&["download", package]) {
        apt(&["update"]).and_then(|_| apt(&["download", package])).map_err(|_| error)?;
    }
    let archive = fs::read_dir(&dir)?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.extension().is_some_and(|extension| extension == "deb"))
        .with_context(|| format!("apt-get left no package in {}", dir.display()))?;
    process::output(Command::new("dpkg-deb").arg("-x").arg(&archive).arg(&dir))?;
    fs::remove_file(&archive)?;
    anyhow::ensure!(path.is_file(), "{package} has no {program}");
    Ok(path)
}
