//! `novacron-link ceiling`: rates one above the other, until the machine does not keep up.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::Result;
use novacron_emulator::probe::datagrams::{self, Stream};
use novacron_emulator::probe::tcp;
use novacron_emulator::{Direction, Emulator, Setup};
use novacron_link::{LinkConfig, Loss, Rate};

pub(crate) fn run() -> Result<ExitCode> {
    println!("| | Mbit/s | measured | late 1 ms | of packets | packets a write |");
    println!("|---|---|---|---|---|---|");
    climb("UDP, single", |link, mbps| udp(link, mbps, 1))?;
    climb("UDP, offload", |link, mbps| udp(link, mbps, 40))?;
    climb("TCP CUBIC", |link, _| {
        let goodput = tcp::run(link, "cubic", WARM_UP, LENGTH)?;
        Ok(goodput * 1500.0 / TCP_PAYLOAD_BYTES)
    })?;
    Ok(ExitCode::SUCCESS)
}

fn udp(link: &Emulator, mbps: f64, batch: usize) -> Result<f64> {
    let bits_per_second = (mbps * 1.05e6) as u64;
    let stream = Stream { bits_per_second, packet_bytes: 1_500, batch, length: LENGTH };
    Ok(datagrams::run(link, stream)?.mbps())
}

/// Tells what each rate gives, up to the first one that misses it.
fn climb(name: &str, measure: impl Fn(&Emulator, f64) -> Result<f64>) -> Result<()> {
    for mbps in RATES_MBPS {
        let config = LinkConfig::path(Rate::mbps(mbps), RTT, Loss::None, 2.0);
        let link = Setup::symmetric(config, 1).create()?;
        let measured = measure(&link, mbps)?;
        let traffic = link.traffic(Direction::AToB);
        let late = traffic.late_1ms;
        let packets = traffic.link.delivered;
        let joined = packets as f64 / traffic.writes.max(1) as f64;
        println!("| {name} | {mbps} | {measured:.1} | {late} | {packets} | {joined:.1} |");
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
