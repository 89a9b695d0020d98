//! `novacron-bench`: measures NovaCron beside its peers, on the machine it runs on.
//!
//! ```text
//! fleet, consensus ──> cases ──> report ──> a table, and one JSON line per figure
//! dwcp  ──> lines ──┤
//! predict ──────────┘
//! ```
//! Everything it starts listens on loopback and is gone when it ends, however it ends: see
//! [`workspace`].

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod api;
mod consensus;
mod dwcp;
mod fleet;
mod hde;
mod http;
mod load;
mod machine;
mod predict;
mod program;
mod report;
mod samples;
mod usage;
mod workspace;

/// Benchmarks of NovaCron, side by side with peers.
#[derive(Debug, Parser)]
#[command(name = "novacron-bench", version)]
struct Arguments {
    #[command(subcommand)]
    bench: Bench,
}

#[derive(Debug, Subcommand)]
enum Bench {
    /// Latency of creating VMs, fail-over beside etcd, memory beside node_exporter
    Fleet(FleetArguments),
    /// Acknowledged writes and linearizable reads, beside etcd
    Consensus(ConsensusArguments),
    /// The transport beside TCP, gRPC, quinn and s2n-quic, on emulated links
    Dwcp(dwcp::Arguments),
    /// Time, bytes and processor time of sending compressible things, beside every fixed choice
    Hde(hde::HdeArguments),
    /// Predicted bandwidth beside simple predictors, on recorded links
    Predict(predict::Arguments),
    /// One of NovaCron's own ends of what `dwcp` measures
    #[command(hide = true)]
    DwcpPeer {
        #[command(subcommand)]
        end: dwcp::own::End,
    },
    /// One end of the ping that `dwcp` measures round trips with
    #[command(hide = true)]
    DwcpPing {
        #[command(subcommand)]
        end: dwcp::ping::End,
    },
}

#[derive(Debug, clap::Args)]
struct ConsensusArguments {
    /// A telling subset in two minutes
    #[arg(long)]
    quick: bool,
    /// Environment of the programs under test, KEY=VALUE; may be given again
    #[arg(long = "env", value_name = "KEY=VALUE", value_parser = variable)]
    variables: Vec<(String, String)>,
    /// Where the figures go [default: bench/consensus.jsonl in the target directory]
    #[arg(long)]
    out: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
struct FleetArguments {
    /// A telling subset in under ten minutes
    #[arg(long)]
    quick: bool,
    /// Only these cases
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<fleet::Case>,
    /// Environment of the programs under test, KEY=VALUE; may be given again
    #[arg(long = "env", value_name = "KEY=VALUE", value_parser = variable)]
    variables: Vec<(String, String)>,
    /// Where the figures go [default: bench/fleet.jsonl in the target directory]
    #[arg(long)]
    out: Option<PathBuf>,
}

fn main() -> ExitCode {
    let done = match Arguments::parse().bench {
        Bench::Fleet(arguments) => fleet::run(arguments),
        Bench::Consensus(arguments) => consensus::run(arguments),
        Bench::Dwcp(arguments) => dwcp::run(arguments),
        Bench::Hde(arguments) => hde::run(arguments),
        Bench::Predict(arguments) => predict::run(arguments),
        Bench::DwcpPeer { end } => dwcp::own::run(&end),
        Bench::DwcpPing { end } => dwcp::ping::run(&end),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("novacron-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn variable(text: &str) -> Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("not KEY=VALUE")?;
    Ok((key.to_owned(), value.to_owned()))
}
