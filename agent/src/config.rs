//! `agent.toml`: what this host is called, what runs its VMs, what it keeps for itself.

use std::path::{Path, PathBuf};
use std::time::Duration;

use novacron_daemon::config::ConfigError;
use novacron_protocol::host::HostCapacity;
use novacron_protocol::{ByteCount, Labels, Name, VcpuCount};
use serde::{Deserialize, Deserializer, de};

use crate::hypervisor::{About, Acceleration};

/// The whole file. Every key but `data_dir` has a default.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub data_dir: PathBuf,
    /// The machine's host name when not given.
    pub name: Option<Name>,
    /// What runs the VMs: a libvirt URI, or `sim://`.
    #[serde(default = "default_hypervisor")]
    pub hypervisor: String,
    #[serde(default)]
    pub acceleration: Acceleration,
    /// What placement may select this host by.
    #[serde(default)]
    pub labels: Labels,
    #[serde(default = "default_metrics_interval_ms")]
    metrics_interval_ms: u64,
    #[serde(default = "default_heartbeat_interval_ms")]
    heartbeat_interval_ms: u64,
    #[serde(default)]
    pub reserve: Reserve,
    /// Virtual CPUs that are handed out for each processor.
    #[serde(default = "default_cpu_overcommit")]
    pub cpu_overcommit: u32,
    images_dir: Option<PathBuf>,
    vms_dir: Option<PathBuf>,
}

/// What the host keeps for itself.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Reserve {
    /// Processors.
    pub cpus: u32,
    #[serde(deserialize_with = "size")]
    pub memory: ByteCount,
    #[serde(deserialize_with = "size")]
    pub disk: ByteCount,
}

/// Shortest interval that may be configured: below, the agent would cost more than it tells.
const INTERVAL_MS_MIN: u64 = 100;
/// Longest: a heartbeat that is rarer than this is none.
const INTERVAL_MS_MAX: u64 = 3_600_000;
/// More virtual CPUs a processor than anybody runs.
const CPU_OVERCOMMIT_MAX: u32 = 64;

impl Config {
    /// Loads the file at `path` with its overrides, and checks what types cannot say.
    pub fn load(
        path: &Path,
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Result<Self, ConfigError> {
        let mut config: Self = novacron_daemon::config::load(path, variables)?;
        let invalid = |detail| ConfigError::Invalid { path: path.to_owned(), detail };
        config.check().map_err(invalid)?;
        let absolute = |dir: &Path| {
            std::path::absolute(dir).map_err(|error| invalid(format!("{}: {error}", dir.display())))
        };
        config.data_dir = absolute(&config.data_dir)?;
        // The hypervisor opens these files, and not from our working directory.
        config.images_dir = Some(absolute(&config.images_dir())?);
        config.vms_dir = Some(absolute(&config.vms_dir())?);
        Ok(config)
    }

    pub fn images_dir(&self) -> PathBuf {
        self.images_dir.clone().unwrap_or_else(|| self.data_dir.join("images"))
    }

    pub fn vms_dir(&self) -> PathBuf {
        self.vms_dir.clone().unwrap_or_else(|| self.data_dir.join("vms"))
    }

    pub fn metrics_interval(&self) -> Duration {
        Duration::from_millis(self.metrics_interval_ms)
    }

    pub fn heartbeat_interval(&self) -> Duration {
        Duration::from_millis(self.heartbeat_interval_ms)
    }

    /// The configured name, or one made from the machine's.
    pub fn host_name(&self) -> Result<Name, String> {
        if let Some(name) = &self.name {
            return Ok(name.clone());
        }
        let machine = rustix::system::uname().nodename().to_string_lossy().to_ascii_lowercase();
        let label = machine.split('.').next().unwrap_or_default();
        label.parse().map_err(|error| {
            format!("this machine's name {label:?} is no name for a host ({error}): set `name`")
        })
    }

    /// What placement may hand out of a host that has `about` and a file system of `disk`.
    pub fn capacity(&self, about: &About, disk: ByteCount) -> HostCapacity {
        let cpus = about.cpus.0.saturating_sub(self.reserve.cpus);
        HostCapacity {
            cpus: VcpuCount(cpus.saturating_mul(self.cpu_overcommit)),
            memory: about.memory.saturating_sub(self.reserve.memory),
            disk: about.disk.unwrap_or(disk).saturating_sub(self.reserve.disk),
        }
    }

    fn check(&self) -> Result<(), String> {
        for (key, value) in [
            ("metrics_interval_ms", self.metrics_interval_ms),
            ("heartbeat_interval_ms", self.heartbeat_interval_ms),
        ] {
            if !(INTERVAL_MS_MIN..=INTERVAL_MS_MAX).contains(&value) {
                return Err(format!(
                    "{key} must be {INTERVAL_MS_MIN} to {INTERVAL_MS_MAX}, not {value}"
                ));
            }
        }
        if !(1..=CPU_OVERCOMMIT_MAX).contains(&self.cpu_overcommit) {
            let found = self.cpu_overcommit;
            return Err(format!("cpu_overcommit must be 1 to {CPU_OVERCOMMIT_MAX}, not {found}"));
        }
        if !self.hypervisor.contains(':') {
            return Err(format!("hypervisor must be a URI, not {:?}", self.hypervisor));
        }
        self.host_name().map(drop)
    }
}

impl Default for Reserve {
    fn default() -> Self {
        Self { cpus: 0, memory: ByteCount::mib(512), disk: ByteCount::gib(1) }
    }
}

fn default_hypervisor() -> String {
    "qemu:///system".to_owned()
}

fn default_metrics_interval_ms() -> u64 {
    10_000
}

fn default_heartbeat_interval_ms() -> u64 {
    1_000
}

fn default_cpu_overcommit() -> u32 {
    4
}

/// A size as people write it, or a number of bytes.
fn size<'de, D: Deserializer<'de>>(deserializer: D) -> Result<ByteCount, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Size {
        Bytes(u64),
        Text(String),
    }
    match Size::deserialize(deserializer)? {
        Size::Bytes(bytes) => Ok(ByteCount(bytes)),
        Size::Text(text) => text.parse().map_err(de::Error::custom),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str) -> Result<Config, ConfigError> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("agent.toml");
        std::fs::write(&path, text).unwrap();
        Config::load(&path, [])
    }

    #[test]
    fn only_the_data_directory_must_be_given() {
        let config = load("data_dir = '/var/lib/novacron'\nname = 'h1'").unwrap();
        assert_eq!(config.images_dir(), Path::new("/var/lib/novacron/images"));
        assert_eq!(config.vms_dir(), Path::new("/var/lib/novacron/vms"));
        assert_eq!(config.hypervisor, "qemu:///system");
        assert_eq!(config.heartbeat_interval(), Duration::from_secs(1));
        assert_eq!(config.host_name().unwrap().as_str(), "h1");
        assert!(load("name = 'h1'").is_err());
    }

    #[test]
    fn what_the_host_keeps_is_not_handed_out() {
        let config = load(
            "data_dir = '/d'\nname = 'h1'\ncpu_overcommit = 2\n\
             [reserve]\ncpus = 1\nmemory = '1GiB'\ndisk = 1024",
        )
        .unwrap();
        let about = About {
            description: String::new(),
            cpus: VcpuCount(4),
            memory: ByteCount::gib(8),
            disk: None,
        };
        let capacity = config.capacity(&about, ByteCount(4096));
        let expected =
            HostCapacity { cpus: VcpuCount(6), memory: ByteCount::gib(7), disk: ByteCount(3072) };
        assert_eq!(capacity, expected);
    }

    #[test]
    fn what_cannot_be_is_refused_with_its_key() {
        for (line, key) in [
            ("heartbeat_interval_ms = 1", "heartbeat_interval_ms"),
            ("metrics_interval_ms = 99999999", "metrics_interval_ms"),
            ("cpu_overcommit = 0", "cpu_overcommit"),
            ("hypervisor = 'qemu'", "hypervisor"),
            ("acceleration = 'fast'", "acceleration"),
            ("labels = { 'a b' = 'c' }", "labels"),
            ("no_such_key = 1", "no_such_key"),
            ("reserve = { memory = '1 parsec' }", "memory"),
            ("name = 'Not A Name'", "name"),
        ] {
            let name = if key == "name" { "" } else { "name = 'h1'\n" };
            let error = load(&format!("data_dir = '/d'\n{name}{line}")).unwrap_err().to_string();
            assert!(error.contains(key), "{line}: {error}");
        }
    }
}
