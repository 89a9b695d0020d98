//! A fleet on one machine: members, hosts and the network between them, all of it real.
//!
//! ```text
//! namespace nc-<lab>                        namespace nc-<lab>-h1 (own /run, /etc/libvirt, ..)
//!   br0 10.77.0.11  member m1                 eth0 10.77.0.101
//!       10.77.0.12  member m2    h1 ======    agent h1
//!       10.77.0.13  member m3                 libvirtd, one QEMU per VM
//! ```
//! A lab is laid out, started and driven by one program, and taken down by any: see [`teardown`].
//! It goes when its [`Lab`] is dropped, on Ctrl-C, and on a panic, unless it was told to
//! [`Lab::leave_running`].

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

pub mod agent;
pub mod binaries;
pub mod cli;
pub mod fleet;
pub mod guest;
pub mod hypervisor;
pub mod interrupt;
pub mod member;
pub mod namespace;
pub mod network;
pub mod privilege;
pub mod process;
pub mod teardown;

use agent::Host;
use binaries::Binaries;
use cli::Cli;
use fleet::Fleet;
use guest::Guest;
use hypervisor::{Acceleration, Driver};
use member::Member;
use network::Network;

use crate::wait;

/// What to build.
#[derive(Debug, Clone)]
pub struct Plan {
    /// 1 to 10 lower-case letters and digits: part of namespace names.
    pub name: String,
    /// 1 to [`MEMBERS_MAX`].
    pub members: u8,
    /// At most [`HOSTS_MAX`].
    pub hosts: u8,
    pub driver: Driver,
}

/// A lab that stands.
#[derive(Debug)]
pub struct Lab {
    pub plan: Plan,
    pub binaries: Binaries,
    /// What VMs boot from.
    pub guest: Guest,
    pub network: Network,
    pub members: Vec<Member>,
    pub hosts: Vec<Host>,
    dir: PathBuf,
    /// Whether somebody has decided what becomes of it; otherwise it is dropped in failure.
    is_settled: bool,
    /// Held while a test's lab stands, so that labs of tests take turns.
    _turn: Option<File>,
}

impl Lab {
    /// Namespaces, mounts and hypervisors; no process of NovaCron yet. Needs root.
    pub fn lay_out(plan: Plan) -> Result<Self> {
        ensure!(is_lab_name(&plan.name), "{:?} cannot be the name of a lab", plan.name);
        ensure!((1..=MEMBERS_MAX).contains(&plan.members), "1 to {MEMBERS_MAX} members");
        ensure!(plan.hosts <= HOSTS_MAX, "at most {HOSTS_MAX} hosts");
        let binaries = Binaries::obtain()?;
        let guest = Guest::obtain(&binaries.guest_cache())?;
        teardown::down(&plan.name).context("clear what an earlier run left")?;
        interrupt::guard(&plan.name);
        let dir = teardown::state_dir(&plan.name);
        teardown::make_state_dir(&plan.name)?;
        let network = Network::create(&plan.name, plan.members).inspect_err(|_| {
            let _ = teardown::down(&plan.name);
        })?;
        let mut lab = Self {
            plan,
            binaries,
            guest,
            network,
            members: Vec::new(),
            hosts: Vec::new(),
            dir,
            is_settled: false,
            _turn: None,
        };
        lab.prepare()?;
        Ok(lab)
    }

    /// A whole lab for a test: waits for its turn on this machine, then starts everything.
    pub fn for_test(plan: Plan) -> Result<Self> {
        let turn = wait_for_turn()?;
        let mut lab = Self::lay_out(plan)?;
        lab._turn = Some(turn);
        lab.start()?;
        Ok(lab)
    }

    /// Starts everything and waits until the fleet is complete.
    pub fn start(&mut self) -> Result<()> {
        self.start_hypervisors()?;
        self.start_members()?;
        self.start_agents()?;
        self.fleet().wait_complete(self.plan.members, self.plan.hosts, START_LIMIT)
    }

    /// Starts a libvirtd on each host. The first one alone: what it learns about QEMU is cached.
    pub fn start_hypervisors(&mut self) -> Result<()> {
        if self.plan.driver != Driver::Qemu {
            return Ok(());
        }
        let Some((first, rest)) = self.hosts.split_first_mut() else { return Ok(()) };
        first.start_libvirtd()?;
        in_parallel(rest, Host::start_libvirtd)
    }

    /// Makes the cluster and starts every member.
    pub fn start_members(&mut self) -> Result<()> {
        self.start_first_member()?;
        for at in 1..self.members.len() {
            self.start_further_member(at)?;
        }
        Ok(())
    }

    pub fn start_first_member(&mut self) -> Result<()> {
        self.members[0].init()?;
        self.members[0].daemon.start()?;
        wait::for_true("the first member to answer", START_LIMIT, || {
            self.members[0].daemon.expect_running()?;
            self.fleet().status().map(|_| true)
        })
    }

    /// Enrols and starts `members[at]`.
    pub fn start_further_member(&mut self, at: usize) -> Result<()> {
        let token = member::member_token(&self.cli())?;
        self.members[at].join(&token)?;
        self.members[at].daemon.start()
    }

    /// Enrols and starts the agent of every host.
    pub fn start_agents(&mut self) -> Result<()> {
        for at in 0..self.hosts.len() {
            self.start_agent(at)?;
        }
        Ok(())
    }

    /// Enrols and starts the agent of `hosts[at]`.
    pub fn start_agent(&mut self, at: usize) -> Result<()> {
        let token = agent::host_token(&self.cli())?;
        self.hosts[at].join(&token)?;
        self.hosts[at].agent.start()
    }

    /// The operator's command as admin.
    pub fn cli(&self) -> Cli {
        let context = self.dir.join("admin.toml");
        // With several members the context names them all: the admin outlives the first member.
        let made = self.members[0].admin_context();
        if !context.exists() && made.exists() {
            let _ = fleet::write_context(&made, &context, self.plan.members);
        }
        Cli::new(&self.network.net, &self.binaries.cli, &context)
    }

    /// What the control plane says, as values.
    pub fn fleet(&self) -> Fleet {
        Fleet::new(self.cli())
    }

    pub fn host(&self, name: &str) -> Result<&Host> {
        let found = self.hosts.iter().find(|host| host.name() == name);
        found.with_context(|| format!("no host is called {name}"))
    }

    pub fn member_mut(&mut self, name: &str) -> Result<&mut Member> {
        let found = self.members.iter_mut().find(|member| member.name() == name);
        found.with_context(|| format!("no member is called {name}"))
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Lets the lab outlive this program.
    pub fn leave_running(mut self) {
        interrupt::release(&self.plan.name);
        self.is_settled = true;
    }

    /// Takes it down after a success. Dropping it does so too, and keeps the logs.
    pub fn take_down(mut self) -> Result<()> {
        self.is_settled = true;
        interrupt::release(&self.plan.name);
        teardown::down(&self.plan.name)
    }

    fn prepare(&mut self) -> Result<()> {
        for number in 1..=self.plan.members {
            let member = Member::prepare(number, &self.dir, &self.network.net, &self.binaries)?;
            self.members.push(member);
        }
        let acceleration = match self.plan.driver {
            Driver::Qemu => Acceleration::probe(&self.guest, &self.binaries.guest_cache())?,
            Driver::LibvirtTest | Driver::Simulated => Acceleration::Tcg,
        };
        let hypervisor = (self.plan.driver, acceleration);
        for number in 1..=self.plan.hosts {
            let net = self.network.attach_host(&self.plan.name, number)?;
            let host = Host::prepare(number, &self.dir, net, hypervisor, &self.binaries)?;
            self.hosts.push(host);
        }
        Ok(())
    }

    /// Copies the logs of a failed run to where they survive it.
    fn keep_logs(&self) -> Result<PathBuf> {
        let kept = self.binaries.target.join("lab/failed").join(&self.plan.name);
        let _ = fs::remove_dir_all(&kept);
        fs::create_dir_all(&kept)?;
        let names = self.members.iter().map(Member::name).chain(self.hosts.iter().map(Host::name));
        for name in names {
            for log in ["member.log", "agent.log", "libvirtd.log"] {
                let _ =
                    fs::copy(self.dir.join(&name).join(log), kept.join(format!("{name}-{log}")));
            }
        }
        Ok(kept)
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        // On Ctrl-C another thread takes it down.
        if self.is_settled || interrupt::is_interrupted() {
            return;
        }
        if let Ok(kept) = self.keep_logs() {
            eprintln!("the logs of lab {} are in {}", self.plan.name, kept.display());
        }
        interrupt::release(&self.plan.name);
        if let Err(error) = teardown::down(&self.plan.name) {
            eprintln!("lab {} is not down: {error:#}", self.plan.name);
        }
    }
}

pub fn is_lab_name(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    (1..=LAB_NAME_LEN_MAX).contains(&name.len()) && name.chars().all(plain)
}

/// Waits until no other test's lab stands on this machine; the turn lasts as long as the file.
fn wait_for_turn() -> Result<File> {
    fs::create_dir_all("/run/lock")?;
    process::lock(Path::new("/run/lock/novacron-lab"))
}

/// Does the same to all of them at once; fails with the first failure.
fn in_parallel<T: Send>(all: &mut [T], action: fn(&mut T) -> Result<()>) -> Result<()> {
    thread::scope(|scope| {
        let started: Vec<_> = all.iter_mut().map(|one| scope.spawn(move || action(one))).collect();
        started.into_iter().try_for_each(|thread| {
            thread.join().unwrap_or_else(|_| anyhow::bail!("a starter panicked"))
        })
    })
}

pub const MEMBERS_MAX: u8 = 5;
pub const HOSTS_MAX: u8 = 20;
/// Interface and namespace names stay short, and so do the paths of unix sockets.
const LAB_NAME_LEN_MAX: usize = 10;
/// From the first process to a complete fleet takes about 5 s; a machine that builds meanwhile
/// may need much longer.
const START_LIMIT: Duration = Duration::from_secs(60);
