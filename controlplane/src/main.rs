//! `novacron-controlplane`: makes, joins and runs a member.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use novacron_controlplane::config::Config;
use novacron_controlplane::{bootstrap, member};
use novacron_daemon::{Clock, log};
use novacron_protocol::Name;
use novacron_protocol::join_token::JoinToken;

/// A control-plane member of a NovaCron cluster.
#[derive(Debug, Parser)]
#[command(name = "novacron-controlplane", version, propagate_version = true)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Make a new cluster whose first member is this machine, and print the admin's token once
    Init {
        #[command(flatten)]
        source: Source,
        /// What people call the cluster
        #[arg(long, default_value = "novacron")]
        cluster_name: Name,
    },
    /// Join an existing cluster as a further member
    Join {
        #[command(flatten)]
        source: Source,
        /// From `novacron token create --role member`
        #[arg(env = "NOVACRON_TOKEN", hide_env_values = true)]
        token: String,
    },
    /// Run the member
    Run {
        #[command(flatten)]
        source: Source,
    },
    /// Look at the configuration
    Config {
        #[command(subcommand)]
        verb: ConfigVerb,
    },
}

#[derive(Debug, Subcommand)]
enum ConfigVerb {
    /// Say whether the configuration can be used
    Check {
        #[command(flatten)]
        source: Source,
    },
}

#[derive(Debug, clap::Args)]
struct Source {
    /// The configuration file; `controlplane.d/*.toml` beside it and NOVACRON_* variables override it
    #[arg(long, default_value = "/etc/novacron/controlplane.toml")]
    config: PathBuf,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match execute(arguments.verb) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn execute(verb: Verb) -> anyhow::Result<()> {
    match verb {
        Verb::Init { source, cluster_name } => init(&source, cluster_name),
        Verb::Join { source, token } => join(&source, &token),
        Verb::Run { source } => run(&source),
        Verb::Config { verb: ConfigVerb::Check { source } } => {
            let config = load(&source)?;
            println!("{} is fine: {:?}", source.config.display(), config.addresses()?);
            Ok(())
        }
    }
}

fn init(source: &Source, name: Name) -> anyhow::Result<()> {
    let config = load(source)?;
    let made = bootstrap::init(&config, name, &Clock::start()).context("cannot make a cluster")?;
    println!("cluster  {}", made.cluster);
    println!("admin    {}", made.admin);
    println!("context  {}", made.context.display());
    println!();
    println!("The token is shown only now; the context file holds it for `novacron --config`.");
    println!("Next: novacron-controlplane run --config {}", source.config.display());
    Ok(())
}

fn join(source: &Source, token: &str) -> anyhow::Result<()> {
    let config = load(source)?;
    let token: JoinToken = token.parse()?;
    let member = runtime()?.block_on(bootstrap::join(&config, &token)).context("cannot join")?;
    println!("member   {member}");
    println!("Next: novacron-controlplane run --config {}", source.config.display());
    Ok(())
}

fn run(source: &Source) -> anyhow::Result<()> {
    log::start();
    let config = load(source)?;
    let result = runtime()?.block_on(member::run(config));
    if let Err(error) = &result {
        tracing::error!(%error, "member ends");
    }
    result.context("the member cannot go on")
}

fn load(source: &Source) -> anyhow::Result<Config> {
    Ok(Config::load(&source.config)?)
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("cannot start the runtime")
}
