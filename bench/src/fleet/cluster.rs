//! A NovaCron cluster on loopback: members and agents with simulated hypervisors.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};
use novacron_protocol::ImageId;
use novacron_protocol::join_token::JoinRole;
use novacron_tests::lab::process;
use novacron_tests::wait;

use super::{Bench, text};
use crate::api::Api;
use crate::machine::free_address;
use crate::program::Program;

/// A complete cluster that runs until it is dropped.
#[derive(Debug)]
pub(crate) struct Cluster {
    pub(crate) api: Api,
    /// What VMs are made from.
    pub(crate) image: ImageId,
    pub(crate) members: Vec<Program>,
    pub(crate) agents: Vec<Program>,
    pub(crate) sites: Vec<Site>,
    dir: PathBuf,
}

/// Where a member is and listens.
#[derive(Debug)]
pub(crate) struct Site {
    config: PathBuf,
    pub(crate) data: PathBuf,
    pub(crate) quic: SocketAddr,
    pub(crate) api: SocketAddr,
}

impl Cluster {
    /// Starts three members and as many hosts, and waits until all of them are there.
    pub(crate) fn start(bench: &Bench, name: &str, hosts: u32) -> Result<Self> {
        let dir = bench.dir(name)?;
        let sites: Result<Vec<Site>> =
            (1..=MEMBERS).map(|number| Site::prepare(&dir, number)).collect();
        let sites = sites?;
        let member = |at: usize| start_member(bench, &dir, at, &sites[at]);
        once(&bench.binaries.member, &["init", "--config", &text(&sites[0].config)])?;
        let mut members = vec![member(0)?];
        let addresses = sites.iter().map(|site| site.api.to_string());
        let api = Api::new(&sites[0].data.join("admin.toml"), addresses)?;
        wait::for_true("the first member", LIMIT, || {
            members[0].expect_running()?;
            Ok(api.cluster(0)?.leader.is_some())
        })?;
        for (at, site) in sites.iter().enumerate().skip(1) {
            let token = api.token(JoinRole::Member, 1)?;
            once(&bench.binaries.member, &["join", "--config", &text(&site.config), &token])?;
            members.push(member(at)?);
            wait::for_true("a member to vote", LIMIT, || Ok(api.voters()? == at + 1))?;
        }
        let image = import_image(bench, &dir, &api)?;
        let mut cluster = Self { api, image, members, agents: Vec::new(), sites, dir };
        cluster.start_agents(bench, hosts)?;
        Ok(cluster)
    }

    /// Place of the leader in the list of members.
    pub(crate) fn leader(&self) -> Result<usize> {
        let names: Vec<String> = (0..MEMBERS).map(member_name).collect();
        let leads = |at: usize| {
            let leader = self.api.cluster(at).ok()?.leader?;
            names
                .iter()
                .position(|name| *name == leader.name.as_str())
                .filter(|leader| *leader == at)
        };
        (0..MEMBERS).find_map(leads).context("no member leads")
    }

    /// Waits until every member knows a leader and has applied all that any has committed by now.
    pub(crate) fn wait_even(&self) -> Result<()> {
        let committed = |at| self.api.cluster(at).map_or(0, |view| view.committed.0);
        let newest = (0..MEMBERS).map(committed).max().unwrap_or(0);
        wait::for_true("the members to be even", LIMIT, || {
            let even = |at| {
                let view = self.api.cluster(at)?;
                Ok(view.leader.is_some() && view.applied.0 >= newest)
            };
            Ok((0..MEMBERS).map(even).collect::<Result<Vec<bool>>>()?.into_iter().all(|even| even))
        })
    }

    pub(crate) fn pids(&self) -> Vec<u32> {
        self.members.iter().chain(&self.agents).filter_map(|program| program.pid().ok()).collect()
    }

    fn start_agents(&mut self, bench: &Bench, hosts: u32) -> Result<()> {
        if hosts == 0 {
            return Ok(());
        }
        let configs: Result<Vec<PathBuf>> =
            (1..=hosts).map(|number| prepare_agent(&self.dir, number)).collect();
        let configs = configs?;
        let token = self.api.token(JoinRole::Host, hosts)?;
        enrol(&bench.binaries.agent, &configs, &token)?;
        for (number, config) in (1..).zip(&configs) {
            let argv = [text(&bench.binaries.agent), "run".into(), "--config".into(), text(config)];
            let log = self.dir.join(format!("h{number}.log"));
            let agent = Program::start(&host_name(number), &argv, &bench.variables, &log)?;
            self.agents.push(agent);
        }
        wait::for_true("the hosts to be connected", LIMIT, || {
            Ok(self.api.cluster(0)?.counts.hosts_connected == hosts)
        })
    }
}

impl Site {
    fn prepare(dir: &Path, number: usize) -> Result<Self> {
        let name = member_name(number - 1);
        let (data, config) = (dir.join(&name), dir.join(format!("{name}.toml")));
        let (listen, api) = (free_address()?, free_address()?);
        let data_dir = data.display();
        let file = format!(
            "name = \"{name}\"\ndata_dir = \"{data_dir}\"\nlisten = \"{listen}\"\n\
             api_listen = \"{api}\"\n"
        );
        fs::write(&config, file).with_context(|| format!("write {}", config.display()))?;
        Ok(Self { config, data, quic: listen, api })
    }
}

fn start_member(bench: &Bench, dir: &Path, at: usize, site: &Site) -> Result<Program> {
    let name = member_name(at);
    let argv = [text(&bench.binaries.member), "run".into(), "--config".into(), text(&site.config)];
    Program::start(&name, &argv, &bench.variables, &dir.join(format!("{name}.log")))
}

/// Simulated VMs boot from nothing, but there is no VM without an image.
fn import_image(bench: &Bench, dir: &Path, api: &Api) -> Result<ImageId> {
    let (kernel, initrd) = (dir.join("kernel"), dir.join("initrd"));
    fs::write(&kernel, "a kernel that nobody boots")?;
    fs::write(&initrd, "an initrd that nobody unpacks")?;
    let context = text(dir.join(member_name(0)).join("admin.toml"));
    let files = ["--kernel", &text(&kernel), "--initrd", &text(&initrd)];
    let import = ["--config", &context, "image", "import", IMAGE];
    once(&bench.binaries.cli, &[&import[..], &files].concat())?;
    api.image(IMAGE)
}

fn prepare_agent(dir: &Path, number: u32) -> Result<PathBuf> {
    let name = host_name(number);
    let config = dir.join(format!("{name}.toml"));
    let data = dir.join(&name);
    let data_dir = data.display();
    let file = format!(
        "name = \"{name}\"\ndata_dir = \"{data_dir}\"\n\
         hypervisor = \"sim://?cpus=256&memory=1TiB&disk=16TiB\"\n"
    );
    fs::write(&config, file).with_context(|| format!("write {}", config.display()))?;
    Ok(config)
}

/// Enrols all agents, a few at a time; fails with the first failure.
fn enrol(agent: &Path, configs: &[PathBuf], token: &str) -> Result<()> {
    let left = Mutex::new(configs.iter());
    let next = || left.lock().expect("no enroller panics with the lock").next();
    let enrol_some = || {
        while let Some(config) = next() {
            once(agent, &["join", "--config", &text(config), token])?;
        }
        Ok(())
    };
    thread::scope(|scope| {
        let enrollers: Vec<_> = (0..ENROLLERS).map(|_| scope.spawn(enrol_some)).collect();
        enrollers.into_iter().try_for_each(|enroller| {
            enroller.join().unwrap_or_else(|_| anyhow::bail!("an enroller panicked"))
        })
    })
}

/// Runs a program that ends by itself.
fn once(program: &Path, arguments: &[&str]) -> Result<()> {
    let mut command = Command::new("timeout");
    process::without_our_variables(&mut command);
    command.arg(LIMIT.as_secs().to_string()).arg(program).args(arguments);
    process::output(&mut command).map(drop)
}

fn member_name(at: usize) -> String {
    format!("m{}", at + 1)
}

pub(crate) fn host_name(number: u32) -> String {
    format!("h{number}")
}

pub(crate) const MEMBERS: usize = 3;
const IMAGE: &str = "bench";
const ENROLLERS: usize = 4;
/// For every step of a start: seconds on a quiet machine, and more on a busy one.
const LIMIT: Duration = Duration::from_secs(60);
