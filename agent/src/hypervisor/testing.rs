//! Domains and event sinks for tests.

use std::sync::{Arc, Mutex};

use novacron_protocol::{ByteCount, Generation, VcpuCount, VmId};

use super::{DomainSpec, EventSink, HypervisorEvent};

pub(crate) fn vm_id(id: u64) -> VmId {
    format!("00000000-0000-4000-8000-{id:012x}").parse().unwrap()
}

pub(crate) fn domain_spec(id: u64) -> DomainSpec {
    DomainSpec {
        vm: vm_id(id),
        name: format!("vm{id}").parse().unwrap(),
        revision: Generation(1),
        cpus: VcpuCount(1),
        memory: ByteCount::mib(64),
        kernel: None,
        disk: Some("/nowhere/disk.qcow2".into()),
        console_log: Some("/nowhere/console.log".into()),
    }
}

/// A sink and what came into it.
pub(crate) fn recorded() -> (EventSink, Arc<Mutex<Vec<HypervisorEvent>>>) {
    let events = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&events);
    (Arc::new(move |event| kept.lock().unwrap().push(event)), events)
}
