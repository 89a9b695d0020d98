//! `consensus`: acknowledged writes and linearizable reads, beside etcd, both syncing every commit.
//!
//! Closed loops: each of 1, 16, 64 and 256 clients has one request under way, over connections that
//! it keeps. A write carries 256 bytes and is acknowledged once a majority has it on disk. Ours are
//! measured at two doors:
//! - `https`: what users call, `POST /hosts/{id}/cordon` with a reason of 256 bytes: TLS, a token that
//!   is checked, JSON, an event and an audit trail, and the new state of the host in the answer;
//! - `quic`: the same command as members pass it on to the leader, with the key that makes a repeat
//!   harmless. This is the replicated core without JSON, as etcd's gRPC is etcd without it.
//!
//! etcd is written to over gRPC without TLS and without users. All writes go to the leader, reads to
//! all three members in turn, for both systems.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use novacron_tests::lab::binaries::Binaries;
use serde_json::json;

use self::client::{Client, Door, Target};
use crate::ConsensusArguments;
use crate::fleet::cluster::Cluster;
use crate::fleet::failover::Quorum as _;
use crate::fleet::peer::etcd::Etcd;
use crate::fleet::{Bench, say};
use crate::machine;
use crate::program::Program;
use crate::samples::{Samples, ms};
use crate::usage::written_bytes;

mod client;
mod grpc;
mod https;
mod quic;

const CLIENTS: [usize; 4] = [1, 16, 64, 256];
/// Connections are warm and files preallocated before anything counts.
const WARM_UP: Duration = Duration::from_millis(500);

/// What a point of the comparison came to.
#[derive(Debug, Clone)]
struct Point {
    per_second: f64,
    latencies: Samples,
    failed: u64,
    cpu_us_per_request: f64,
    written_per_request: f64,
}

pub(crate) fn run(arguments: ConsensusArguments) -> Result<()> {
    let binaries = Binaries::obtain()?;
    let out = arguments.out.unwrap_or_else(|| binaries.target.join("bench/consensus.jsonl"));
    let lasting = Duration::from_secs(if arguments.quick { 3 } else { 10 });
    let mut bench = Bench::begin(binaries, arguments.variables)?;
    let result = compare(&mut bench, lasting, &out);
    println!("\n{}\n{}", machine::description(), bench.table());
    println!("one JSON line per figure: {}", out.display());
    result
}

fn compare(bench: &mut Bench, lasting: Duration, out: &Path) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .context("start a runtime for clients")?;
    say("consensus: starting 3 members");
    let cluster = Cluster::start(bench, "consensus", 1)?;
    let leader = cluster.leader()?;
    let mut ours = Vec::new();
    for door in [Door::Quic, Door::Https, Door::HttpsRead] {
        let target = Target::ours(&cluster, leader, door)?;
        ours.push((door, measure(bench, &runtime, &target, &cluster.members, lasting)?));
    }
    let memory = resident(&cluster.members)?;
    let mut section = bench.section("novacron", json!({ "name": "memory" }));
    section.add_with_aim("rss_max_of_members", memory, "MiB", 60.0);
    bench.write(out)?;
    drop(cluster);
    let Some(etcd) = Etcd::start(bench)? else { return Ok(()) };
    let leader = etcd.leader()?;
    let mut theirs = Vec::new();
    for door in [Door::Grpc, Door::GrpcRead] {
        let target = Target::etcd(etcd.clients(), leader, door);
        theirs.push((door, measure(bench, &runtime, &target, etcd.members(), lasting)?));
    }
    let memory = resident(etcd.members())?;
    let mut section = bench.section("etcd", json!({ "name": "memory", "version": etcd.version }));
    section.add("rss_max_of_members", memory, "MiB");
    relate(bench, &ours, &theirs);
    bench.write(out)
}

/// Runs all numbers of clients against one target.
fn measure(
    bench: &mut Bench,
    runtime: &tokio::runtime::Runtime,
    target: &Target,
    members: &[Program],
    lasting: Duration,
) -> Result<Vec<Point>> {
    let mut points = Vec::new();
    for count in CLIENTS {
        let point = measure_point(runtime, target, members, count, lasting)?;
        say(&format!(
            "consensus: {} with {count} clients: {:.0}/s, p99 {:.2} ms",
            target.door.name(),
            point.per_second,
            ms(point.latencies.percentile(99))
        ));
        let case =
            json!({ "name": target.door.kind(), "via": target.door.name(), "clients": count });
        let mut section = bench.section(target.door.system(), case);
        section.add("per_second", point.per_second, "1/s");
        section.add_latency("latency", &point.latencies, None);
        section.add("failed", point.failed as f64, "requests");
        section.add("member_cpu_per_request", point.cpu_us_per_request, "us");
        section.add("written_per_request", point.written_per_request, "bytes");
        points.push(point);
    }
    Ok(points)
}

fn measure_point(
    runtime: &tokio::runtime::Runtime,
    target: &Target,
    members: &[Program],
    count: usize,
    lasting: Duration,
) -> Result<Point> {
    let clients: Vec<Client> = runtime.block_on(target.connect(count))?;
    let work = |for_how_long: Duration, clients: Vec<Client>| {
        runtime.block_on(async move {
            let until = Instant::now() + for_how_long;
            let tasks: Vec<_> =
                clients.into_iter().map(|client| tokio::spawn(client.work(until))).collect();
            let mut done = Vec::new();
            for task in tasks {
                done.push(task.await.context("a client panicked")?);
            }
            anyhow::Ok(done)
        })
    };
    let warm = work(WARM_UP, clients)?;
    let clients = warm.into_iter().map(|(client, _)| client).collect();
    let (cpu, bytes) = (cpu_seconds(members)?, written(members)?);
    let began = Instant::now();
    let done = work(lasting, clients)?;
    let took = began.elapsed().as_secs_f64();
    let cpu = cpu_seconds(members)? - cpu;
    let bytes = written(members)? - bytes;
    let latencies: Samples =
        done.iter().flat_map(|(_, done)| done.latencies.iter().copied()).collect();
    let count = latencies.len().max(1) as f64;
    Ok(Point {
        per_second: latencies.len() as f64 / took,
        failed: done.iter().map(|(_, done)| done.failed).sum(),
        latencies,
        cpu_us_per_request: cpu * 1e6 / count,
        written_per_request: bytes as f64 / count,
    })
}

/// Ours over theirs, with what issue 4 asks for.
fn relate(bench: &mut Bench, ours: &[(Door, Vec<Point>)], theirs: &[(Door, Vec<Point>)]) {
    for (door, points) in ours {
        let peer = if door.is_read() { Door::GrpcRead } else { Door::Grpc };
        let Some((_, peers)) = theirs.iter().find(|(door, _)| *door == peer) else { continue };
        for ((clients, point), peer) in CLIENTS.iter().zip(points).zip(peers) {
            let case = json!({ "name": "over etcd", "via": door.name(), "clients": clients, "peer": "etcd" });
            let mut section = bench.section("novacron", case);
            let rate = point.per_second / peer.per_second.max(1.0);
            section.add("rate_ratio", rate, "x");
            let ratio = |percent| {
                ms(point.latencies.percentile(percent)) / ms(peer.latencies.percentile(percent))
            };
            section.add("p50_ratio", ratio(50), "x");
            section.add("p99_ratio", ratio(99), "x");
        }
    }
}

fn cpu_seconds(members: &[Program]) -> Result<f64> {
    members.iter().map(|member| Ok(member.cpu()?.seconds())).sum()
}

fn written(members: &[Program]) -> Result<u64> {
    members.iter().map(|member| written_bytes(member.pid()?)).sum()
}

/// The largest member, in MiB.
fn resident(members: &[Program]) -> Result<f64> {
    let sizes: Result<Vec<u64>> =
        members.iter().map(|member| Ok(member.memory()?.rss_bytes)).collect();
    Ok(sizes?.into_iter().max().unwrap_or(0) as f64 / f64::from(1 << 20))
}
