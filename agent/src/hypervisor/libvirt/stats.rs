//! One domain's line of libvirt's bulk statistics.

#![allow(unsafe_code)]

use std::ffi::CStr;

use novacron_agent_core::telemetry::VmCounters;
use novacron_agent_core::{Domain, DomainState};
use novacron_protocol::VmId;
use uuid::Uuid;
use virt::sys;

/// What is used of a domain's statistics. What the driver does not tell is 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct StatsRecord {
    pub(super) id: VmId,
    /// A `virDomainState`.
    pub(super) state: u64,
    pub(super) cpu_time_ns: u64,
    /// Of the process that runs the guest, or else of the guest.
    pub(super) memory_kib: u64,
    balloon_kib: u64,
    disk_read_bytes: u64,
    disk_write_bytes: u64,
    net_rx_bytes: u64,
    net_tx_bytes: u64,
}

impl StatsRecord {
    pub(super) fn new(id: VmId) -> Self {
        Self {
            id,
            state: 0,
            cpu_time_ns: 0,
            memory_kib: 0,
            balloon_kib: 0,
            disk_read_bytes: 0,
            disk_write_bytes: 0,
            net_rx_bytes: 0,
            net_tx_bytes: 0,
        }
    }

    /// Takes one named number. Disks and network interfaces are numbered, and added up.
    fn take(&mut self, name: &str, value: u64) {
        let add = |sum: &mut u64| *sum = sum.saturating_add(value);
        match name {
            "state.state" => self.state = value,
            "cpu.time" => self.cpu_time_ns = value,
            "balloon.rss" => self.memory_kib = value,
            "balloon.current" => self.balloon_kib = value,
            _ => match name.rsplit_once('.') {
                Some((head, "bytes")) if head.ends_with(".rd") => add(&mut self.disk_read_bytes),
                Some((head, "bytes")) if head.ends_with(".wr") => add(&mut self.disk_write_bytes),
                Some((head, "bytes")) if head.ends_with(".rx") => add(&mut self.net_rx_bytes),
                Some((head, "bytes")) if head.ends_with(".tx") => add(&mut self.net_tx_bytes),
                _ => {}
            },
        }
    }

    pub(super) fn domain(&self) -> Domain {
        let state = match u32::try_from(self.state).unwrap_or(sys::VIR_DOMAIN_NOSTATE) {
            sys::VIR_DOMAIN_SHUTOFF | sys::VIR_DOMAIN_CRASHED => DomainState::Off,
            sys::VIR_DOMAIN_PAUSED | sys::VIR_DOMAIN_PMSUSPENDED => DomainState::Paused,
            _ => DomainState::On,
        };
        Domain { id: self.id, state }
    }

    pub(super) fn counters(&self) -> VmCounters {
        let memory_kib = if self.memory_kib > 0 { self.memory_kib } else { self.balloon_kib };
        VmCounters {
            cpu_time_ns: self.cpu_time_ns,
            memory_bytes: memory_kib.saturating_mul(1024),
            disk_read_bytes: self.disk_read_bytes,
            disk_write_bytes: self.disk_write_bytes,
            net_rx_bytes: self.net_rx_bytes,
            net_tx_bytes: self.net_tx_bytes,
        }
    }
}

/// Copies what is used out of `record`; `None` for a domain without an id.
///
/// # Safety
///
/// `record` is one that libvirt gave and that was not freed.
pub(super) unsafe fn read(record: sys::virDomainStatsRecordPtr) -> Option<StatsRecord> {
    let mut uuid = [0_u8; 16];
    // SAFETY: the record and its domain are alive; a UUID has 16 bytes (VIR_UUID_BUFLEN).
    let record = unsafe {
        let record = &*record;
        if sys::virDomainGetUUID(record.dom, uuid.as_mut_ptr()) != 0 {
            return None;
        }
        record
    };
    let mut read = StatsRecord::new(VmId::from_uuid(Uuid::from_bytes(uuid)));
    let count = usize::try_from(record.nparams).unwrap_or(0);
    if count == 0 {
        return Some(read);
    }
    // SAFETY: a record has `nparams` parameters, whose names end with a NUL.
    let params = unsafe { std::slice::from_raw_parts(record.params, count) };
    for param in params {
        // SAFETY: as above.
        let name = unsafe { CStr::from_ptr(param.field.as_ptr()) };
        if let (Ok(name), Some(value)) = (name.to_str(), number(param)) {
            read.take(name, value);
        }
    }
    Some(read)
}

fn number(param: &sys::virTypedParameter) -> Option<u64> {
    let type_ = u32::try_from(param.type_).ok()?;
    // SAFETY: the type says which of the union's numbers was written.
    unsafe {
        match type_ {
            sys::VIR_TYPED_PARAM_INT => u64::try_from(param.value.i).ok(),
            sys::VIR_TYPED_PARAM_UINT => Some(u64::from(param.value.ui)),
            sys::VIR_TYPED_PARAM_LLONG => u64::try_from(param.value.l).ok(),
            sys::VIR_TYPED_PARAM_ULLONG => Some(param.value.ul),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbered_disks_and_interfaces_are_added_up() {
        let mut record = StatsRecord::new(VmId::from_uuid(Uuid::nil()));
        for (name, value) in [
            ("state.state", 1),
            ("cpu.time", 7),
            ("balloon.current", 100),
            ("block.count", 2),
            ("block.0.rd.bytes", 10),
            ("block.1.rd.bytes", 5),
            ("block.1.wr.bytes", 3),
            ("block.1.rd.reqs", 99),
            ("net.0.rx.bytes", u64::MAX),
            ("net.1.rx.bytes", 1),
            ("net.0.tx.bytes", 2),
        ] {
            record.take(name, value);
        }
        let counters = VmCounters {
            cpu_time_ns: 7,
            memory_bytes: 100 << 10,
            disk_read_bytes: 15,
            disk_write_bytes: 3,
            net_rx_bytes: u64::MAX,
            net_tx_bytes: 2,
        };
        assert_eq!(record.counters(), counters);
        assert_eq!(record.domain().state, DomainState::On);
        record.take("balloon.rss", 50);
        assert_eq!(record.counters().memory_bytes, 50 << 10);
    }
}
