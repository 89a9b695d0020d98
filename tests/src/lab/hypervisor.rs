//! One libvirtd with its QEMU on a host of the lab, and what it says when asked directly.
//!
//! The tests compare what NovaCron tells with what `virsh` sees here, past every layer of ours.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};

use super::guest::{self, Guest};
use super::namespace::HostNamespace;
use super::process::{self, Daemon};
use crate::wait;

/// The hypervisor that the lab's agents drive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Driver {
    /// A libvirtd and QEMU of its own for each host.
    Qemu,
    /// The hypervisor inside libvirt's client library: no guest runs, the API is real.
    LibvirtTest,
    /// The agent's simulated driver.
    Simulated,
}

impl Driver {
    /// QEMU where its parts are installed, libvirt's test driver elsewhere.
    pub fn best() -> Self {
        let installed = ["libvirtd", "virsh", QEMU, "qemu-img", "busybox", "cpio"]
            .into_iter()
            .all(|program| process::run("sh", &["-c", &format!("command -v {program}")]).is_ok());
        if installed { Self::Qemu } else { Self::LibvirtTest }
    }

    /// What an agent is told in its configuration.
    pub fn uri(self) -> &'static str {
        match self {
            // Its own daemon: `/run` is the host's own.
            Self::Qemu => "qemu:///system",
            Self::LibvirtTest => "test:///default",
            Self::Simulated => "sim://?cpus=16&memory=64GiB&disk=1TiB",
        }
    }
}

/// How guests are run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Acceleration {
    Kvm,
    /// QEMU's own emulation: any machine can do it.
    Tcg,
}

impl Acceleration {
    /// KVM where a guest really boots with it. The answer is kept in `cache`: where KVM hangs,
    /// finding that out takes [`KVM_BOOT_LIMIT`].
    pub fn probe(guest: &Guest, cache: &Path) -> Result<Self> {
        if !Path::new("/dev/kvm").exists() {
            return Ok(Self::Tcg);
        }
        let _turn = process::lock(&cache.join("lock"))?;
        let kept = cache.join("acceleration");
        let machine = format!("{} {}", process::run("uname", &["-rn"])?.trim(), qemu_version()?);
        for found in [Self::Kvm, Self::Tcg] {
            let line = format!("{machine} {}", found.as_str());
            if fs::read_to_string(&kept).is_ok_and(|text| text == line) {
                return Ok(found);
            }
        }
        let found = if boots_with_kvm(guest, cache)? { Self::Kvm } else { Self::Tcg };
        fs::write(&kept, format!("{machine} {}", found.as_str()))?;
        Ok(found)
    }

    /// As the agent's configuration calls it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Kvm => "kvm",
            Self::Tcg => "tcg",
        }
    }
}

/// A `/dev/kvm` that opens, and even one that runs a few instructions, is no proof: seen with
/// nested virtualisation in software, where a kernel hangs before its first line.
fn boots_with_kvm(guest: &Guest, cache: &Path) -> Result<bool> {
    let console = cache.join("kvm-console.log");
    let _ = fs::remove_file(&console);
    let mut qemu = Command::new(QEMU)
        .args(["-accel", "kvm", "-machine", "q35", "-cpu", "host", "-m", "128"])
        .args(["-nodefaults", "-display", "none", "-append", guest::CMDLINE])
        .arg("-kernel")
        .arg(&guest.kernel)
        .arg("-initrd")
        .arg(&guest.initrd)
        .arg("-serial")
        .arg(format!("file:{}", console.display()))
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .context("start QEMU")?;
    let booted = wait::for_true("a guest under KVM", KVM_BOOT_LIMIT, || {
        let has_ended = qemu.try_wait()?.is_some();
        let is_up = process::tail(&console, 4096)?.contains(guest::READY);
        Ok(has_ended || is_up)
    });
    let is_up = process::tail(&console, 4096).is_ok_and(|text| text.contains(guest::READY));
    let _ = qemu.kill();
    qemu.wait()?;
    Ok(booted.is_ok() && is_up)
}

/// A domain as libvirt knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Domain {
    pub uuid: String,
    pub name: String,
    pub is_running: bool,
}

/// libvirtd on one host.
#[derive(Debug)]
pub struct Libvirtd {
    daemon: Daemon,
    pid_file: PathBuf,
}

impl Libvirtd {
    /// Configures and starts it. `number` makes the host's UUID, which must differ between hosts.
    pub fn start_on(space: &HostNamespace, number: u8) -> Result<Self> {
        let etc = space.dir().join("etc");
        fs::write(etc.join("libvirtd.conf"), libvirtd_conf(number))?;
        fs::write(etc.join("qemu.conf"), QEMU_CONF)?;
        let mut argv = space.entry()?;
        argv.push("libvirtd".to_owned());
        let log = space.dir().join("libvirtd.log");
        let pid_file = space.dir().join("run/libvirtd.pid");
        let mut libvirtd = Self { daemon: Daemon::new("libvirtd", argv, &log), pid_file };
        libvirtd.daemon.start()?;
        libvirtd.wait_ready(space)?;
        Ok(libvirtd)
    }

    pub fn start(&mut self, space: &HostNamespace) -> Result<()> {
        self.daemon.start()?;
        self.wait_ready(space)
    }

    pub fn kill(&mut self) -> Result<()> {
        self.daemon.kill()?;
        let _ = fs::remove_file(&self.pid_file);
        Ok(())
    }

    pub fn is_running(&mut self) -> bool {
        self.daemon.is_running()
    }

    fn wait_ready(&mut self, space: &HostNamespace) -> Result<()> {
        let what = format!("libvirtd in {} to answer", space.net.name());
        wait::for_true(&what, READY_LIMIT, || {
            self.daemon.expect_running()?;
            domains(space).map(|_| true)
        })?;
        // What QEMU can do is learnt on the first question, for seconds, and then kept in the cache
        // that all hosts share. An agent would wait for it, and its host take no VM meanwhile.
        virsh(space, &["domcapabilities", "--virttype", "qemu"]).map(drop)
    }
}

/// Every domain that libvirt has on this host, running or only defined.
pub fn domains(space: &HostNamespace) -> Result<Vec<Domain>> {
    let all = virsh(space, &["list", "--all", "--uuid", "--name"])?;
    let running = virsh(space, &["list", "--uuid"])?;
    let running: Vec<&str> = running.split_whitespace().collect();
    let domain = |line: &str| {
        let mut words = line.split_whitespace();
        let uuid = words.next()?.to_owned();
        let name = words.next()?.to_owned();
        let is_running = running.contains(&uuid.as_str());
        Some(Domain { uuid, name, is_running })
    };
    Ok(all.lines().filter_map(domain).collect())
}

/// Pids of the QEMU processes on this host.
pub fn qemu_pids(space: &HostNamespace) -> Result<Vec<i32>> {
    let is_qemu = |pid: &i32| {
        let exe = fs::read_link(format!("/proc/{pid}/exe")).unwrap_or_default();
        exe.file_name().is_some_and(|name| name.to_string_lossy().starts_with("qemu-system"))
    };
    Ok(space.net.pids()?.into_iter().filter(is_qemu).collect())
}

fn virsh(space: &HostNamespace, args: &[&str]) -> Result<String> {
    let all = [&["-q", "-c", Driver::Qemu.uri()], args].concat();
    process::output(&mut space.command("virsh", &all)?)
}

/// Version line of the QEMU that will run the guests.
pub fn qemu_version() -> Result<String> {
    let text = process::output(Command::new(QEMU).arg("--version"))?;
    let version = text.split_whitespace().nth(3).context("read QEMU's version")?;
    Ok(version.trim_end_matches(['(', ',']).to_owned())
}

fn libvirtd_conf(number: u8) -> String {
    format!(
        "host_uuid = \"00000000-0000-4000-8000-0000000000{number:02x}\"\n\
         auth_unix_ro = \"none\"\n\
         auth_unix_rw = \"none\"\n"
    )
}

const QEMU: &str = "qemu-system-x86_64";

/// One user, no labels, no control groups: the hosts share one machine's kernel files, and a
/// killed libvirtd must leave nothing behind.
const QEMU_CONF: &str = "\
user = \"root\"
group = \"root\"
stdio_handler = \"file\"
security_driver = \"none\"
namespaces = []
cgroup_controllers = []
remember_owner = 0
dynamic_ownership = 0
";

/// With working KVM the guest is up in 1 s.
const KVM_BOOT_LIMIT: Duration = Duration::from_secs(8);
/// The first start probes every QEMU binary, 8 s on an idle core.
const READY_LIMIT: Duration = Duration::from_secs(60);
