//! Network namespaces, and the private mounts of a host.
//!
//! Whatever runs in a namespace of the lab belongs to the lab: the kernel knows every process in
//! it, whoever started it and whatever became of its parents. So teardown needs no pid files and
//! cannot mistake a reused pid for one of ours.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use std::{fs, thread};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process};

use super::process::{self, Daemon};
use crate::wait;

/// A named network namespace (`ip netns`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetNamespace {
    name: String,
}

impl NetNamespace {
    pub fn create(name: &str) -> Result<Self> {
        process::run("ip", &["netns", "add", name])?;
        let namespace = Self { name: name.to_owned() };
        process::run("ip", &["-n", name, "link", "set", "lo", "up"])?;
        Ok(namespace)
    }

    /// All namespaces of this machine whose name `wanted` accepts.
    pub fn existing(wanted: impl Fn(&str) -> bool) -> Result<Vec<Self>> {
        let entries = match fs::read_dir(NETNS_DIR) {
            Ok(entries) => entries,
            Err(_) => return Ok(Vec::new()),
        };
        let mut found = Vec::new();
        for entry in entries {
            let name = entry?.file_name().to_string_lossy().into_owned();
            if wanted(&name) {
                found.push(Self { name });
            }
        }
        found.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(found)
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// How a program is started in this namespace; it keeps its pid.
    pub fn entry(&self) -> Vec<String> {
        vec!["nsenter".to_owned(), format!("--net={NETNS_DIR}/{}", self.name), "--".to_owned()]
    }

    /// `ip -n <this> <args>`.
    pub fn ip(&self, args: &[&str]) -> Result<String> {
        let mut all = vec!["-n", &self.name];
        all.extend(args);
        process::run("ip", &all)
    }

    /// Every process whose network this is.
    pub fn pids(&self) -> Result<Vec<i32>> {
        let listed = process::run("ip", &["netns", "pids", &self.name])?;
        listed.split_whitespace().map(|pid| pid.parse().context("parse a pid")).collect()
    }

    /// Kills whatever runs in it, then removes it. Idempotent.
    pub fn remove(&self) -> Result<()> {
        let exists = || Path::new(NETNS_DIR).join(&self.name).exists();
        if !exists() {
            return Ok(());
        }
        let removed =
            self.kill_all().and_then(|()| process::run("ip", &["netns", "del", &self.name]));
        // Somebody else may have been faster.
        if exists() { removed.map(drop) } else { Ok(()) }
    }

    fn kill_all(&self) -> Result<()> {
        for _ in 0..KILL_ROUNDS {
            let pids = self.pids()?;
            if pids.is_empty() {
                return Ok(());
            }
            for pid in pids.into_iter().filter_map(Pid::from_raw) {
                // It may have ended since it was listed; that is what we want.
                let _ = kill_process(pid, Signal::KILL);
            }
            thread::sleep(Duration::from_millis(20));
        }
        bail!("processes in {} do not end: {:?}", self.name, self.pids()?)
    }
}

/// A machine of the lab: a network namespace and a mount namespace in which `/run` and libvirt's
/// directories are its own. A sleeping process holds the mounts while daemons come and go.
#[derive(Debug)]
pub struct HostNamespace {
    pub net: NetNamespace,
    dir: PathBuf,
    holder: Daemon,
}

impl HostNamespace {
    /// Makes the private directories under `dir` and mounts them. `cache` is shared by all hosts:
    /// libvirt keeps there what it learnt about QEMU's binaries, 8 s of probing otherwise.
    pub fn create(net: NetNamespace, dir: &Path, cache: &Path) -> Result<Self> {
        for (private, public) in PRIVATE_DIRS {
            fs::create_dir_all(dir.join(private))?;
            fs::create_dir_all(public).with_context(|| format!("make {public}"))?;
        }
        fs::create_dir_all(cache)?;
        let cached = "/var/cache/libvirt";
        fs::create_dir_all(cached)?;
        // Other namespaces' handles are not this host's to hold on to.
        let mut script = format!("set -e; umount {NETNS_DIR}/* 2>/dev/null || true; ");
        for (private, public) in PRIVATE_DIRS {
            script += &format!("mount --bind {} {public}; ", quoted(&dir.join(private))?);
        }
        script += &format!("mount --bind {} {cached}; ", quoted(cache)?);
        script += &format!("touch {}; exec sleep infinity", quoted(&dir.join(MOUNTED))?);
        let mut argv = net.entry();
        argv.extend(["unshare", "--mount", "sh", "-c", &script].map(str::to_owned));
        let mut holder = Daemon::new(net.name(), argv, &dir.join("mounts.log"));
        holder.start()?;
        let what = format!("the mounts of {}", net.name());
        wait::for_true(&what, MOUNT_LIMIT, || {
            holder.expect_running()?;
            Ok(dir.join(MOUNTED).exists())
        })?;
        Ok(Self { net, dir: dir.to_owned(), holder })
    }

    /// How a program is started on this host; it keeps its pid.
    pub fn entry(&self) -> Result<Vec<String>> {
        let pid = self.holder.pid().context("the host's mounts are gone")?;
        let target = format!("--target={pid}");
        Ok(["nsenter", &target, "--mount", "--net", "--"].map(str::to_owned).to_vec())
    }

    /// A command on this host.
    pub fn command(&self, program: &str, args: &[&str]) -> Result<Command> {
        let entry = self.entry()?;
        let mut command = Command::new(&entry[0]);
        command.args(&entry[1..]).arg(program).args(args);
        Ok(command)
    }

    /// Where the host's own `/run`, `/etc/libvirt` and so on are seen from outside.
    pub fn dir(&self) -> &Path {
        &self.dir
    }
}

fn quoted(path: &Path) -> Result<String> {
    let text = path.to_str().context("a lab's path is text")?;
    if text.contains('\'') {
        bail!("a lab's path has no quotes: {text}");
    }
    Ok(format!("'{text}'"))
}

const NETNS_DIR: &str = "/run/netns";
const MOUNTED: &str = "mounted";
/// Directories of which each host has its own.
const PRIVATE_DIRS: [(&str, &str); 4] = [
    ("etc", "/etc/libvirt"),
    ("lib", "/var/lib/libvirt"),
    ("log", "/var/log/libvirt"),
    ("run", "/run"),
];
/// Mounting takes milliseconds; a machine busy with a build may need longer.
const MOUNT_LIMIT: Duration = Duration::from_secs(10);
/// SIGKILL takes effect within milliseconds, but a QEMU writing to a slow disk ends late: 10 s.
const KILL_ROUNDS: usize = 500;
