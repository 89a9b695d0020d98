//! The demo: a fleet that runs, loses its leader, and goes on.
//!
//! Every line it prints is the answer of a real process. It ends with the fleet left running, or,
//! with [`Ending::TakeDown`], with nothing left and a status for scripts.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use novacron_protocol::api::vm::VmStatus;

use crate::lab::fleet::Fleet;
use crate::lab::guest::{self, Guest};
use crate::lab::hypervisor::{self, Acceleration, Driver};
use crate::lab::{Lab, Plan, binaries, privilege, teardown};
use crate::wait;

pub mod narrator;

use narrator::Narrator;

/// What becomes of the fleet at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    LeaveRunning,
    TakeDown,
}

/// Runs the whole demo.
pub fn run(ending: Ending) -> Result<()> {
    let begun = Instant::now();
    let mut story = Narrator::new();
    let driver = choose_driver(&mut story);
    if teardown::existing()?.contains(NAME) {
        story.step("clearing", "the demo that ran before is taken down");
        teardown::down(NAME)?;
        story.done("the demo that ran before is gone");
    }
    let mut lab = build_lab(&mut story, driver)?;
    start_fleet(&mut story, &mut lab)?;
    let fleet = lab.fleet();
    run_vms(&mut story, &fleet, &lab.guest, driver)?;
    lose_the_leader(&mut story, &mut lab, &fleet, driver)?;
    show_fleet(&mut story, &fleet)?;
    return_the_leader(&mut story, &mut lab, &fleet)?;
    end(&mut story, lab, ending, begun.elapsed())
}

/// Takes the demo down, with its door.
pub fn down() -> Result<()> {
    teardown::down(NAME)?;
    let _ = fs::remove_dir_all(door()?.parent().context("the door is in a directory")?);
    Ok(())
}

/// The script that a person types to talk to the demo.
pub fn door() -> Result<PathBuf> {
    Ok(binaries::target_dir()?.join(NAME).join("novacron"))
}

fn choose_driver(story: &mut Narrator) -> Driver {
    let driver = Driver::best();
    match (driver, hypervisor::qemu_version()) {
        (Driver::Qemu, Ok(version)) => {
            story.title(&format!("3 members, 3 hosts, QEMU {version} on this machine"));
        }
        _ => {
            story.title("3 members, 3 hosts, libvirt's test driver");
            story.note("QEMU or libvirtd is missing here, so no guest really boots");
        }
    }
    driver
}

fn build_lab(story: &mut Narrator, driver: Driver) -> Result<Lab> {
    story.step("guest", "building a tiny bootable guest from Debian's kernel");
    let cache = binaries::guest_cache(&binaries::target_dir()?);
    let guest = Guest::obtain(&cache)?;
    let size = fs::metadata(&guest.kernel)?.len() + fs::metadata(&guest.initrd)?.len();
    story.done(&format!("a bootable Linux of {} MB, from Debian's kernel", size / 1_000_000));
    if driver == Driver::Qemu {
        story.step("probe", "does a guest boot with KVM here?");
        let said = match Acceleration::probe(&guest, &cache)? {
            Acceleration::Kvm => "guests run on KVM",
            Acceleration::Tcg => "KVM boots no guest here: QEMU emulates the processor",
        };
        story.done(said);
    }

    story.step("machines", "laying out namespaces, a bridge and cables");
    let plan = Plan { name: NAME.to_owned(), members: 3, hosts: 3, driver };
    let mut lab = Lab::lay_out(plan)?;
    story.done("3 hosts, each with network and mounts of its own");

    if driver == Driver::Qemu {
        story.step("libvirt", "starting a libvirtd on each host");
        lab.start_hypervisors()?;
        story.done("a libvirtd of its own on each host");
    }
    Ok(lab)
}

fn start_fleet(story: &mut Narrator, lab: &mut Lab) -> Result<()> {
    story.step("members", "m1 makes the cluster");
    lab.start_first_member()?;
    for at in 1..lab.members.len() {
        story.progress(&format!("{} joins with a one-time token", lab.members[at].name()));
        lab.start_further_member(at)?;
    }
    story.progress("all three become voters");
    lab.fleet().wait_complete(lab.plan.members, 0, LIMIT)?;
    story.done(&format!("3 voters, leader {}", lab.fleet().leader()?));

    story.step("agents", "each host joins with a one-time token");
    lab.start_agents()?;
    lab.fleet().wait_complete(lab.plan.members, lab.plan.hosts, LIMIT)?;
    story.done("3 hosts connected over QUIC with mutual TLS");
    Ok(())
}

fn run_vms(story: &mut Narrator, fleet: &Fleet, guest: &Guest, driver: Driver) -> Result<()> {
    story.step("image", "importing it: chunks, checksums, copies on every member");
    fleet.import_linux(IMAGE, guest)?;
    story.done("image `tiny` imported and kept by the members");

    story.step("vms", "asking for four VMs");
    for vm in VMS {
        fleet.create_detached(vm, IMAGE)?;
    }
    for (at, vm) in VMS.iter().enumerate() {
        story.progress(&format!("{at} of {} run", VMS.len()));
        fleet.wait_state(vm, VmStatus::Running, LIMIT)?;
    }
    story.done("four VMs placed, started and seen running");
    story.shows("novacron vm list", &fleet.cli.run(&["vm", "list"])?);
    if driver == Driver::Qemu {
        show_consoles(story, fleet)?;
    }
    let explain = fleet.cli.run(&["vm", "explain", VMS[0]])?;
    story.shows(&format!("novacron vm explain {}", VMS[0]), &explain);
    Ok(())
}

/// The line with which each guest says that it is up, from its own serial console.
fn show_consoles(story: &mut Narrator, fleet: &Fleet) -> Result<()> {
    story.step("guests", "waiting for each guest's word on its serial console");
    let mut said = String::new();
    for vm in VMS {
        let console = fleet.wait_booted(vm, LIMIT)?;
        let marker = console.lines().find(|line| line.contains(guest::READY)).unwrap_or_default();
        said += &format!("{vm:<8} {}\n", marker.trim());
    }
    story.done("all four booted: the UUID in each marker is that VM's own");
    story.shows("novacron vm console NAME", &said);
    Ok(())
}

fn lose_the_leader(
    story: &mut Narrator,
    lab: &mut Lab,
    fleet: &Fleet,
    driver: Driver,
) -> Result<()> {
    let old = fleet.leader()?;
    story.step("failure", &format!("kill -9 {old}, the leader"));
    lab.member_mut(&old)?.daemon.kill()?;
    let killed = Instant::now();
    fleet.create_detached(AFTER, IMAGE).context("create a VM without the old leader")?;
    let acknowledged = killed.elapsed();
    story.progress(&format!("acknowledged after {}; waiting for it to run", seconds(acknowledged)));
    fleet.wait_state(AFTER, VmStatus::Running, LIMIT)?;
    let running = killed.elapsed();
    let new =
        wait::until("a new leader", LIMIT, || Ok(Some(fleet.leader()?).filter(|l| *l != old)))?;
    story.done(&format!(
        "killed {old}; {new} leads; the next VM was acknowledged {} later and ran after {}",
        seconds(acknowledged),
        seconds(running),
    ));
    if driver == Driver::Qemu {
        let before = guest::newest_tick(&fleet.console(VMS[0])?);
        story.step("guests", "do the others still tick?");
        wait::for_true("the next tick", LIMIT, || {
            Ok(guest::newest_tick(&fleet.console(VMS[0])?) > before)
        })?;
        let tick = guest::newest_tick(&fleet.console(VMS[0])?).unwrap_or_default();
        story.done(&format!("{} never noticed: tick {tick}", VMS[0]));
    }
    Ok(())
}

fn show_fleet(story: &mut Narrator, fleet: &Fleet) -> Result<()> {
    for args in [["member", "list"], ["host", "list"], ["vm", "list"]] {
        story.shows(&format!("novacron {}", args.join(" ")), &fleet.cli.run(&args)?);
    }
    let metrics = wait::until("metrics of h1", LIMIT, || {
        let shown = fleet.cli.run(&["host", "metrics", "h1"])?;
        Ok(Some(shown).filter(|shown| shown.lines().count() > 1))
    })?;
    story.shows("novacron host metrics h1", &newest_lines(&metrics, METRIC_LINES));
    Ok(())
}

fn return_the_leader(story: &mut Narrator, lab: &mut Lab, fleet: &Fleet) -> Result<()> {
    let killed =
        lab.members.iter_mut().find_map(|member| (!member.daemon.is_running()).then_some(member));
    let member = killed.context("one member was killed")?;
    story.step("return", &format!("starting {} again", member.name()));
    member.daemon.start()?;
    let number = member.number;
    fleet.wait_complete(lab.plan.members, lab.plan.hosts, LIMIT)?;
    // It must know what happened while it was dead.
    wait::for_true("the returned member to know every VM", LIMIT, || {
        let vms = fleet.via(number).vms()?;
        Ok(vms.len() == VMS.len() + 1 && vms.iter().all(|vm| vm.state == VmStatus::Running))
    })?;
    story.done("back from its own disk, and it knows what it missed");
    Ok(())
}

fn end(story: &mut Narrator, lab: Lab, ending: Ending, took: Duration) -> Result<()> {
    if ending == Ending::TakeDown {
        story.step("end", "taking everything down");
        lab.take_down()?;
        story.done("nothing left: no process, namespace, mount or file");
        story.closing(&format!("The demo passed in {}.", seconds(took)));
        return Ok(());
    }
    let door = door()?;
    lab.cli().write_wrapper(&door)?;
    privilege::give_back(door.parent().context("the door is in a directory")?);
    privilege::give_back(&binaries::target_dir()?.join("lab"));
    lab.leave_running();
    let shown = std::env::current_dir()
        .ok()
        .and_then(|here| Some(door.strip_prefix(here).ok()?.to_owned()));
    let door = shown.map_or(door.display().to_string(), |path| format!("./{}", path.display()));
    story.closing(&format!(
        "The fleet runs; it took {}. Try next:\n\n    \
         {door} vm create mine --image tiny --memory 128MiB\n    \
         {door} vm console mine\n    \
         {door} event list --follow\n\n\
         `make demo-down` takes it all away.",
        seconds(took),
    ));
    Ok(())
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

/// The heading of a table with its last `count` lines.
fn newest_lines(table: &str, count: usize) -> String {
    let lines: Vec<&str> = table.lines().collect();
    let skipped = lines.len().saturating_sub(count).max(1);
    let kept = lines.iter().take(1).chain(lines.iter().skip(skipped));
    kept.fold(String::new(), |text, line| text + line + "\n")
}

/// The lab that the demo runs in.
pub const NAME: &str = "demo";
const IMAGE: &str = "tiny";
const VMS: [&str; 4] = ["web-1", "web-2", "db-1", "cache-1"];
const AFTER: &str = "after-1";
const METRIC_LINES: usize = 5;
/// No step takes longer than this on two busy cores; a step that does has failed.
const LIMIT: Duration = Duration::from_secs(90);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_table_keeps_its_heading_and_its_newest_lines() {
        assert_eq!(newest_lines("AT CPU\n1\n2\n3\n", 2), "AT CPU\n2\n3\n");
        assert_eq!(newest_lines("AT CPU\n1\n", 5), "AT CPU\n1\n");
    }
}
