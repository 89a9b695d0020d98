//! The driver against libvirt's own test hypervisor: the real API, no daemon, no guest.

use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use super::*;
use crate::hypervisor::HypervisorEvent;
use crate::hypervisor::testing::{domain_spec, recorded, vm_id};
use novacron_agent_core::DomainState;

/// A test hypervisor of its own with one foreign domain, `theirs`.
fn hypervisor(dir: &tempfile::TempDir, sink: EventSink) -> Libvirt {
    let file = dir.path().join("node.xml");
    let node = "<node><domain type='test'><name>theirs</name><memory>8192</memory>\
                <os><type>hvm</type></os></domain></node>";
    std::fs::write(&file, node).unwrap();
    Libvirt::new(&format!("test://{}", file.display()), Acceleration::Auto, sink)
}

fn state(hypervisor: &Libvirt, vm: VmId) -> Option<DomainState> {
    let domains = hypervisor.domains().unwrap();
    domains.iter().find(|domain| domain.id == vm).map(|domain| domain.state)
}

#[test]
fn a_domain_goes_through_its_whole_life() {
    let dir = tempfile::tempdir().unwrap();
    let (sink, events) = recorded();
    let hypervisor = hypervisor(&dir, sink);
    let spec = domain_spec(1);
    assert_eq!(hypervisor.domains().unwrap().len(), 1, "the foreign one");
    assert_eq!(hypervisor.start(spec.vm), Err(HypervisorError::NotFound));

    hypervisor.define(&spec).unwrap();
    assert_eq!(state(&hypervisor, spec.vm), Some(DomainState::Off));
    hypervisor.start(spec.vm).unwrap();
    hypervisor.start(spec.vm).expect("one that is on already is no error");
    assert_eq!(state(&hypervisor, spec.vm), Some(DomainState::On));
    assert!(hypervisor.counters().unwrap().contains_key(&spec.vm));
    hypervisor.define(&spec).expect("a running domain can be defined anew");

    hypervisor.shutdown(spec.vm).unwrap();
    assert_eq!(state(&hypervisor, spec.vm), Some(DomainState::Off));
    hypervisor.start(spec.vm).unwrap();
    hypervisor.destroy(spec.vm).unwrap();
    hypervisor.destroy(spec.vm).expect("one that is off already is no error");
    hypervisor.undefine(spec.vm).unwrap();
    hypervisor.undefine(spec.vm).expect("one that is not there is no error");
    assert_eq!(state(&hypervisor, spec.vm), None);
    assert_eq!(hypervisor.domains().unwrap().len(), 1, "the foreign one is untouched");

    let deadline = Instant::now() + Duration::from_secs(10);
    while !events.lock().unwrap().contains(&HypervisorEvent::Domain(spec.vm)) {
        assert!(Instant::now() < deadline, "no event came");
        std::thread::yield_now();
    }
}

#[test]
fn the_name_of_a_foreign_domain_is_refused_and_the_domain_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let hypervisor = hypervisor(&dir, recorded().0);
    let spec = DomainSpec { name: "theirs".parse().unwrap(), ..domain_spec(1) };
    let before = hypervisor.domains().unwrap();
    match hypervisor.define(&spec) {
        Err(HypervisorError::Refused(reason)) => assert!(reason.contains("theirs"), "{reason}"),
        other => panic!("{other:?}"),
    }
    assert_eq!(hypervisor.domains().unwrap(), before);
    assert_eq!(state(&hypervisor, vm_id(1)), None);
}

#[test]
fn the_host_is_described() {
    let dir = tempfile::tempdir().unwrap();
    let about = hypervisor(&dir, recorded().0).about().unwrap();
    assert!(about.description.contains("via libvirt"), "{}", about.description);
    assert!(about.cpus.0 > 0 && about.memory.0 > 0);
}

#[test]
fn a_hypervisor_that_is_not_there_is_unreachable_and_asked_again() {
    let dir = tempfile::tempdir().unwrap();
    let uri = format!("qemu+unix:///system?socket={}/none", dir.path().display());
    let hypervisor = Libvirt::new(&uri, Acceleration::Auto, recorded().0);
    for _ in ["first", "again"] {
        assert!(matches!(hypervisor.domains(), Err(HypervisorError::Unreachable(_))));
    }
}

/// A libvirtd that takes connections and says nothing: the first one is kept, the others are closed.
fn silent_then_gone(socket: &Path) -> Receiver<UnixStream> {
    let listener = UnixListener::bind(socket).unwrap();
    let (first_tx, first_rx) = channel();
    std::thread::spawn(move || {
        let (first, _) = listener.accept().unwrap();
        first_tx.send(first).unwrap();
        for further in listener.incoming() {
            drop(further);
        }
    });
    first_rx
}

#[test]
fn a_connection_that_hangs_while_it_is_opened_hangs_no_other_call() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("libvirt-sock");
    let first_rx = silent_then_gone(&socket);
    let uri = format!("qemu+unix:///system?socket={}", socket.display());
    let hypervisor = Arc::new(Libvirt::new(&uri, Acceleration::Tcg, recorded().0));
    let looks = || {
        let hypervisor = Arc::clone(&hypervisor);
        let (answer_tx, answer_rx) = channel();
        std::thread::spawn(move || answer_tx.send(hypervisor.domains()));
        answer_rx
    };
    let limit = Duration::from_secs(20);
    let hung = looks();
    let first = first_rx.recv_timeout(limit).unwrap();
    let other = looks().recv_timeout(limit).expect("it hangs behind the first");
    assert!(matches!(other, Err(HypervisorError::Unreachable(_))), "{other:?}");
    assert!(hung.try_recv().is_err(), "the first one hangs");
    drop(first);
    let hung = hung.recv_timeout(limit).unwrap();
    assert!(matches!(hung, Err(HypervisorError::Unreachable(_))), "{hung:?}");
}

#[test]
fn a_call_after_one_that_hangs_has_a_connection_of_its_own() {
    let hypervisor = Libvirt::new("test:///default", Acceleration::Auto, recorded().0);
    let hung = hypervisor.connection().unwrap();
    assert!(Arc::ptr_eq(&hung, &hypervisor.connection().unwrap()), "one is kept for all calls");
    hypervisor.handle_hang();
    assert!(!Arc::ptr_eq(&hung, &hypervisor.connection().unwrap()));
}
