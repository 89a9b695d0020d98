//! `controlplane.toml`: where a member listens, where it keeps things, how patient it is.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use novacron_controlplane_core::apply::CERTIFICATE_LIFE_MAX;
use novacron_daemon::config::ConfigError;
use novacron_protocol::wire::join::MemberAddresses;
use novacron_protocol::{Millis, Name};
use serde::Deserialize;

/// The whole file. Every key but `data_dir` has a default.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    pub data_dir: PathBuf,
    /// This member's name; the machine's host name when not given.
    pub name: Option<Name>,
    /// QUIC, for members and agents.
    #[serde(default = "default_listen")]
    pub listen: SocketAddr,
    /// HTTPS, for clients.
    #[serde(default = "default_api_listen")]
    pub api_listen: SocketAddr,
    /// What others dial; needed when `listen` is a wildcard.
    pub advertise: Option<SocketAddr>,
    pub api_advertise: Option<SocketAddr>,
    #[serde(default)]
    pub raft: RaftConfig,
    #[serde(default)]
    pub agents: AgentsConfig,
    #[serde(default)]
    pub certificates: CertificatesConfig,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RaftConfig {
    /// On a LAN. Where members are further away, ticks are longer by themselves.
    pub tick_ms: u64,
    /// Ticks without a leader before the least patient member stands for election.
    pub election_ticks: u32,
    pub heartbeat_ticks: u32,
    /// Entries between snapshots.
    pub snapshot_every: u64,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AgentsConfig {
    /// Silence after which a host reads `disconnected`.
    pub disconnect_after_ms: u64,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CertificatesConfig {
    /// Life of hosts' and members' certificates; renewed at two thirds.
    pub life_s: u64,
}

/// A value that cannot be.
#[derive(Debug, thiserror::Error)]
pub enum ConfigProblem {
    #[error(transparent)]
    Load(#[from] ConfigError),
    #[error("`{key}` {message}")]
    Value { key: &'static str, message: String },
}

impl Default for RaftConfig {
    /// Elections after 150 to 200 ms at the least patient of three members, 250 to 300 ms at the
    /// most patient one: a lost leader is replaced within half a second.
    fn default() -> Self {
        Self { tick_ms: 10, election_ticks: 15, heartbeat_ticks: 3, snapshot_every: 10_000 }
    }
}

impl Default for AgentsConfig {
    fn default() -> Self {
        Self { disconnect_after_ms: 10_000 }
    }
}

impl Default for CertificatesConfig {
    /// A host that is cut off for longer than this cannot come back by itself. A week outlasts most
    /// outages; an identity that must go at once is revoked.
    fn default() -> Self {
        Self { life_s: 7 * 24 * 3600 }
    }
}

impl Config {
    /// Loads and checks the file at `path` with the process's environment.
    pub fn load(path: &Path) -> Result<Self, ConfigProblem> {
        let config: Self = novacron_daemon::config::load(path, std::env::vars())?;
        config.check()?;
        Ok(config)
    }

    /// Where others reach this member.
    pub fn addresses(&self) -> Result<MemberAddresses, ConfigProblem> {
        Ok(MemberAddresses {
            cluster: reachable("advertise", self.advertise, self.listen)?,
            api: reachable("api_advertise", self.api_advertise, self.api_listen)?,
        })
    }

    /// The configured name, or the machine's.
    pub fn member_name(&self) -> Result<Name, ConfigProblem> {
        if let Some(name) = &self.name {
            return Ok(name.clone());
        }
        let host = rustix::system::uname();
        let host = host.nodename().to_string_lossy().to_ascii_lowercase();
        let short = host.split('.').next().unwrap_or_default();
        short.parse().map_err(|error| ConfigProblem::Value {
            key: "name",
            message: format!("must be set: the host name {short:?} cannot be used: {error}"),
        })
    }

    pub fn tick(&self) -> Duration {
        Duration::from_millis(self.raft.tick_ms)
    }

    pub fn certificate_life(&self) -> Duration {
        Duration::from_secs(self.certificates.life_s)
    }

    fn check(&self) -> Result<(), ConfigProblem> {
        let value = |key, message: &str| Err(ConfigProblem::Value { key, message: message.into() });
        if !(5..=1_000).contains(&self.raft.tick_ms) {
            return value("raft.tick_ms", "must be 5 to 1000");
        }
        if !(1..=100).contains(&self.raft.heartbeat_ticks) {
            return value("raft.heartbeat_ticks", "must be 1 to 100");
        }
        if self.raft.election_ticks < self.raft.heartbeat_ticks * 3 {
            return value("raft.election_ticks", "must be at least three heartbeats");
        }
        if self.raft.snapshot_every < 100 {
            return value("raft.snapshot_every", "must be at least 100");
        }
        if !(1_000..=3_600_000).contains(&self.agents.disconnect_after_ms) {
            return value("agents.disconnect_after_ms", "must be 1000 to 3600000");
        }
        let life = Millis(self.certificates.life_s.saturating_mul(1000));
        if !(Millis(10_000)..=CERTIFICATE_LIFE_MAX).contains(&life) {
            return value("certificates.life_s", "must be 10 s to 366 days");
        }
        self.addresses().map(|_| ())
    }
}

fn reachable(
    key: &'static str,
    advertise: Option<SocketAddr>,
    listen: SocketAddr,
) -> Result<SocketAddr, ConfigProblem> {
    let address = advertise.unwrap_or(listen);
    if address.ip().is_unspecified() || address.port() == 0 {
        let message = format!("must be set to an address that others can dial, not {address}");
        return Err(ConfigProblem::Value { key, message });
    }
    Ok(address)
}

fn default_listen() -> SocketAddr {
    SocketAddr::from(([0, 0, 0, 0], 7410))
}

fn default_api_listen() -> SocketAddr {
    SocketAddr::from(([0, 0, 0, 0], 7411))
}
