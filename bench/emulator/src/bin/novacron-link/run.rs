//! `novacron-link run`: a link for as long as a command, or until Ctrl-C.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use std::{fs, thread};

use anyhow::{Context, Result};
use clap::ValueEnum;
use novacron_emulator::{Direction, Emulator, Setup, Udp};
use novacron_link::{LinkConfig, Loss, Queue, Rate, trace};

/// A link that is the same both ways.
#[derive(Debug, clap::Args)]
pub(crate) struct RunArguments {
    /// 10^6 bit/s of IP packets [default: no limit]
    #[arg(long, value_name = "MBPS", conflicts_with = "trace")]
    rate: Option<f64>,
    /// Bandwidth over time: a file of lines `run,second,mbps`
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
    /// Which run of the trace
    #[arg(long, value_name = "RUN", default_value_t = 0, requires = "trace")]
    trace_run: u32,
    /// Round-trip time in milliseconds, half of it each way
    #[arg(long, value_name = "MS", default_value_t = 0.0)]
    rtt: f64,
    /// Up to this many milliseconds more, each way
    #[arg(long, value_name = "MS", default_value_t = 0.0)]
    jitter: f64,
    /// Percent of the packets that are lost, each way
    #[arg(long, value_name = "PERCENT", default_value_t = 0.0)]
    loss: f64,
    /// Lose them in bursts of this many packets on average
    #[arg(long, value_name = "PACKETS")]
    burst: Option<f64>,
    /// Buffer, in products of rate and round-trip time
    #[arg(long, value_name = "BDP", default_value_t = 1.0)]
    buffer: f64,
    /// Keep the queue short with CoDel
    #[arg(long)]
    codel: bool,
    /// Drop all UDP
    #[arg(long)]
    block_udp: bool,
    /// Bytes that the link carries, below the devices' 1,500 a black hole
    #[arg(long, value_name = "BYTES", default_value_t = 1_500)]
    mtu: usize,
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Where the command runs
    #[arg(long, value_enum, default_value_t = Where::A)]
    at: Where,
    /// Program and arguments [default: wait for Ctrl-C]
    #[arg(last = true)]
    command: Vec<String>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Where {
    A,
    B,
}

pub(crate) fn run(arguments: &RunArguments) -> Result<ExitCode> {
    let mut setup = Setup::symmetric(arguments.config()?, arguments.seed);
    setup.device_mtu_bytes = 1_500;
    let link = setup.create()?;
    if arguments.block_udp {
        link.set_udp(Udp::Blocked);
    }
    for (name, end) in [("a", link.a()), ("b", link.b())] {
        println!("{name}: {} in namespace {}", end.address(), end.name());
    }
    let Some((program, rest)) = arguments.command.split_first() else {
        loop {
            thread::park();
        }
    };
    let end = match arguments.at {
        Where::A => link.a(),
        Where::B => link.b(),
    };
    let status = end.command(program).args(rest).status();
    let status = status.with_context(|| format!("start {program}"))?;
    tell(&link);
    let code = status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1);
    Ok(ExitCode::from(code))
}

fn tell(link: &Emulator) {
    for (name, direction) in [("a to b", Direction::AToB), ("b to a", Direction::BToA)] {
        let traffic = link.traffic(direction);
        let counters = traffic.link;
        println!(
            "{name}: {} entered, {} delivered, {} lost, {} dropped at the queue, {} late by over 1 ms",
            counters.entered, counters.delivered, counters.lost, counters.dropped, traffic.late_1ms,
        );
    }
}

impl RunArguments {
    fn config(&self) -> Result<LinkConfig> {
        let ms = |ms: f64| Duration::from_secs_f64(ms.max(0.0) / 1e3);
        let loss = match self.burst {
            Some(packets) => Loss::burst(self.loss / 100.0, packets),
            None => Loss::percent(self.loss),
        };
        let mut config = LinkConfig::path(self.link_rate()?, ms(self.rtt), loss, self.buffer);
        config.jitter = ms(self.jitter);
        config.mtu_bytes = self.mtu;
        if self.codel
            && let Queue::DropTail { bytes_max } = config.queue
        {
            config.queue = Queue::codel(bytes_max);
        }
        Ok(config)
    }

    fn link_rate(&self) -> Result<Rate> {
        let Some(path) = &self.trace else {
            return Ok(self.rate.map_or(Rate::Unlimited, Rate::mbps));
        };
        let shown = path.display();
        let text = fs::read_to_string(path).with_context(|| format!("read {shown}"))?;
        let runs = trace::parse(&text).with_context(|| format!("read {shown}"))?;
        let run = runs.iter().find(|run| run.id == self.trace_run);
        Ok(run.with_context(|| format!("{shown} has no run {}", self.trace_run))?.rate())
    }
}
