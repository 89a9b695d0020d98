//! A hypervisor host of the lab: its namespaces, its libvirtd and its agent.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use super::binaries::Binaries;
use super::cli::Cli;
use super::guest;
use super::hypervisor::{self, Acceleration, Domain, Driver, Libvirtd};
use super::namespace::{HostNamespace, NetNamespace};
use super::process::{self, Daemon};

/// One host.
#[derive(Debug)]
pub struct Host {
    /// Counted from 1.
    pub number: u8,
    pub space: HostNamespace,
    /// Only where the lab's driver is QEMU.
    pub libvirtd: Option<Libvirtd>,
    pub agent: Daemon,
    binary: PathBuf,
    config: PathBuf,
    data: PathBuf,
}

impl Host {
    /// Makes the host's mounts and the agent's configuration; nothing runs yet.
    pub fn prepare(
        number: u8,
        lab_dir: &Path,
        net: NetNamespace,
        hypervisor: (Driver, Acceleration),
        binaries: &Binaries,
    ) -> Result<Self> {
        let dir = lab_dir.join(host_name(number));
        let data = dir.join("agent");
        fs::create_dir_all(&data)?;
        let cache = binaries.target.join("lab/libvirt-cache");
        let space = HostNamespace::create(net, &dir, &cache)?;
        let config = dir.join("agent.toml");
        fs::write(&config, agent_config(number, &data, hypervisor))?;
        let mut argv = space.entry()?;
        let run = [&binaries.agent, Path::new("run"), Path::new("--config"), &config];
        argv.extend(run.map(|part| part.to_string_lossy().into_owned()));
        let agent = Daemon::new(&host_name(number), argv, &dir.join("agent.log"));
        let binary = binaries.agent.clone();
        Ok(Self { number, space, libvirtd: None, agent, binary, config, data })
    }

    pub fn start_libvirtd(&mut self) -> Result<()> {
        match self.libvirtd.as_mut() {
            Some(libvirtd) => libvirtd.start(&self.space),
            None => {
                self.libvirtd = Some(Libvirtd::start_on(&self.space, self.number)?);
                Ok(())
            }
        }
    }

    /// Enrols the agent with a token that an admin made.
    pub fn join(&self, token: &str) -> Result<()> {
        self.join_with(&[token])
    }

    /// Lets an agent in that has joined before.
    pub fn join_again(&self, token: &str) -> Result<()> {
        self.join_with(&["--again", token])
    }

    fn join_with(&self, args: &[&str]) -> Result<()> {
        let binary = self.binary.to_string_lossy();
        let config = self.config.to_string_lossy();
        let args = [&["join", "--config", &config], args].concat();
        let mut command = self.space.command(&binary, &args)?;
        process::output(process::without_our_variables(&mut command))
            .with_context(|| format!("enrol {}", self.name()))?;
        Ok(())
    }

    pub fn name(&self) -> String {
        host_name(self.number)
    }

    /// Domains on this host, asked of libvirt itself.
    pub fn domains(&self) -> Result<Vec<Domain>> {
        hypervisor::domains(&self.space)
    }

    /// What the agent keeps: identity, journal, images, disks.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// The file that QEMU writes the serial console of VM `uuid` to.
    pub fn console_file(&self, uuid: &str) -> Result<PathBuf> {
        let marker = format!("{} {uuid} ", guest::READY);
        let mut dirs = vec![self.data.clone()];
        while let Some(dir) = dirs.pop() {
            for entry in fs::read_dir(&dir)? {
                let path = entry?.path();
                if path.is_dir() {
                    dirs.push(path);
                } else if path.metadata()?.len() < CONSOLE_BYTES_MAX
                    && fs::read(&path).is_ok_and(|b| String::from_utf8_lossy(&b).contains(&marker))
                {
                    return Ok(path);
                }
            }
        }
        bail!("no file on {} holds the console of {uuid}", self.name())
    }

    /// Files and directories on this host, libvirt's log aside, whose name contains `needle`:
    /// what a VM left.
    pub fn files_about(&self, needle: &str) -> Result<Vec<PathBuf>> {
        let mut found = Vec::new();
        let mut dirs = vec![self.space.dir().to_owned()];
        while let Some(dir) = dirs.pop() {
            let Ok(entries) = fs::read_dir(&dir) else { continue };
            for entry in entries {
                let entry = entry?;
                // libvirt keeps a log for each domain that ever was; that is its own business.
                if entry.path() == self.space.dir().join("log") {
                    continue;
                }
                if entry.file_name().to_string_lossy().contains(needle) {
                    found.push(entry.path());
                }
                if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    dirs.push(entry.path());
                }
            }
        }
        found.sort();
        found.dedup();
        Ok(found)
    }
}

/// A token with which one more host may enrol.
pub fn host_token(cli: &Cli) -> Result<String> {
    Ok(cli.run(&["token", "create", "--role", "host"])?.trim().to_owned())
}

/// A token with which `host` comes back.
pub fn returning_host_token(cli: &Cli, host: &str) -> Result<String> {
    let args = ["token", "create", "--role", "host", "--host", host];
    Ok(cli.run(&args)?.trim().to_owned())
}

pub fn host_name(number: u8) -> String {
    format!("h{number}")
}

fn agent_config(number: u8, data: &Path, hypervisor: (Driver, Acceleration)) -> String {
    let (driver, acceleration) = hypervisor;
    // Samples every 2 s: whoever watches the demo does not wait 10 s for the first.
    format!(
        "name = \"{}\"\n\
         data_dir = \"{}\"\n\
         hypervisor = \"{}\"\n\
         acceleration = \"{}\"\n\
         metrics_interval_ms = 2000\n\
         labels = {{ rack = \"r{number}\" }}\n",
        host_name(number),
        data.display(),
        driver.uri(),
        acceleration.as_str(),
    )
}

/// Larger files are images and disks, not consoles.
const CONSOLE_BYTES_MAX: u64 = 1 << 20;
