//! Telemetry: batches as the agent makes them, and what the ways to send them cost.
//!
//! Each process of this machine stands for a VM: its counters are the kernel's, the rates the agent's.

use std::collections::BTreeMap;
use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use novacron_agent_core::telemetry::{VmCounters, VmRates};
use novacron_hde::telemetry::{BatchDecoder, BatchEncoder};
use novacron_protocol::wire::agent::FromAgent;
use novacron_protocol::wire::telemetry::{Batch, HostSample};
use novacron_protocol::{Timestamp, VmId, codec};
use serde_json::json;

use super::pipeline::processor_seconds;
use crate::report::Report;

/// Batches of a corpus: 20 minutes of an agent's, taken faster.
pub(crate) const COUNT: usize = 120;
const EVERY: Duration = Duration::from_millis(100);
/// Where the batches' clock begins, and its step: an agent's interval is 10 s.
const BEGIN_MS: u64 = 1_760_000_000_000;
const STEP_MS: u64 = 10_000;
const TICK_NS: u64 = 10_000_000;
const PAGE_BYTES: u64 = 4096;

/// Samples this machine `count` times.
pub(crate) fn of_this_machine(count: usize) -> Result<Vec<Batch>> {
    let (mut rates, mut batches) = (VmRates::default(), Vec::new());
    let (began, mut last) = (Instant::now(), Traffic::default());
    for at in 0..count {
        let (now, traffic) = (began.elapsed(), traffic());
        let vms = rates.handle_counters(now, processes());
        let per_s = |now: u64, then: u64| now.saturating_sub(then) * 10;
        let host = HostSample {
            net_rx_bytes_per_s: if at == 0 { 0 } else { per_s(traffic.rx, last.rx) },
            net_tx_bytes_per_s: if at == 0 { 0 } else { per_s(traffic.tx, last.tx) },
            ..host()
        };
        last = traffic;
        // A real clock is late by some ms.
        let late = u64::from(now.subsec_micros() / 100 % 5);
        batches.push(Batch { at: Timestamp(BEGIN_MS + STEP_MS * at as u64 + late), host, vms });
        thread::sleep(EVERY.saturating_sub(began.elapsed().saturating_sub(now)));
    }
    Ok(batches)
}

/// Bytes of a batch: as it is, with zstd, and coded.
pub(crate) fn run(report: &mut Report, count: usize) -> Result<()> {
    for vms in [10, usize::MAX] {
        let mut batches = of_this_machine(count)?;
        for batch in &mut batches {
            busiest(batch, vms);
        }
        let samples: usize = batches.iter().map(|batch| batch.vms.len() + 1).sum();
        let vms = batches.iter().map(|batch| batch.vms.len()).max().unwrap_or(0);
        let case = json!({ "name": format!("telemetry {vms} VMs"), "batches": count });
        let mut add = |system: &str, bytes: usize, seconds: f64| {
            let mut section = report.section(system, case.clone());
            section.add("bytes_per_sample", bytes as f64 / samples as f64, "bytes");
            section.add("processor_per_batch", seconds * 1e6 / count as f64, "us");
        };
        let began = processor_seconds();
        let plain: Result<Vec<Vec<u8>>, _> = batches
            .iter()
            .map(|batch| codec::encode(&FromAgent::Telemetry(batch.clone())))
            .collect();
        let plain = plain?;
        add("bincode", plain.iter().map(Vec::len).sum(), processor_seconds() - began);
        let (bytes, seconds) = each_alone(&plain)?;
        add("zstd3 each", bytes, seconds);
        let (bytes, seconds) = one_stream(&plain)?;
        add("zstd3 stream", bytes, seconds);
        let (bytes, seconds) = coded(&batches)?;
        add("novacron", bytes, seconds);
    }
    Ok(())
}

fn busiest(batch: &mut Batch, vms: usize) {
    batch.vms.sort_by_key(|vm| vm.vm);
    batch.vms.truncate(vms);
}

fn each_alone(plain: &[Vec<u8>]) -> Result<(usize, f64)> {
    let mut zstd = zstd::bulk::Compressor::new(3)?;
    let began = processor_seconds();
    let mut bytes = 0;
    for message in plain {
        bytes += zstd.compress(message)?.len();
    }
    Ok((bytes, processor_seconds() - began))
}

fn one_stream(plain: &[Vec<u8>]) -> Result<(usize, f64)> {
    use std::io::Write as _;
    let began = processor_seconds();
    let mut stream = zstd::Encoder::new(Vec::new(), 3)?;
    for message in plain {
        stream.write_all(message)?;
        stream.flush()?;
    }
    let bytes = stream.get_ref().len();
    Ok((bytes, processor_seconds() - began))
}

fn coded(batches: &[Batch]) -> Result<(usize, f64)> {
    let (mut encoder, mut decoder) = (BatchEncoder::default(), BatchDecoder::default());
    let (mut bytes, mut seconds) = (0, 0.0);
    for batch in batches {
        let began = processor_seconds();
        let message = encoder.encode(batch)?;
        let message = codec::encode(&FromAgent::CodedTelemetry(message))?;
        seconds += processor_seconds() - began;
        bytes += message.len();
        let Ok(FromAgent::CodedTelemetry(message)) = FromAgent::open(&message) else {
            anyhow::bail!("the message is not what it was")
        };
        ensure!(decoder.decode(&message)? == *batch, "a batch did not come back");
    }
    Ok((bytes, seconds))
}

/// The counters of each process, by an id made of its number.
fn processes() -> BTreeMap<VmId, VmCounters> {
    let numbers = fs::read_dir("/proc").into_iter().flatten();
    let numbers = numbers.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<u32>().ok());
    numbers.filter_map(|pid| Some((vm_id(pid), process(pid)?))).take(500).collect()
}

/// As random as an id made by a member, and the same for the same process.
fn vm_id(pid: u32) -> VmId {
    let digest = novacron_protocol::Digest::of(&pid.to_le_bytes());
    let bytes = digest.0.first_chunk().expect("a digest has 32 bytes");
    VmId::from_uuid(uuid::Uuid::from_bytes(*bytes))
}

fn process(pid: u32) -> Option<VmCounters> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, fields) = stat.rsplit_once(") ")?;
    let fields: Vec<u64> = fields.split(' ').map(|field| field.parse().unwrap_or(0)).collect();
    let io = fs::read_to_string(format!("/proc/{pid}/io")).unwrap_or_default();
    let of = |key: &str| -> u64 {
        let line = io.lines().find_map(|line| line.strip_prefix(key));
        line.and_then(|value| value.trim().parse().ok()).unwrap_or(0)
    };
    Some(VmCounters {
        cpu_time_ns: (fields.get(11)? + fields.get(12)?) * TICK_NS,
        memory_bytes: fields.get(21)? * PAGE_BYTES,
        disk_read_bytes: of("read_bytes:"),
        disk_write_bytes: of("write_bytes:"),
        net_rx_bytes: of("rchar:"),
        net_tx_bytes: of("wchar:"),
    })
}

#[derive(Debug, Clone, Copy, Default)]
struct Traffic {
    rx: u64,
    tx: u64,
}

fn traffic() -> Traffic {
    let text = fs::read_to_string("/proc/net/dev").unwrap_or_default();
    text.lines().filter_map(|line| line.split_once(':')).fold(
        Traffic::default(),
        |sum, (_, rest)| {
            let fields: Vec<u64> = rest.split_whitespace().filter_map(|f| f.parse().ok()).collect();
            let field = |at: usize| fields.get(at).copied().unwrap_or(0);
            Traffic { rx: sum.rx + field(0), tx: sum.tx + field(8) }
        },
    )
}

fn host() -> HostSample {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let memory = read("/proc/meminfo");
    let kib = |key: &str| -> u64 {
        let line = memory.lines().find_map(|line| line.strip_prefix(key));
        let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
        kib.unwrap_or(0) * 1024
    };
    let load: f64 =
        read("/proc/loadavg").split(' ').next().and_then(|f| f.parse().ok()).unwrap_or(0.0);
    let (total, free) = rustix::fs::statvfs("/")
        .map_or((0, 0), |found| (found.f_blocks * found.f_frsize, found.f_bavail * found.f_frsize));
    HostSample {
        cpu_busy_permille: (load * 500.0).clamp(0.0, 1000.0) as u16,
        load1_milli: (load * 1000.0) as u32,
        memory_used_bytes: kib("MemTotal:").saturating_sub(kib("MemAvailable:")),
        memory_total_bytes: kib("MemTotal:"),
        disk_used_bytes: total.saturating_sub(free),
        disk_total_bytes: total,
        net_rx_bytes_per_s: 0,
        net_tx_bytes_per_s: 0,
    }
}
