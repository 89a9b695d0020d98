//! From the request to the running VM, under a steady load.
//!
//! A create is timed from when it was due, so it includes the answer to the request itself; its end
//! is when the client reads in an event stream that the operation is done, which is when the agent's
//! report of the running VM is committed and applied. One clock, the client's.

use std::collections::HashMap;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use novacron_protocol::OperationId;
use serde_json::json;

use super::cluster::Cluster;
use super::{Bench, say};
use crate::api::{Ended, Outcome};
use crate::load::{Exchange, Load};
use crate::samples::{Samples, ms};
use crate::usage::Disturbance;

/// Which members the client talks to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Via {
    /// Requests go to all members in turn, events come from a follower: no client knows who leads.
    Any,
    /// Requests and events through the leader only.
    Leader,
}

pub(super) fn run(bench: &mut Bench) -> Result<()> {
    measure(bench, Via::Any)?;
    measure(bench, Via::Leader)
}

fn measure(bench: &mut Bench, via: Via) -> Result<()> {
    let via_name = if via == Via::Any { "any" } else { "leader" };
    say(&format!("create via {via_name}: starting 3 members and {HOSTS} hosts"));
    let cluster = Cluster::start(bench, &format!("create-{via_name}"), HOSTS)?;
    let leader = cluster.leader()?;
    let follower = (leader + 1) % cluster.api.count();
    let ended = cluster.api.follow_operations(if via == Via::Any { follower } else { leader })?;
    let create = |prefix: &str, number: usize| {
        let at = if via == Via::Any { number % cluster.api.count() } else { leader };
        cluster.api.create_vm(at, &format!("{prefix}-{number}"), cluster.image)
    };
    // Connections, handshakes and first pages are of a client's first second, not of a create.
    let warm_up = Load::lasting(RATE, WARM_UP).run(|number| create("warm", number));
    let warmed = collect(&ended, &warm_up)?.done;

    say(&format!("create via {via_name}: {RATE} a second for {:?}", bench.scale.create_for));
    let disturbance = Disturbance::begin(&cluster.pids())?;
    let cpu_before = cpu_seconds(&cluster, None)?;
    let began = Instant::now();
    let creates = Load::lasting(RATE, bench.scale.create_for).run(|number| create("vm", number));
    let ends = collect(&ended, &creates)?;
    let took = began.elapsed().as_secs_f64();
    let foreign = disturbance.percent(&cluster.pids())?;
    let cpu = cpu_seconds(&cluster, Some(&cpu_before))?;

    let created = creates.iter().filter(|create| create.answer.is_ok()).count();
    let running = cluster.api.cluster(leader)?.counts.vms_running as usize;
    let done = ends.done + warmed;
    ensure!(running >= done, "{done} creates are said to be done, but {running} VMs run");
    let case = bench.case(json!({
        "name": "create", "via": via_name, "members": 3, "hosts": HOSTS, "per_second": RATE,
        "seconds": bench.scale.create_for.as_secs(),
    }));
    let mut section = bench.report.section("novacron", case);
    section.add_latency("create_to_running", &ends.from_due, Some(AIM_MS));
    // Whether it gets slower as the fleet grows.
    section.add("first_third_p99", ms(ends.first_third.percentile(99)), "ms");
    section.add("last_third_p99", ms(ends.last_third.percentile(99)), "ms");
    section.add_latency("accepted_to_running", &ends.from_accepted, Some(AIM_MS));
    section.add_latency("accept", &accept_latency(&creates), None);
    section.add("creates", creates.len() as f64, "requests");
    section.add("refused", (creates.len() - created) as f64, "requests");
    section.add("not_running", (created - ends.done) as f64, "VMs");
    section.add("leader_cpu", cpu.leader * 100.0 / took, "% of a CPU");
    section.add("all_members_cpu", cpu.members * 100.0 / took, "% of a CPU");
    section.add("all_agents_cpu", cpu.agents * 100.0 / took, "% of a CPU");
    section.add("other_work", foreign, "% of machine");
    Ok(())
}

/// What became of the creates that were accepted.
struct Ends {
    from_due: Samples,
    /// Of those that were due first, and last.
    first_third: Samples,
    last_third: Samples,
    from_accepted: Samples,
    done: usize,
}

/// Waits for the end of every create that was accepted.
fn collect(ended: &Receiver<Ended>, creates: &[Exchange<OperationId>]) -> Result<Ends> {
    if let Some(error) = creates.iter().find_map(|create| create.answer.as_ref().err()) {
        say(&format!("a create was refused: {error:#}"));
    }
    let mut open: HashMap<OperationId, &Exchange<OperationId>> =
        creates.iter().filter_map(|create| Some((*create.answer.as_ref().ok()?, create))).collect();
    let deadline = Instant::now() + END_WITHIN;
    let (mut from_due, mut from_accepted) = (Vec::new(), Vec::new());
    while !open.is_empty() {
        match ended.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(ended) => {
                let Some(create) = open.remove(&ended.operation) else { continue };
                if ended.outcome == Outcome::Done {
                    from_due.push((create.due, ended.at.saturating_duration_since(create.due)));
                    // The event may overtake the answer: then it ran when it was accepted.
                    from_accepted.push(ended.at.saturating_duration_since(create.answered));
                }
            }
            Err(RecvTimeoutError::Timeout) => break,
            Err(RecvTimeoutError::Disconnected) => {
                return Err(RecvTimeoutError::Disconnected).context("the event stream ended");
            }
        }
    }
    let done = from_due.len();
    from_due.sort_unstable();
    let latencies =
        |part: &[(Instant, Duration)]| part.iter().map(|(_, latency)| *latency).collect();
    Ok(Ends {
        from_due: latencies(&from_due),
        first_third: latencies(&from_due[..done / 3]),
        last_third: latencies(&from_due[done - done / 3..]),
        from_accepted: from_accepted.into_iter().collect(),
        done,
    })
}

fn accept_latency(creates: &[Exchange<OperationId>]) -> Samples {
    let accepted = creates.iter().filter(|create| create.answer.is_ok());
    accepted.map(|create| create.answered.saturating_duration_since(create.due)).collect()
}

/// Processor seconds, by who used them.
struct CpuSeconds {
    counters: Vec<crate::usage::Cpu>,
    leader: f64,
    members: f64,
    agents: f64,
}

fn cpu_seconds(cluster: &Cluster, before: Option<&CpuSeconds>) -> Result<CpuSeconds> {
    let programs = cluster.members.iter().chain(&cluster.agents);
    let counters = programs.map(crate::program::Program::cpu).collect::<Result<Vec<_>>>()?;
    let used: Vec<f64> = match before {
        Some(before) => counters
            .iter()
            .zip(&before.counters)
            .map(|(now, then)| now.seconds_since(*then))
            .collect(),
        None => vec![0.0; counters.len()],
    };
    let (members, agents) = used.split_at(cluster.members.len());
    let leader = members[cluster.leader()?];
    Ok(CpuSeconds { leader, members: members.iter().sum(), agents: agents.iter().sum(), counters })
}

const HOSTS: u32 = 10;
const RATE: u32 = 50;
const WARM_UP: Duration = Duration::from_secs(2);
/// Issue 2, acceptance 5.
const AIM_MS: f64 = 100.0;
/// After the last create; what has not ended by then counts as not running.
const END_WITHIN: Duration = Duration::from_secs(30);
