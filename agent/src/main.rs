//! `novacron-agent`: runs on every hypervisor host.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand};
use novacron_agent::config::Config;
use novacron_agent::hypervisor::libvirt;
use novacron_agent::join::{self, Entry};
use novacron_agent::runtime;
use novacron_daemon::{log, systemd};
use novacron_protocol::join_token::JoinToken;

/// Keeps this host's VMs as the control plane wants them.
#[derive(Parser)]
#[command(name = "novacron-agent", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Make this machine a host of a cluster, then exit.
    Join {
        #[command(flatten)]
        config: ConfigFile,
        /// Join though this machine has joined before: it comes back as the host that it was, with
        /// a token from `novacron token create --role host --host NAME`.
        #[arg(long)]
        again: bool,
        /// From `novacron token create --role host`.
        token: String,
    },
    /// Run until SIGTERM. VMs run on after it.
    Run {
        #[command(flatten)]
        config: ConfigFile,
    },
    /// Work with the configuration.
    #[command(subcommand)]
    Config(ConfigCommand),
}

#[derive(Subcommand)]
enum ConfigCommand {
    /// Say whether the configuration can be used.
    Check {
        #[command(flatten)]
        config: ConfigFile,
    },
}

#[derive(Args)]
struct ConfigFile {
    /// The configuration; files in `agent.d` beside it and `NOVACRON_*` variables override it.
    #[arg(long = "config", value_name = "FILE", default_value = "/etc/novacron/agent.toml")]
    path: PathBuf,
}

/// Files are hashed, expanded and synced on these; an agent at rest has none of them.
const BLOCKING_THREADS: usize = 4;

fn main() -> ExitCode {
    libvirt::keep_footprint_small();
    log::start();
    match run(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("novacron-agent: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> anyhow::Result<()> {
    match arguments.command {
        Command::Join { config, again, token } => {
            let config = config.load()?;
            let token: JoinToken = token.parse()?;
            let entry = if again { Entry::Again } else { Entry::First };
            let joined = in_runtime(join::join(&config, &token, entry))?.context("cannot join")?;
            println!("joined cluster {} as host {} ({})", joined.cluster, joined.name, joined.host);
            Ok(())
        }
        Command::Run { config } => {
            let config = config.load()?;
            in_runtime(async { runtime::run(config, systemd::stop_requested()).await })??;
            Ok(())
        }
        Command::Config(ConfigCommand::Check { config }) => {
            config.load()?;
            println!("{} is valid", config.path.display());
            Ok(())
        }
    }
}

impl ConfigFile {
    fn load(&self) -> anyhow::Result<Config> {
        Ok(Config::load(&self.path, std::env::vars())?)
    }
}

/// One thread is enough for what an agent does; work that blocks has threads of its own.
fn in_runtime<T>(future: impl Future<Output = T>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(BLOCKING_THREADS)
        .build()
        .context("cannot start the runtime")?;
    let result = runtime.block_on(Box::pin(future));
    // A hypervisor call that hangs must not keep the agent from ending.
    runtime.shutdown_background();
    Ok(result)
}
