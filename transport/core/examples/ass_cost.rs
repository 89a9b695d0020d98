//! What a decision of the stream scheduler costs: `cargo run --release -p novacron-transport-core
//! --example ass_cost`. A decision is a `poll_grant` with its `handle_sent`; the median of 21 rounds
//! of 100,000 is printed.

use std::hint::black_box;
use std::time::{Duration, Instant};

use novacron_protocol::Bitrate;
use novacron_protocol::wire::Class;
use novacron_transport_core::ass::{Ass, Policy};

const ROUNDS: usize = 21;
const DECISIONS: u32 = 100_000;

struct Case {
    name: &'static str,
    policy: Policy,
    busy: &'static [Class],
    /// A telemetry message with a deadline is queued before every so many decisions.
    deadline_every: Option<u32>,
}

fn cases() -> [Case; 6] {
    let plain = Policy::default;
    let caps = Class::ALL
        .into_iter()
        .fold(plain(), |policy, class| policy.with_cap(class, Some(Bitrate::gbit(100))))
        .with_site_cap(Some(Bitrate::gbit(100)));
    let shared = &Class::ALL[2..];
    // Telemetry is what the deadlines are on.
    let others = &[Class::Event, Class::Console, Class::Migration, Class::Bulk];
    [
        Case { name: "bulk alone", policy: plain(), busy: &[Class::Bulk], deadline_every: None },
        Case { name: "five shares", policy: plain(), busy: shared, deadline_every: None },
        Case { name: "all seven", policy: plain(), busy: &Class::ALL, deadline_every: None },
        Case {
            name: "all seven, caps",
            policy: caps.clone(),
            busy: &Class::ALL,
            deadline_every: None,
        },
        Case { name: "deadlines", policy: plain(), busy: others, deadline_every: Some(4) },
        Case { name: "deadlines, caps", policy: caps, busy: others, deadline_every: Some(4) },
    ]
}

fn main() {
    println!("{:<18} {:>12}", "classes", "ns/decision");
    for case in cases() {
        let mut rounds: Vec<f64> = (0..ROUNDS).map(|_| round(&case)).collect();
        rounds.sort_by(f64::total_cmp);
        println!("{:<18} {:>12.1}", case.name, rounds[ROUNDS / 2]);
    }
}

/// Nanoseconds per decision.
fn round(case: &Case) -> f64 {
    let mut now = Duration::from_secs(1);
    let mut ass = Ass::new(case.policy.clone(), now);
    ass.handle_bandwidth(Bitrate::gbit(10));
    for class in case.busy {
        ass.handle_queued(now, *class, 1 << 50, None);
    }
    // Enough for the caps to be there and not to stop anybody.
    let step = Duration::from_micros(10);
    let start = Instant::now();
    for decision in 0..DECISIONS {
        now += step;
        if case.deadline_every.is_some_and(|every| decision.is_multiple_of(every)) {
            ass.handle_queued(now, Class::Telemetry, 1_000, Some(now + Duration::from_millis(4)));
        }
        let grant = black_box(&mut ass).poll_grant(now, 64 << 10).expect("somebody may send");
        ass.handle_sent(now, grant.class, grant.bytes);
    }
    start.elapsed().as_nanos() as f64 / f64::from(DECISIONS)
}
