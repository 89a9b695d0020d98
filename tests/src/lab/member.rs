//! A control-plane member of the lab.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::binaries::Binaries;
use super::cli::Cli;
use super::namespace::NetNamespace;
use super::network::member_address;
use super::process::{self, Daemon};

/// One member: its configuration, its data and its process.
#[derive(Debug)]
pub struct Member {
    /// 1 for the one that made the cluster.
    pub number: u8,
    config: PathBuf,
    data: PathBuf,
    binary: PathBuf,
    net: NetNamespace,
    pub daemon: Daemon,
}

impl Member {
    /// Writes the configuration; nothing runs yet.
    pub fn prepare(
        number: u8,
        lab_dir: &Path,
        net: &NetNamespace,
        binaries: &Binaries,
    ) -> Result<Self> {
        let dir = lab_dir.join(member_name(number));
        let data = dir.join("data");
        fs::create_dir_all(&data)?;
        let config = dir.join("controlplane.toml");
        fs::write(&config, member_config(number, &data))?;
        let mut argv = net.entry();
        argv.extend([&binaries.member, Path::new("run"), Path::new("--config"), &config].map(text));
        let daemon = Daemon::new(&member_name(number), argv, &dir.join("member.log"));
        let binary = binaries.member.clone();
        Ok(Self { number, config, data, binary, net: net.clone(), daemon })
    }

    /// Makes a new cluster of which this is the first member.
    pub fn init(&self) -> Result<()> {
        self.setup(&["init", "--cluster-name", "lab"]).map(drop)
    }

    /// Enrols with a token that an admin of the running cluster made.
    pub fn join(&self, token: &str) -> Result<()> {
        self.setup(&["join", token]).map(drop)
    }

    /// The context file with the admin token, which `init` wrote.
    pub fn admin_context(&self) -> PathBuf {
        self.data.join("admin.toml")
    }

    pub fn name(&self) -> String {
        member_name(self.number)
    }

    fn setup(&self, args: &[&str]) -> Result<String> {
        let mut argv = self.net.entry();
        argv.push(text(&self.binary));
        argv.push(args[0].to_owned());
        argv.extend(["--config".to_owned(), text(&self.config)]);
        argv.extend(args[1..].iter().map(|&arg| arg.to_owned()));
        let mut command = std::process::Command::new(&argv[0]);
        process::output(process::without_our_variables(command.args(&argv[1..])))
            .with_context(|| format!("{} member {}", args[0], self.number))
    }
}

/// A token with which one more member may enrol.
pub fn member_token(cli: &Cli) -> Result<String> {
    Ok(cli.run(&["token", "create", "--role", "member"])?.trim().to_owned())
}

pub fn member_name(number: u8) -> String {
    format!("m{number}")
}

fn member_config(number: u8, data: &Path) -> String {
    let address = member_address(number);
    format!(
        "name = \"{}\"\n\
         data_dir = \"{}\"\n\
         listen = \"{address}:7410\"\n\
         api_listen = \"{address}:7411\"\n",
        member_name(number),
        data.display(),
    )
}

fn text(path: impl AsRef<Path>) -> String {
    path.as_ref().to_string_lossy().into_owned()
}
