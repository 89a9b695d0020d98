//! One connection to libvirt, with its events.
//!
//! `virt` has safe calls for most of what is needed here. Events, the close callback and the
//! freeing of bulk statistics it has not, and those are the unsafe parts of this file.

#![allow(unsafe_code)]

use std::ffi::{c_int, c_void};
use std::sync::{Once, OnceLock};
use std::time::Duration;

use novacron_protocol::VmId;
use uuid::Uuid;
use virt::connect::Connect;
use virt::domain::{Domain, DomainState};
use virt::error::{Error, ErrorNumber};
use virt::sys;

use super::CallError;
use super::stats::{self, StatsRecord};
use crate::hypervisor::{EventSink, HypervisorEvent};

/// An open connection. Dropping it ends its events and closes it.
pub(super) struct Connection {
    connect: Connect,
    lifecycle: Option<c_int>,
}

/// The host, as libvirt counts it.
pub(super) struct Node {
    pub(super) cpus: u32,
    pub(super) memory_kib: u64,
}

/// libvirtd that is silent for 3 x 5 s is gone; without this a call could wait for ever.
const KEEPALIVE_INTERVAL_S: i32 = 5;
const KEEPALIVE_COUNT: u32 = 3;

/// How long a guest is watched to see whether it runs.
const TRIAL: Duration = Duration::from_millis(200);

impl Connection {
    pub(super) fn open(uri: &str, sink: EventSink) -> Result<Self, Error> {
        start_event_loop()?;
        let connect = Connect::open(Some(uri))?;
        let mut connection = Self { connect, lifecycle: None };
        // Neither is offered by every driver, `test:` for one needs no keep-alive.
        let _ = connection.connect.set_keep_alive(KEEPALIVE_INTERVAL_S, KEEPALIVE_COUNT);
        connection.watch_close(&sink);
        connection.lifecycle = Some(connection.watch_domains(&sink)?);
        Ok(connection)
    }

    pub(super) fn is_alive(&self) -> bool {
        self.connect.is_alive().unwrap_or(false)
    }

    pub(super) fn node(&self) -> Result<Node, CallError> {
        let node = self.connect.node_info()?;
        Ok(Node { cpus: node.cpus, memory_kib: node.memory })
    }

    /// `QEMU 7.2.0 via libvirt 9.0.0`.
    pub(super) fn describe(&self) -> Result<String, CallError> {
        let version = |number: u32| {
            format!("{}.{}.{}", number / 1_000_000, number / 1_000 % 1_000, number % 1_000)
        };
        let hypervisor = self.connect.driver_type()?;
        let of_hypervisor = version(self.connect.hyp_version()?);
        let of_libvirt = version(self.connect.lib_version()?);
        Ok(format!("{hypervisor} {of_hypervisor} via libvirt {of_libvirt}"))
    }

    /// Whether libvirt would make a KVM domain.
    pub(super) fn offers_kvm(&self) -> Result<(), String> {
        match self.connect.domain_capabilities(None, None, None, Some("kvm"), 0) {
            Ok(_) => Ok(()),
            Err(error) => Err(format!("libvirt does not offer it: {}", error.message())),
        }
    }

    /// Ids and states of all domains.
    pub(super) fn states(&self) -> Result<Vec<StatsRecord>, CallError> {
        match self.all_stats(sys::VIR_DOMAIN_STATS_STATE, 0) {
            Err(error) if error.is(ErrorNumber::NoSupport) => self.each_info(0),
            other => other,
        }
    }

    /// Counters of all domains that are on. Never waits for a domain that is busy.
    pub(super) fn stats(&self) -> Result<Vec<StatsRecord>, CallError> {
        let groups = sys::VIR_DOMAIN_STATS_STATE
            | sys::VIR_DOMAIN_STATS_CPU_TOTAL
            | sys::VIR_DOMAIN_STATS_BALLOON
            | sys::VIR_DOMAIN_STATS_INTERFACE
            | sys::VIR_DOMAIN_STATS_BLOCK;
        let active = sys::VIR_CONNECT_GET_ALL_DOMAINS_STATS_ACTIVE;
        let flags = active | sys::VIR_CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT;
        match self.all_stats(groups, flags) {
            Err(error) if error.is(ErrorNumber::NoSupport) => {
                self.each_info(sys::VIR_CONNECT_LIST_DOMAINS_ACTIVE)
            }
            other => other,
        }
    }

    /// Runs a domain for a moment that lives no longer than this call and this connection.
    pub(super) fn try_run(&self, xml: &str) -> Result<(), CallError> {
        let domain = self.connect.create_domain_xml(xml, sys::VIR_DOMAIN_START_AUTODESTROY)?;
        // A virtual CPU that fails stops its domain within its first instructions.
        std::thread::sleep(TRIAL);
        let state = domain.state();
        domain.destroy()?;
        match state? {
            (state, _) if state == DomainState::Running.into() => Ok(()),
            _ => Err(CallError::Refused("a guest that was tried stopped at once".to_owned())),
        }
    }

    pub(super) fn domain_named(&self, name: &str) -> Result<Option<VmId>, CallError> {
        match self.connect.lookup_domain_by_name(name) {
            Ok(domain) => Ok(Some(VmId::from_uuid(domain.uuid()?))),
            Err(error) if error.code() == ErrorNumber::NoDomain.into() => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    pub(super) fn define(&self, xml: &str) -> Result<(), CallError> {
        self.connect.define_domain_xml(xml)?;
        Ok(())
    }

    pub(super) fn start(&self, vm: VmId) -> Result<(), CallError> {
        let domain = self.domain(vm)?;
        match domain.create() {
            Err(_) if domain.is_active().unwrap_or(false) => Ok(()),
            other => Ok(other?),
        }
    }

    pub(super) fn shutdown(&self, vm: VmId) -> Result<(), CallError> {
        Ok(self.domain(vm)?.shutdown()?)
    }

    pub(super) fn destroy(&self, vm: VmId) -> Result<(), CallError> {
        let domain = self.domain(vm)?;
        match domain.destroy() {
            Err(_) if matches!(domain.is_active(), Ok(false)) => Ok(()),
            other => Ok(other?),
        }
    }

    /// Undefines with all that libvirt keeps of a domain beside its definition.
    pub(super) fn undefine(&self, vm: VmId) -> Result<(), CallError> {
        let domain = self.domain(vm)?;
        let flags = sys::VIR_DOMAIN_UNDEFINE_MANAGED_SAVE
            | sys::VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA
            | sys::VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA
            | sys::VIR_DOMAIN_UNDEFINE_NVRAM;
        let unsupported = [ErrorNumber::InvalidArg, ErrorNumber::ArgumentUnsupported];
        match domain.undefine_flags(flags) {
            Err(error) if unsupported.iter().any(|number| error.code() == (*number).into()) => {
                Ok(domain.undefine()?)
            }
            other => Ok(other?),
        }
    }

    fn domain(&self, vm: VmId) -> Result<Domain, CallError> {
        Ok(self.connect.lookup_domain_by_uuid(vm.as_uuid())?)
    }

    fn all_stats(&self, groups: u32, flags: u32) -> Result<Vec<StatsRecord>, CallError> {
        let mut records: *mut sys::virDomainStatsRecordPtr = std::ptr::null_mut();
        // SAFETY: the connection is open as long as `self`; libvirt writes one pointer to
        // `records` when it gives a count, and that is freed below by the call made for it.
        let count = unsafe {
            sys::virConnectGetAllDomainStats(self.connect.as_ptr(), groups, &raw mut records, flags)
        };
        let Ok(count) = usize::try_from(count) else { return Err(Error::last_error().into()) };
        if records.is_null() {
            return Ok(Vec::new());
        }
        // SAFETY: `records` has `count` pointers to records, all alive until the list is freed;
        // `stats::read` copies what it wants out of them.
        let read = unsafe {
            let list = std::slice::from_raw_parts(records, count);
            let read = list.iter().filter_map(|record| stats::read(*record)).collect();
            sys::virDomainStatsRecordListFree(records);
            read
        };
        Ok(read)
    }

    /// For drivers without bulk statistics. Those run in this process, where a call costs little.
    fn each_info(&self, flags: u32) -> Result<Vec<StatsRecord>, CallError> {
        let mut records = Vec::new();
        for domain in self.connect.list_all_domains(flags)? {
            let id = VmId::from_uuid(domain.uuid()?);
            let mut record = StatsRecord::new(id);
            let (state, _) = domain.state()?;
            record.state = u64::from(state.to_raw());
            if state != DomainState::Shutoff.into() {
                let info = domain.info()?;
                record.cpu_time_ns = info.cpu_time;
                record.memory_kib = info.memory;
            }
            records.push(record);
        }
        Ok(records)
    }

    fn watch_domains(&self, sink: &EventSink) -> Result<c_int, Error> {
        let opaque = Box::into_raw(Box::new(EventSink::clone(sink)));
        // SAFETY: a lifecycle callback has this one's signature, as libvirt-domain.h says where it
        // asks for the cast. `opaque` is owned by the registration, which ends with `free_sink`.
        unsafe {
            let callback: sys::virConnectDomainEventCallback = Some(on_lifecycle);
            let callback = std::mem::transmute::<
                sys::virConnectDomainEventCallback,
                sys::virConnectDomainEventGenericCallback,
            >(callback);
            let id = sys::virConnectDomainEventRegisterAny(
                self.connect.as_ptr(),
                std::ptr::null_mut(),
                sys::VIR_DOMAIN_EVENT_ID_LIFECYCLE as c_int,
                callback,
                opaque.cast(),
                Some(free_sink),
            );
            if id < 0 {
                drop(Box::from_raw(opaque));
                return Err(Error::last_error());
            }
            Ok(id)
        }
    }

    /// Drivers without a daemon have no such callback, and cannot close.
    fn watch_close(&self, sink: &EventSink) {
        let opaque = Box::into_raw(Box::new(EventSink::clone(sink)));
        // SAFETY: as above; on failure libvirt does not take `opaque`.
        unsafe {
            let registered = sys::virConnectRegisterCloseCallback(
                self.connect.as_ptr(),
                Some(on_close),
                opaque.cast(),
                Some(free_sink),
            );
            if registered < 0 {
                drop(Box::from_raw(opaque));
            }
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // SAFETY: the connection is still open; registrations hold references to it, which would
        // keep it open for ever. That one of them is gone already is no harm.
        unsafe {
            if let Some(id) = self.lifecycle {
                sys::virConnectDomainEventDeregisterAny(self.connect.as_ptr(), id);
            }
            sys::virConnectUnregisterCloseCallback(self.connect.as_ptr(), Some(on_close));
        }
    }
}

unsafe extern "C" fn on_lifecycle(
    _connect: sys::virConnectPtr,
    domain: sys::virDomainPtr,
    _event: c_int,
    _detail: c_int,
    opaque: *mut c_void,
) -> c_int {
    let mut uuid = [0_u8; 16];
    // SAFETY: libvirt hands in a domain that lives during the call, room for a UUID is 16 bytes
    // (VIR_UUID_BUFLEN), and `opaque` is what was registered with this callback.
    unsafe {
        if sys::virDomainGetUUID(domain, uuid.as_mut_ptr()) == 0 {
            let sink = &*opaque.cast::<EventSink>();
            sink(HypervisorEvent::Domain(VmId::from_uuid(Uuid::from_bytes(uuid))));
        }
    }
    0
}

unsafe extern "C" fn on_close(_connect: sys::virConnectPtr, _reason: c_int, opaque: *mut c_void) {
    // SAFETY: `opaque` is what was registered with this callback.
    let sink = unsafe { &*opaque.cast::<EventSink>() };
    sink(HypervisorEvent::Lost);
}

unsafe extern "C" fn free_sink(opaque: *mut c_void) {
    // SAFETY: called once per registration, with the box that it was given.
    drop(unsafe { Box::from_raw(opaque.cast::<EventSink>()) });
}

/// libvirt delivers events from a loop that the program has to run, one for all connections, and
/// that must be there before the first one is opened.
fn start_event_loop() -> Result<(), Error> {
    static QUIET: Once = Once::new();
    static LOOP: OnceLock<Result<(), String>> = OnceLock::new();
    QUIET.call_once(virt::error::clear_error_callback);
    let started = LOOP.get_or_init(|| {
        virt::event::event_register_default_impl().map_err(|error| error.message().to_owned())?;
        std::thread::Builder::new()
            .name("libvirt-events".to_owned())
            .spawn(|| {
                // An error of one round is an error of one handle; the loop goes on.
                loop {
                    let _ = virt::event::event_run_default_impl();
                }
            })
            .map(drop)
            .map_err(|error| error.to_string())
    });
    started.clone().map_err(|_| Error::last_error())
}
