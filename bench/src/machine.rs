//! What the figures were taken on: without it they say nothing.

use std::fs::{self, File};
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::Path;
use std::sync::atomic::{AtomicU16, Ordering};
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result};

use crate::samples::Samples;

/// Processors, their model, memory and kernel, in a line.
pub(crate) fn description() -> String {
    let processors = thread::available_parallelism().map_or(0, usize::from);
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let field = |text: &str, key: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(key)).map(str::to_owned);
        line.map(|rest| rest.trim_matches([' ', '\t', ':']).to_owned()).unwrap_or_default()
    };
    let model = field(&read("/proc/cpuinfo"), "model name");
    let memory = field(&read("/proc/meminfo"), "MemTotal");
    let kib: u64 = memory.trim_end_matches(" kB").parse().unwrap_or(0);
    let kernel = read("/proc/sys/kernel/osrelease");
    format!("{processors} x {model}, {} GiB, Linux {}", kib >> 20, kernel.trim())
}

/// How long `fdatasync` after a small write takes where the data is: every acknowledged write waits
/// for a few of them.
pub(crate) fn sync_latency(dir: &Path) -> Result<Samples> {
    let path = dir.join("sync-probe");
    let mut file = File::create(&path).with_context(|| format!("make {}", path.display()))?;
    let once = |_| {
        file.write_all(&[0x5a; 512])?;
        let began = Instant::now();
        file.sync_data()?;
        Ok(began.elapsed())
    };
    let samples: std::io::Result<Samples> = (0..SYNCS).map(once).collect();
    fs::remove_file(&path)?;
    samples.context("measure fdatasync")
}

/// A loopback address on which nobody listens, neither for UDP nor for TCP. Each call gives another.
///
/// Below the range from which the kernel takes ports for outgoing connections: while a killed
/// member is down, nothing must take its port.
pub(crate) fn free_address() -> Result<SocketAddr> {
    static NEXT: AtomicU16 = AtomicU16::new(PORT_FIRST);
    loop {
        let port = NEXT.fetch_add(1, Ordering::Relaxed);
        anyhow::ensure!(port < PORT_END, "no port below {PORT_END} is free");
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        if TcpListener::bind(address).is_ok() && UdpSocket::bind(address).is_ok() {
            return Ok(address);
        }
    }
}

const SYNCS: u32 = 100;
const PORT_FIRST: u16 = 21_000;
/// Where Linux begins with ports of outgoing connections.
const PORT_END: u16 = 32_768;
