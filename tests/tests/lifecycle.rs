//! Acceptance 2: real guests on several hosts boot, stop, restart and are deleted, and nothing is
//! left of them.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Context, Result};
use novacron_protocol::api::vm::{VmStatus, VmView};
use novacron_tests::lab::agent::Host;
use novacron_tests::lab::fleet::Fleet;
use novacron_tests::lab::hypervisor::{self, Driver};
use novacron_tests::lab::privilege::{Privilege, acquire_for_test};
use novacron_tests::lab::{Lab, Plan, guest, namespace, network, teardown};
use novacron_tests::wait;

const LAB: &str = "life";
const LINUX: [&str; 3] = ["life-one", "life-two", "life-three"];
const DISK: &str = "life-disk";

#[test]
fn guests_boot_stop_restart_and_are_deleted_without_a_trace() -> Result<()> {
    let name = "guests_boot_stop_restart_and_are_deleted_without_a_trace";
    if acquire_for_test(name)? == Privilege::Delegated {
        return Ok(());
    }
    let plan = Plan { name: LAB.to_owned(), members: 3, hosts: 3, driver: Driver::Qemu };
    let lab = Lab::for_test(plan)?;
    let fleet = lab.fleet();
    fleet.import_linux("tiny", &lab.guest)?;
    fleet.import_disk("sector", &lab.guest)?;

    boot(&lab, &fleet)?;
    stop_and_start(&lab, &fleet)?;
    restart(&fleet)?;
    delete(&lab, &fleet)?;

    lab.take_down()?;
    assert!(!teardown::existing()?.contains(LAB), "the lab left something");
    let left = namespace::NetNamespace::existing(|name| network::lab_of(name) == Some(LAB))?;
    assert_eq!(left, []);
    Ok(())
}

fn boot(lab: &Lab, fleet: &Fleet) -> Result<()> {
    for vm in LINUX {
        fleet.create(vm, "tiny")?;
    }
    fleet.create(DISK, "sector")?;
    let vms = fleet.vms()?;
    assert_eq!(vms.len(), 4);
    for vm in &vms {
        assert_eq!(vm.state, VmStatus::Running, "{}", vm.name);
        assert_only_on_its_host(lab, vm)?;
    }
    let linux = vms.iter().filter(|vm| LINUX.contains(&vm.name.as_str()));
    let used: BTreeSet<String> = linux.map(|vm| host_of(vm).unwrap_or_default()).collect();
    assert_eq!(used.len(), 3, "three equal VMs go to three equal hosts, not {used:?}");
    for vm in LINUX {
        let console = fleet.wait_booted(vm, BOOT)?;
        assert_eq!(boots(fleet, vm)?, 1, "{console}");
    }
    wait::for_true("the boot sector's text", BOOT, || {
        Ok(fleet.console(DISK)?.contains(guest::DISK_READY))
    })?;
    let disk = fleet.vm(DISK)?;
    let overlays = lab.host(&host_of(&disk)?)?.files_about(&disk.id.to_string())?;
    assert!(!overlays.is_empty(), "a VM with a disk has an overlay on its host");
    Ok(())
}

fn stop_and_start(lab: &Lab, fleet: &Fleet) -> Result<()> {
    let [vm, ..] = LINUX;
    fleet.cli.run(&["vm", "stop", vm])?;
    let stopped = fleet.vm(vm)?;
    assert_eq!(stopped.state, VmStatus::Stopped);
    assert!(!is_running(lab.host(&host_of(&stopped)?)?, &stopped)?);
    assert!(fleet.console(vm)?.contains(guest::STOPPING), "it was not asked politely");
    fleet.cli.run(&["vm", "start", vm])?;
    wait::for_true("the second boot", BOOT, || Ok(boots(fleet, vm)? == 2))?;

    // The boot sector hears no power button.
    fleet.cli.run(&["vm", "stop", "--force", DISK])?;
    assert_eq!(fleet.vm(DISK)?.state, VmStatus::Stopped);
    Ok(())
}

fn restart(fleet: &Fleet) -> Result<()> {
    let [_, vm, other] = LINUX;
    fleet.cli.run(&["vm", "restart", vm])?;
    assert_eq!(fleet.vm(vm)?.state, VmStatus::Running);
    wait::for_true("the second boot", BOOT, || Ok(boots(fleet, vm)? == 2))?;
    assert_eq!(boots(fleet, other)?, 1, "nobody touched {other}");
    Ok(())
}

fn delete(lab: &Lab, fleet: &Fleet) -> Result<()> {
    let vms = fleet.vms()?;
    for vm in &vms {
        fleet.cli.run(&["vm", "delete", vm.name.as_str()])?;
    }
    assert_eq!(fleet.vms()?, []);
    for host in &lab.hosts {
        assert_eq!(host.domains()?, [], "{}", host.name());
        assert_eq!(hypervisor::qemu_pids(&host.space)?, Vec::<i32>::new(), "{}", host.name());
        for vm in &vms {
            let about =
                [host.files_about(&vm.id.to_string())?, host.files_about(vm.name.as_str())?];
            assert!(about.iter().all(Vec::is_empty), "{} left {about:?}", vm.name);
        }
    }
    Ok(())
}

fn assert_only_on_its_host(lab: &Lab, vm: &VmView) -> Result<()> {
    let placed = host_of(vm)?;
    for host in &lab.hosts {
        let is_here = is_running(host, vm)?;
        assert_eq!(is_here, host.name() == placed, "{} on {}", vm.name, host.name());
    }
    Ok(())
}

fn host_of(vm: &VmView) -> Result<String> {
    let host = vm.host.as_ref().with_context(|| format!("{} has no host", vm.name))?;
    Ok(host.name.to_string())
}

/// Whether libvirt on `host` runs it.
fn is_running(host: &Host, vm: &VmView) -> Result<bool> {
    let uuid = vm.id.to_string();
    Ok(host.domains()?.iter().any(|domain| domain.uuid == uuid && domain.is_running))
}

fn boots(fleet: &Fleet, vm: &str) -> Result<usize> {
    let uuid = fleet.vm(vm)?.id.to_string();
    Ok(guest::boots(&fleet.console(vm)?, &uuid))
}

/// An emulated boot takes 3 s on an idle core; four at once beside a build take longer.
const BOOT: Duration = Duration::from_secs(60);
