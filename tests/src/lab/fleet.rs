//! What the control plane says of the fleet, as values that a test can compare.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use novacron_protocol::api::cluster::ClusterView;
use novacron_protocol::api::host::HostView;
use novacron_protocol::api::member::{MemberRole, MemberView};
use novacron_protocol::api::operation::OperationView;
use novacron_protocol::api::vm::{VmStatus, VmView};
use novacron_protocol::host::Connectivity;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::cli::Cli;
use super::guest::{self, Guest};
use super::network::member_address;
use crate::wait;

/// The fleet, asked through the operator's command.
#[derive(Debug, Clone)]
pub struct Fleet {
    pub cli: Cli,
}

impl Fleet {
    pub fn new(cli: Cli) -> Self {
        Self { cli }
    }

    pub fn status(&self) -> Result<ClusterView> {
        self.cli.json(&["cluster", "status"])
    }

    /// Name of the leader, as the member that answers knows it.
    pub fn leader(&self) -> Result<String> {
        let leader = self.status()?.leader.context("no member leads")?;
        Ok(leader.name.to_string())
    }

    /// The fleet as member `number` sees it.
    #[must_use]
    pub fn via(&self, number: u8) -> Self {
        Self { cli: self.cli.via(&endpoint(number)) }
    }

    /// Who leads in each term that any of `members` is in, by their own word. More than one leader
    /// in a term is a broken Raft.
    pub fn leaders(&self, members: &[u8]) -> BTreeMap<u64, BTreeSet<String>> {
        let mut leaders: BTreeMap<u64, BTreeSet<String>> = BTreeMap::new();
        for status in members.iter().filter_map(|&number| self.via(number).status().ok()) {
            if let Some(leader) = status.leader {
                leaders.entry(status.term.0).or_default().insert(leader.name.to_string());
            }
        }
        leaders
    }

    pub fn members(&self) -> Result<Vec<MemberView>> {
        self.list(&["member", "list"])
    }

    pub fn hosts(&self) -> Result<Vec<HostView>> {
        self.list(&["host", "list"])
    }

    pub fn host(&self, name: &str) -> Result<HostView> {
        self.cli.json(&["host", "show", name])
    }

    pub fn vms(&self) -> Result<Vec<VmView>> {
        self.list(&["vm", "list"])
    }

    pub fn vm(&self, name: &str) -> Result<VmView> {
        self.cli.json(&["vm", "show", name])
    }

    pub fn operations(&self) -> Result<Vec<OperationView>> {
        self.list(&["operation", "list"])
    }

    /// The newest part of a VM's serial console.
    pub fn console(&self, vm: &str) -> Result<String> {
        self.cli.run(&["vm", "console", vm, "--tail", CONSOLE_TAIL])
    }

    pub fn import_linux(&self, image: &str, guest: &Guest) -> Result<()> {
        let (kernel, initrd) = (guest.kernel.to_string_lossy(), guest.initrd.to_string_lossy());
        let files = ["--kernel", &kernel, "--initrd", &initrd, "--cmdline", guest::CMDLINE];
        self.cli.run(&[&["image", "import", image], files.as_slice()].concat()).map(drop)
    }

    pub fn import_disk(&self, image: &str, guest: &Guest) -> Result<()> {
        let disk = guest.disk.to_string_lossy();
        self.cli.run(&["image", "import", image, "--disk", &disk]).map(drop)
    }

    /// Creates a VM of the size that the tiny guest needs and waits until it runs.
    pub fn create(&self, vm: &str, image: &str) -> Result<()> {
        self.cli
            .run(&[&["vm", "create", vm, "--image", image], SMALL.as_slice()].concat())
            .map(drop)
    }

    /// Asks for the same and waits for the acknowledgement only.
    pub fn create_detached(&self, vm: &str, image: &str) -> Result<()> {
        let flags = [SMALL.as_slice(), &["--detach"]].concat();
        self.cli
            .run(&[&["vm", "create", vm, "--image", image], flags.as_slice()].concat())
            .map(drop)
    }

    /// Waits until every member votes, all name the same leader, and every host's agent is
    /// connected and has said what the host can take.
    pub fn wait_complete(&self, members: u8, hosts: u8, limit: Duration) -> Result<()> {
        let all: Vec<u8> = (1..=members).collect();
        wait::for_true("the fleet to be complete", limit, || {
            for &number in &all {
                self.via(number).status()?;
            }
            let leaders = self.leaders(&all);
            ensure!(leaders.values().all(|names| names.len() == 1), "two leaders: {leaders:?}");
            let voters = self.members()?.iter().filter(|m| m.role == MemberRole::Voter).count();
            let is_up = |host: &&HostView| {
                host.connectivity == Connectivity::Connected && host.capacity.is_some()
            };
            let connected = self.hosts()?.iter().filter(is_up).count();
            Ok(voters == usize::from(members)
                && connected == usize::from(hosts)
                && leaders.len() == 1)
        })
    }

    pub fn wait_state(&self, vm: &str, state: VmStatus, limit: Duration) -> Result<VmView> {
        wait::until(&format!("{vm} to be {state}"), limit, || {
            Ok(Some(self.vm(vm)?).filter(|vm| vm.state == state))
        })
    }

    /// Waits until the guest in `vm` has printed its own marker; gives the console up to then.
    pub fn wait_booted(&self, vm: &str, limit: Duration) -> Result<String> {
        let uuid = self.vm(vm)?.id.to_string();
        wait::until(&format!("the boot marker of {vm}"), limit, || {
            Ok(Some(self.console(vm)?).filter(|console| guest::boots(console, &uuid) > 0))
        })
    }

    fn list<T: DeserializeOwned>(&self, args: &[&str]) -> Result<Vec<T>> {
        let mut answer: Value = self.cli.json(args)?;
        // A list may come bare or as a page.
        if let Some(items) = answer.get_mut("items") {
            answer = items.take();
        }
        serde_json::from_value(answer).with_context(|| format!("read novacron {}", args.join(" ")))
    }
}

fn endpoint(member: u8) -> String {
    format!("https://{}:7411", member_address(member))
}

/// Writes `made`, the context that `init` left, to `context` with every member as an endpoint.
pub fn write_context(made: &Path, context: &Path, members: u8) -> Result<()> {
    let mut table: toml::Table = fs::read_to_string(made)?.parse().context("read admin.toml")?;
    let endpoints = (1..=members).map(|member| toml::Value::from(endpoint(member))).collect();
    table.insert("endpoints".to_owned(), toml::Value::Array(endpoints));
    fs::write(context, table.to_string())?;
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    fs::set_permissions(context, private)?;
    Ok(())
}

/// As much as a member hands out: hours of ticks.
const CONSOLE_TAIL: &str = "262144";
/// What the tiny guest needs: 96 MiB boot, 128 leave room.
pub const SMALL: [&str; 2] = ["--memory", "128MiB"];
