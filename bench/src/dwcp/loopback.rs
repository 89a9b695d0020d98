//! Line 7: what encryption and system calls leave of a loopback interface at Ethernet's MTU.
//!
//! One session, both ends on this machine: goodput, and processor time for each gigabyte of it.
//! Every system has its own default windows here: larger ones only leave the caches.

use std::thread;
use std::time::Duration;

use anyhow::Result;
use novacron_protocol::wire::Class;
use novacron_workload::clock::now_us;
use serde_json::{Value, json};

use super::exchange::{Exchange, Plan};
use super::place::Loopback;
use super::runs::Medians;
use super::system::System;
use super::{Bench, say};

pub(super) fn run(bench: &mut Bench) -> Result<()> {
    let loopback = Loopback::create(&bench.new_dir("loopback")?)?;
    let streams: &[u8] = if bench.quick { &[1] } else { &[1, 4] };
    for &streams in streams {
        let systems = bench.systems();
        let case = json!({ "name": "loopback", "mtu_bytes": 1500, "streams": streams });
        let plan = plan(streams, None);
        measure(bench, &loopback, &case, &systems, |_| plan.clone())?;
    }
    if bench.quick {
        return Ok(());
    }
    for class in Class::ALL.into_iter().filter(|class| *class != Class::Bulk) {
        let systems = bench.only_ours();
        let case = json!({
            "name": "loopback", "mtu_bytes": 1500, "streams": 1, "class": class.as_str(),
        });
        measure(bench, &loopback, &case, &systems, |_| plan(1, Some(class)))?;
    }
    Ok(())
}

fn plan(streams: u8, class: Option<Class>) -> Plan {
    Plan { class, ..Plan::bulk(streams, Duration::ZERO, WARM_UP + WINDOW + SLACK) }
}

fn measure(
    bench: &mut Bench,
    loopback: &Loopback,
    case: &Value,
    systems: &[System],
    plan_of: impl Fn(System) -> Plan,
) -> Result<()> {
    let mut medians = Medians::default();
    for (run, system) in bench.turns(systems) {
        match once(bench, loopback, system, &plan_of(system)) {
            Ok((mbps, cpu)) => {
                say(&format!(
                    "loopback: {} run {run}: {mbps:.0} Mbit/s, {cpu:.2} CPU s/GB",
                    system.as_str()
                ));
                medians.add(system, "goodput", mbps, "Mbit/s");
                medians.add(system, "cpu", cpu, "CPU s/GB");
            }
            Err(error) => medians.fail(system, "goodput", "Mbit/s", &error),
        }
    }
    bench.report(case, &medians);
    Ok(())
}

fn once(bench: &Bench, loopback: &Loopback, system: System, plan: &Plan) -> Result<(f64, f64)> {
    let mut exchange = Exchange::start(bench, system, &loopback.places(), None)?;
    exchange.send(bench, plan)?;
    thread::sleep(WARM_UP);
    let (from_us, before) = (now_us(), exchange.cpu()?);
    thread::sleep(WINDOW);
    let (to_us, after) = (now_us(), exchange.cpu()?);
    let told = exchange.finish(WARM_UP + WINDOW + SLACK)?;
    let used: f64 =
        after.iter().zip(&before).map(|(after, before)| after.seconds_since(*before)).sum();
    let mbps = told.mbps(0, from_us, to_us);
    let gigabytes = mbps * (to_us - from_us) as f64 / 1e6 / 8e3;
    Ok((mbps, used / gigabytes.max(f64::MIN_POSITIVE)))
}

const WARM_UP: Duration = Duration::from_secs(1);
const WINDOW: Duration = Duration::from_secs(3);
/// The plan outlasts the window, or its end would be in it.
const SLACK: Duration = Duration::from_millis(300);
