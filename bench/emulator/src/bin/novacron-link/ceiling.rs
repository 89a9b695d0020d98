//! `novacron-link ceiling`: rates one above the other, until the machine does not keep up.

use std::fmt;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use clap::ValueEnum;
use novacron_emulator::probe::datagrams::{self, Stream};
use novacron_emulator::probe::tcp;
use novacron_emulator::{Direction, Emulator, Setup};
use novacron_link::{LinkConfig, Loss, Rate};

/// Which rates; the machine should have nothing else to do.
#[derive(Debug, clap::Args)]
pub(crate) struct CeilingArguments {
    /// Rates in 10^6 bit/s, tried in this order up to the first that is missed
    #[arg(long, value_delimiter = ',', default_values_t = RATES_MBPS)]
    rate: Vec<f64>,
    /// Only these senders
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = Sender::ALL)]
    only: Vec<Sender>,
}

/// What fills the link.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Sender {
    /// A datagram in each system call
    Udp,
    /// 40 datagrams in each
    UdpOffload,
    /// Kernel TCP with CUBIC
    Tcp,
}

impl Sender {
    const ALL: [Self; 3] = [Self::Udp, Self::UdpOffload, Self::Tcp];

    /// 10^6 bit/s of IP packets that come out.
    fn measure(self, link: &Emulator, mbps: f64) -> Result<f64> {
        match self {
            Self::Udp => udp(link, mbps, 1),
            Self::UdpOffload => udp(link, mbps, 40),
            Self::Tcp => {
                let goodput = tcp::run(link, "cubic", WARM_UP, LENGTH)?;
                Ok(goodput * 1500.0 / TCP_PAYLOAD_BYTES)
            }
        }
    }
}

impl fmt::Display for Sender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Udp => "udp",
            Self::UdpOffload => "udp-offload",
            Self::Tcp => "tcp",
        })
    }
}

pub(crate) fn run(arguments: &CeilingArguments) -> Result<ExitCode> {
    println!(
        "| | Mbit/s | measured | late 1 ms | of packets | packets a write | CPU a to b | b to a |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    for sender in &arguments.only {
        climb(*sender, &arguments.rate)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn udp(link: &Emulator, mbps: f64, batch: usize) -> Result<f64> {
    let bits_per_second = (mbps * 1.05e6) as u64;
    let stream = Stream { bits_per_second, packet_bytes: 1_500, batch, length: LENGTH };
    Ok(datagrams::run(link, stream)?.mbps())
}

/// Tells what each rate gives, up to the first one that misses it.
fn climb(sender: Sender, rates: &[f64]) -> Result<()> {
    for mbps in rates.iter().copied() {
        let config = LinkConfig::path(Rate::mbps(mbps), RTT, Loss::None, 2.0);
        let link = Setup::symmetric(config, 1).create()?;
        let measured = sender.measure(&link, mbps)?;
        let traffic = link.traffic(Direction::AToB);
        let late = traffic.late_1ms;
        let packets = traffic.link.delivered;
        let joined = packets as f64 / traffic.writes.max(1) as f64;
        let [there, back] = Direction::BOTH.map(|direction| link.traffic(direction).cpu);
        println!(
            "| {sender} | {mbps} | {measured:.1} | {late} | {packets} | {joined:.1} | {there:.2?} | {back:.2?} |"
        );
        if measured < mbps * 0.98 {
            break;
        }
    }
    Ok(())
}

const RATES_MBPS: [f64; 8] = [100.0, 500.0, 1_000.0, 1_500.0, 2_000.0, 3_000.0, 4_000.0, 6_000.0];
const RTT: Duration = Duration::from_millis(10);
const WARM_UP: Duration = Duration::from_secs(1);
const LENGTH: Duration = Duration::from_secs(2);
/// Of 1,500 bytes, with the time stamps that Linux sends.
const TCP_PAYLOAD_BYTES: f64 = 1_448.0;
