//! Root: namespaces, mounts and libvirtd need it.

use std::env;
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::process;

/// Whether the caller is the one to do the work.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub enum Privilege {
    /// This process is root.
    Root,
    /// A child under `sudo` did all of it and succeeded.
    Delegated,
}

/// Runs `args` of this same program under `sudo` when it is not root; fails when it cannot.
pub fn acquire(args: &[&str]) -> Result<Privilege> {
    if rustix::process::geteuid().is_root() {
        return Ok(Privilege::Root);
    }
    if process::run("sh", &["-c", "command -v sudo"]).is_err() {
        bail!("the lab needs root for network namespaces and libvirtd, and there is no sudo");
    }
    let exe = env::current_exe().context("find this program")?;
    let path = env::var("PATH").unwrap_or_default();
    let status = Command::new("sudo")
        .args(["--preserve-env", "env", &format!("PATH={path}")])
        .arg(exe)
        .args(args)
        .status()
        .context("start sudo")?;
    if !status.success() {
        bail!("under sudo: {status}");
    }
    Ok(Privilege::Delegated)
}

/// [`acquire`] for the test called `name`, as the harness knows it.
pub fn acquire_for_test(name: &str) -> Result<Privilege> {
    acquire(&["--exact", name, "--nocapture"])
}

/// Hands what root made under `target/` back to the user who called `sudo`.
pub fn give_back(path: &std::path::Path) {
    if let (Ok(user), Ok(group)) = (env::var("SUDO_UID"), env::var("SUDO_GID")) {
        let path = path.to_string_lossy();
        // Best effort: the files work for root either way.
        let _ = process::run("chown", &["-R", &format!("{user}:{group}"), &path]);
    }
}
