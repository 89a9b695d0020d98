//! Where the ends run: network namespaces of this run's own.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};
use std::{fs, thread};

use anyhow::{Context, Result, bail, ensure};
use novacron_tests::lab::process::output;

use crate::program::Program;

/// One side of a network.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    /// What a command line begins with to run here; the process keeps its pid.
    pub(super) entry: Vec<String>,
    pub(super) address: IpAddr,
}

/// Both sides: senders are near, serving ends are far.
#[derive(Debug, Clone)]
pub(crate) struct Places {
    pub(super) near: Place,
    pub(super) far: Place,
}

/// A loopback interface of our own with Ethernet's MTU. Gone with its holder.
#[derive(Debug)]
pub(crate) struct Loopback {
    place: Place,
    _holder: Program,
}

impl Loopback {
    pub(super) fn create(dir: &Path) -> Result<Self> {
        require_root()?;
        let ready = dir.join("loopback-is-up");
        let script = format!(
            "ip link set lo up mtu 1500 && touch {} && exec sleep infinity",
            quoted(&ready)?
        );
        let argv = ["unshare", "--net", "sh", "-c", &script].map(str::to_owned);
        let mut holder = Program::start("loopback", &argv, &[], &dir.join("loopback.log"))?;
        let deadline = Instant::now() + READY_LIMIT;
        while !ready.exists() {
            holder.expect_running()?;
            ensure!(Instant::now() < deadline, "the loopback interface does not come up");
            thread::sleep(Duration::from_millis(5));
        }
        let namespace = format!("--net=/proc/{}/ns/net", holder.pid()?);
        let entry = ["nsenter", &namespace, "--"].map(str::to_owned).to_vec();
        let place = Place { entry, address: Ipv4Addr::LOCALHOST.into() };
        place.tune_tcp()?;
        Ok(Self { place, _holder: holder })
    }

    pub(super) fn places(&self) -> Places {
        Places { near: self.place.clone(), far: self.place.clone() }
    }
}

impl Place {
    /// Lets the kernel size TCP's buffers beyond any window that is measured here, and forget what
    /// it learnt from one connection before the next.
    pub(super) fn tune_tcp(&self) -> Result<()> {
        let mut script = String::new();
        for (name, value) in TCP_SETTINGS {
            script.push_str(&format!("echo '{value}' > /proc/sys/net/ipv4/{name} && "));
        }
        script.push_str("true");
        let mut command = Command::new(&self.entry[0]);
        command.args(&self.entry[1..]).args(["sh", "-c", &script]);
        output(&mut command).context("set up TCP's buffers").map(drop)
    }
}

/// Network namespaces need root; says so before anything is begun.
pub(super) fn require_root() -> Result<()> {
    if !rustix::process::geteuid().is_root() {
        bail!("this benchmark makes network namespaces: run it as root, or with sudo");
    }
    Ok(())
}

/// Emulated links need TUN devices.
pub(super) fn require_tun() -> Result<()> {
    let found = fs::metadata("/dev/net/tun").is_ok();
    ensure!(found, "/dev/net/tun is missing: load the kernel's `tun` module (modprobe tun)");
    Ok(())
}

fn quoted(path: &Path) -> Result<String> {
    let text = path.to_str().context("a path is text")?;
    ensure!(!text.contains('\''), "a path has no quotes: {text}");
    Ok(format!("'{text}'"))
}

/// 128 MiB hold three times what 500 Mbit/s and 300 ms have under way.
const TCP_SETTINGS: [(&str, &str); 3] = [
    ("tcp_rmem", "4096 131072 134217728"),
    ("tcp_wmem", "4096 65536 134217728"),
    ("tcp_no_metrics_save", "1"),
];
const READY_LIMIT: Duration = Duration::from_secs(10);
