//! The driver for everything that libvirt knows: `qemu:///system`, `qemu+unix://...`, `test:///...`.
//!
//! It holds at most one connection. A call that finds none opens one; a call that finds out that
//! libvirtd went away drops it and says [`HypervisorError::Unreachable`], so that the next call
//! begins anew, events registered again. All unsafe code of the agent is in the submodules.

mod connection;
mod footprint;
mod kvm;
mod stats;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use novacron_agent_core::Domain;
use novacron_agent_core::telemetry::VmCounters;
use novacron_protocol::{ByteCount, VcpuCount, VmId};
use uuid::Uuid;
use virt::error::{Error, ErrorDomain, ErrorNumber};

use super::domain_xml::{self, DomainType};
use super::{About, Acceleration, DomainSpec, EventSink, Hypervisor, HypervisorError};
use connection::Connection;
pub use footprint::keep_footprint_small;
use stats::StatsRecord;

/// libvirt at one URI.
pub struct Libvirt {
    uri: String,
    acceleration: Acceleration,
    sink: EventSink,
    connection: Mutex<Option<Arc<Connection>>>,
    domain_type: OnceLock<DomainType>,
}

impl Libvirt {
    pub fn new(uri: &str, acceleration: Acceleration, sink: EventSink) -> Self {
        Self {
            uri: uri.to_owned(),
            acceleration,
            sink,
            connection: Mutex::new(None),
            domain_type: OnceLock::new(),
        }
    }

    /// Runs `call` on the connection, which is opened first if there is none.
    fn call<T>(
        &self,
        call: impl FnOnce(&Connection) -> Result<T, CallError>,
    ) -> Result<T, HypervisorError> {
        let connection = self.connection()?;
        call(&connection).map_err(|error| {
            let error = error.classify(&connection);
            if matches!(error, HypervisorError::Unreachable(_)) {
                self.forget(&connection);
            }
            error
        })
    }

    fn connection(&self) -> Result<Arc<Connection>, HypervisorError> {
        if let Some(connection) = self.held() {
            return Ok(connection);
        }
        // Opened without the lock: where opening hangs, the calls after it must not.
        let opened = Connection::open(&self.uri, Arc::clone(&self.sink))
            .map_err(|error| HypervisorError::Unreachable(error.message().to_owned()))?;
        let opened = Arc::new(opened);
        let mut held = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        let connection = Arc::clone(held.get_or_insert_with(|| Arc::clone(&opened)));
        drop(held);
        footprint::release_untouched_pages();
        Ok(connection)
    }

    /// The connection, unless it is known to be gone.
    fn held(&self) -> Option<Arc<Connection>> {
        let mut held = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        let (live, gone) = match held.take() {
            Some(connection) if connection.is_alive() => (Some(connection), None),
            gone => (None, gone),
        };
        held.clone_from(&live);
        drop(held);
        // Closing it may take a while.
        drop(gone);
        live
    }

    fn forget(&self, lost: &Arc<Connection>) {
        let mut held = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        held.take_if(|connection| Arc::ptr_eq(connection, lost));
    }

    /// How guests are run here; found out once, because it takes a probe.
    fn domain_type(&self, connection: &Connection) -> Result<DomainType, CallError> {
        if let Some(known) = self.domain_type.get() {
            return Ok(*known);
        }
        let found = match self.acceleration {
            _ if self.uri.starts_with("test:") => DomainType::Test,
            Acceleration::Kvm => DomainType::Kvm,
            Acceleration::Tcg => DomainType::Tcg,
            // Two that probe at once cost a moment; one that waits for a hung one would hang too.
            Acceleration::Auto => probe_acceleration(connection)?,
        };
        Ok(*self.domain_type.get_or_init(|| found))
    }
}

/// KVM counts only when a guest really runs on it: on some machines there is a `/dev/kvm` that
/// opens, and even makes virtual CPUs, and then QEMU fails.
fn probe_acceleration(connection: &Connection) -> Result<DomainType, CallError> {
    let probe = DomainSpec::probe(VmId::from_uuid(Uuid::new_v4()));
    let probed = match connection.offers_kvm().and_then(|()| kvm::probe()) {
        Ok(()) => connection.try_run(&domain_xml::render(&probe, DomainType::Kvm)),
        Err(detail) => Err(CallError::Refused(detail)),
    };
    match probed.map_err(|error| error.classify(connection)) {
        Ok(()) => Ok(DomainType::Kvm),
        Err(HypervisorError::Unreachable(detail)) => Err(CallError::Unreachable(detail)),
        Err(error) => {
            tracing::warn!(%error, "guests are emulated, which is slow: KVM does not work");
            Ok(DomainType::Tcg)
        }
    }
}

impl Hypervisor for Libvirt {
    fn about(&self) -> Result<About, HypervisorError> {
        self.call(|connection| {
            let domain_type = self.domain_type(connection)?;
            let node = connection.node()?;
            let name = match domain_type {
                DomainType::Kvm => "kvm",
                DomainType::Tcg => "tcg",
                DomainType::Test => "test",
            };
            Ok(About {
                description: format!("{} ({name})", connection.describe()?),
                cpus: VcpuCount(node.cpus),
                memory: ByteCount(node.memory_kib << 10),
                disk: None,
            })
        })
    }

    fn domains(&self) -> Result<Vec<Domain>, HypervisorError> {
        self.call(|connection| {
            let records = connection.states()?;
            Ok(records.iter().map(StatsRecord::domain).collect())
        })
    }

    fn counters(&self) -> Result<BTreeMap<VmId, VmCounters>, HypervisorError> {
        self.call(|connection| {
            let records = connection.stats()?;
            Ok(records.iter().map(|record| (record.id, record.counters())).collect())
        })
    }

    fn define(&self, spec: &DomainSpec) -> Result<(), HypervisorError> {
        self.call(|connection| {
            if let Some(other) = connection.domain_named(spec.name.as_str())?
                && other != spec.vm
            {
                let text = format!(
                    "another domain on this host ({other}) has the name {}; it is left alone",
                    spec.name
                );
                return Err(CallError::Refused(text));
            }
            let domain_type = self.domain_type(connection)?;
            connection.define(&domain_xml::render(spec, domain_type))?;
            Ok(())
        })
    }

    fn start(&self, vm: VmId) -> Result<(), HypervisorError> {
        self.call(|connection| connection.start(vm))
    }

    fn shutdown(&self, vm: VmId) -> Result<(), HypervisorError> {
        self.call(|connection| connection.shutdown(vm))
    }

    fn destroy(&self, vm: VmId) -> Result<(), HypervisorError> {
        self.call(|connection| connection.destroy(vm))
    }

    fn undefine(&self, vm: VmId) -> Result<(), HypervisorError> {
        let undefined = self.call(|connection| connection.undefine(vm));
        match undefined {
            Err(HypervisorError::NotFound) => Ok(()),
            other => other,
        }
    }

    /// The client of a connection on which a call hangs is not trusted with another.
    fn handle_hang(&self) {
        let mut held = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        let hung = held.take();
        drop(held);
        drop(hung);
    }

    fn needs_images(&self) -> bool {
        !self.uri.starts_with("test:")
    }
}

impl std::fmt::Debug for Libvirt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Libvirt").field("uri", &self.uri).finish_non_exhaustive()
    }
}

/// Why a call on a connection did not work.
#[derive(Debug)]
enum CallError {
    Libvirt(Error),
    Refused(String),
    Unreachable(String),
}

impl From<Error> for CallError {
    fn from(error: Error) -> Self {
        Self::Libvirt(error)
    }
}

impl CallError {
    fn is(&self, number: ErrorNumber) -> bool {
        matches!(self, Self::Libvirt(error) if error.code() == number.into())
    }

    /// Sorts errors by what the caller should do. When libvirtd goes away during a call, the code
    /// may be anything; the RPC layer as its source, or a dead connection, give it away.
    fn classify(self, connection: &Connection) -> HypervisorError {
        let error = match self {
            Self::Refused(text) => return HypervisorError::Refused(text),
            Self::Unreachable(text) => return HypervisorError::Unreachable(text),
            Self::Libvirt(error) => error,
        };
        let text = error.message().to_owned();
        let is = |number: ErrorNumber| error.code() == number.into();
        let rpc = error.domain() == ErrorDomain::Rpc.into();
        if is(ErrorNumber::NoDomain) {
            HypervisorError::NotFound
        } else if rpc || is(ErrorNumber::InvalidConn) || !connection.is_alive() {
            HypervisorError::Unreachable(text)
        } else if is(ErrorNumber::OperationTimeout) || is(ErrorNumber::ResourceBusy) {
            HypervisorError::Busy(text)
        } else {
            HypervisorError::Refused(text)
        }
    }
}

#[cfg(test)]
mod tests;
