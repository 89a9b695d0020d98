//! The laboratory itself: what every other end-to-end test relies on.

use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use novacron_tests::lab::guest::{self, Guest};
use novacron_tests::lab::hypervisor::{self, Driver};
use novacron_tests::lab::namespace::HostNamespace;
use novacron_tests::lab::privilege::{Privilege, acquire_for_test};
use novacron_tests::lab::process::{self, tail};
use novacron_tests::lab::{Lab, Plan, network, teardown};
use novacron_tests::wait;

const UUID: &str = "0c0ffee0-1111-4222-8333-444455556666";

#[test]
fn a_guest_boots_survives_its_libvirtd_and_is_gone_with_the_lab() -> Result<()> {
    let test = "a_guest_boots_survives_its_libvirtd_and_is_gone_with_the_lab";
    if acquire_for_test(test)? == Privilege::Delegated {
        return Ok(());
    }
    let mut lab = lay_out("bare", Driver::Qemu)?;
    lab.start_hypervisors()?;
    let console = lab.dir().join("console.log");
    let xml = lab.dir().join("domain.xml");
    fs::write(&xml, domain(&lab.guest, &console))?;
    virsh(&lab.hosts[0].space, &["create", &xml.to_string_lossy()])?;
    let read = || tail(&console, 1 << 16);
    wait::for_true("the boot marker", BOOT, || Ok(guest::boots(&read()?, UUID) == 1))?;

    // A host sees its own domains only.
    let domains = lab.hosts[0].domains()?;
    assert_eq!(domains.len(), 1);
    assert!(domains[0].is_running && domains[0].uuid == UUID, "{domains:?}");
    assert_eq!(lab.hosts[1].domains()?, []);

    // Killed and started again, libvirtd finds its guest, which has not noticed.
    let host = &mut lab.hosts[0];
    host.libvirtd.as_mut().context("it runs")?.kill()?;
    let before = guest::newest_tick(&read()?);
    host.start_libvirtd()?;
    assert_eq!(host.domains()?, domains);
    let next = |tick: Option<u64>| tick > before;
    wait::for_true("the next tick", BOOT, || Ok(next(guest::newest_tick(&read()?))))?;
    assert_eq!(guest::boots(&read()?, UUID), 1);

    // It hears its power button.
    virsh(&host.space, &["shutdown", UUID])?;
    wait::for_true("the guest to be off", BOOT, || Ok(host.domains()?.is_empty()))?;
    assert!(read()?.contains(guest::STOPPING));

    // And with one still running the whole lab goes, QEMU and all.
    virsh(&host.space, &["create", &xml.to_string_lossy()])?;
    let qemu = hypervisor::qemu_pids(&host.space)?;
    assert_eq!(qemu.len(), 1);
    lab.take_down()?;
    let process = PathBuf::from(format!("/proc/{}", qemu[0]));
    wait::for_true("the killed QEMU to be reaped", BOOT, || Ok(!process.exists()))?;
    assert!(!teardown::existing()?.contains("bare"));
    Ok(())
}

#[test]
fn a_cut_cable_carries_nothing_until_it_is_healed() -> Result<()> {
    if acquire_for_test("a_cut_cable_carries_nothing_until_it_is_healed")? == Privilege::Delegated {
        return Ok(());
    }
    let lab = lay_out("cable", Driver::Simulated)?;
    let mut listen = lab.network.net.entry();
    let pong = "read line && echo pong";
    listen
        .extend(["busybox", "nc", "-ll", "-p", "7000", "-e", "sh", "-c", pong].map(str::to_owned));
    let address = network::member_address(1);
    let mut listener = Command::new(&listen[0]).args(&listen[1..]).spawn()?;
    let space = &lab.hosts[0].space;
    wait::for_true("the cable to carry", BOOT, || Ok(answers(space, address)))?;
    lab.network.cut(1)?;
    assert!(!answers(space, address), "a cut cable carried a connection");
    lab.network.heal(1)?;
    wait::for_true("the healed cable to carry", BOOT, || Ok(answers(space, address)))?;
    listener.kill()?;
    listener.wait()?;
    lab.take_down()
}

fn lay_out(name: &str, driver: Driver) -> Result<Lab> {
    Lab::lay_out(Plan { name: name.to_owned(), members: 1, hosts: 2, driver })
}

/// Whether the listener at `address` answers this host within a second.
fn answers(space: &HostNamespace, address: Ipv4Addr) -> bool {
    let call = format!("echo ping | timeout 1 busybox nc -w 1 {address} 7000");
    let answer =
        space.command("sh", &["-c", &call]).and_then(|mut call| process::output(&mut call));
    answer.is_ok_and(|text| text.trim() == "pong")
}

fn virsh(space: &HostNamespace, args: &[&str]) -> Result<String> {
    process::output(&mut space.command("virsh", &[&["-c", "qemu:///system"], args].concat())?)
}

fn domain(guest: &Guest, console: &Path) -> String {
    format!(
        "<domain type='qemu'><name>bare</name><uuid>{UUID}</uuid><memory unit='MiB'>96</memory>\
         <vcpu>1</vcpu><os><type arch='x86_64' machine='q35'>hvm</type><kernel>{}</kernel>\
         <initrd>{}</initrd><cmdline>{}</cmdline></os><features><acpi/></features><devices>\
         <serial type='null'><log file='{}' append='on'/></serial><memballoon model='none'/>\
         </devices></domain>",
        guest.kernel.display(),
        guest.initrd.display(),
        guest::CMDLINE,
        console.display(),
    )
}

/// An emulated boot takes 3 s on an idle core; beside a build it may take ten times that.
const BOOT: Duration = Duration::from_secs(60);
