//! A hypervisor that runs nothing: `sim://?cpus=16&memory=64GiB&disk=1TiB&latency=20ms`.
//!
//! One machine can stand for a thousand hosts with it. As with a real one, its domains outlive
//! the agent: they are kept in a file under the agent's `data_dir`, written at every change. Not
//! synced: a real host that loses its power has no running domains either.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bincode::{Decode, Encode};
use novacron_agent_core::telemetry::VmCounters;
use novacron_agent_core::{Domain, DomainState};
use novacron_protocol::{ByteCount, Name, VcpuCount, VmId, record};

use super::{About, DomainSpec, EventSink, Hypervisor, HypervisorError, HypervisorEvent};
use crate::files;

/// What the URI of a simulated hypervisor begins with.
pub const SCHEME: &str = "sim:";
const FILE: &str = "simulated.bin";
const FILE_VERSION: u16 = 1;

/// A simulated hypervisor.
pub struct Simulated {
    options: Options,
    file: PathBuf,
    sink: EventSink,
    began: Instant,
    domains: Mutex<Domains>,
}

type Domains = BTreeMap<VmId, SimulatedDomain>;

#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
struct SimulatedDomain {
    name: Name,
    memory: ByteCount,
    on: bool,
}

/// What the URI says.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Options {
    cpus: VcpuCount,
    memory: ByteCount,
    disk: ByteCount,
    latency: Duration,
}

/// A domain that does nothing still costs a little: 5 % of a processor.
const CPU_SHARE_PERCENT: u64 = 5;

impl Simulated {
    pub fn open(uri: &str, data_dir: &Path, sink: EventSink) -> Result<Self, HypervisorError> {
        let options = Options::parse(uri).map_err(HypervisorError::Refused)?;
        let file = data_dir.join(FILE);
        let domains = load(&file).map_err(HypervisorError::Refused)?;
        Ok(Self { options, file, sink, began: Instant::now(), domains: Mutex::new(domains) })
    }

    /// Waits as long as a call takes, then hands out the domains.
    fn call(&self) -> MutexGuard<'_, Domains> {
        if !self.options.latency.is_zero() {
            std::thread::sleep(self.options.latency);
        }
        self.domains.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn save(&self, domains: &Domains) -> Result<(), HypervisorError> {
        let refuse = |detail: String| HypervisorError::Refused(detail);
        let bytes =
            record::seal(FILE_VERSION, domains).map_err(|error| refuse(error.to_string()))?;
        files::replace(&self.file, &bytes, files::Sync::No)
            .map_err(|error| refuse(format!("cannot write {}: {error}", self.file.display())))
    }

    fn switch(&self, vm: VmId, on: Power) -> Result<(), HypervisorError> {
        let mut domains = self.call();
        let domain = domains.get_mut(&vm).ok_or(HypervisorError::NotFound)?;
        domain.on = on == Power::On;
        self.save(&domains)?;
        drop(domains);
        (self.sink)(HypervisorEvent::Domain(vm));
        Ok(())
    }
}

#[derive(PartialEq)]
enum Power {
    On,
    Off,
}

impl Hypervisor for Simulated {
    fn about(&self) -> Result<About, HypervisorError> {
        Ok(About {
            description: "simulated".to_owned(),
            cpus: self.options.cpus,
            memory: self.options.memory,
            disk: Some(self.options.disk),
        })
    }

    fn domains(&self) -> Result<Vec<Domain>, HypervisorError> {
        let state = |on| if on { DomainState::On } else { DomainState::Off };
        let domains = self.call();
        Ok(domains.iter().map(|(id, domain)| Domain { id: *id, state: state(domain.on) }).collect())
    }

    fn counters(&self) -> Result<BTreeMap<VmId, VmCounters>, HypervisorError> {
        let ran_ns = u64::try_from(self.began.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let counters = |memory: ByteCount| VmCounters {
            cpu_time_ns: ran_ns / 100 * CPU_SHARE_PERCENT,
            memory_bytes: memory.0 / 2,
            ..VmCounters::default()
        };
        let domains = self.call();
        let running = domains.iter().filter(|(_, domain)| domain.on);
        Ok(running.map(|(id, domain)| (*id, counters(domain.memory))).collect())
    }

    fn define(&self, spec: &DomainSpec) -> Result<(), HypervisorError> {
        let mut domains = self.call();
        let taken = domains.iter().any(|(id, domain)| *id != spec.vm && domain.name == spec.name);
        if taken {
            let text = format!("another domain on this host has the name {}", spec.name);
            return Err(HypervisorError::Refused(text));
        }
        let on = domains.get(&spec.vm).is_some_and(|domain| domain.on);
        let domain = SimulatedDomain { name: spec.name.clone(), memory: spec.memory, on };
        domains.insert(spec.vm, domain);
        self.save(&domains)
    }

    fn start(&self, vm: VmId) -> Result<(), HypervisorError> {
        self.switch(vm, Power::On)
    }

    fn shutdown(&self, vm: VmId) -> Result<(), HypervisorError> {
        self.switch(vm, Power::Off)
    }

    fn destroy(&self, vm: VmId) -> Result<(), HypervisorError> {
        self.switch(vm, Power::Off)
    }

    fn undefine(&self, vm: VmId) -> Result<(), HypervisorError> {
        let mut domains = self.call();
        if domains.get(&vm).is_some_and(|domain| domain.on) {
            return Err(HypervisorError::Refused("the domain is on".to_owned()));
        }
        match domains.remove(&vm) {
            Some(_) => self.save(&domains),
            None => Ok(()),
        }
    }

    fn needs_images(&self) -> bool {
        false
    }
}

impl std::fmt::Debug for Simulated {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Simulated").field("options", &self.options).finish_non_exhaustive()
    }
}

fn load(file: &Path) -> Result<Domains, String> {
    let bytes = match std::fs::read(file) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Domains::new()),
        Err(error) => return Err(format!("cannot read {}: {error}", file.display())),
    };
    record::open(FILE_VERSION, &bytes).map_err(|error| {
        let file = file.display();
        format!("{file} is no list of simulated domains ({error}); remove it to begin with none")
    })
}

impl Options {
    fn parse(uri: &str) -> Result<Self, String> {
        let rest = uri.strip_prefix(SCHEME).unwrap_or(uri).trim_start_matches('/');
        let mut options = Self::default();
        let query = rest.strip_prefix('?').unwrap_or(rest);
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            options.set(pair).map_err(|detail| format!("hypervisor {uri}: {pair}: {detail}"))?;
        }
        Ok(options)
    }

    fn set(&mut self, pair: &str) -> Result<(), String> {
        let (key, value) = pair.split_once('=').ok_or("write key=value")?;
        match key {
            "cpus" => {
                self.cpus = VcpuCount(value.parse().map_err(|_| "cpus is a number".to_owned())?);
            }
            "memory" => self.memory = value.parse().map_err(|error| format!("{error}"))?,
            "disk" => self.disk = value.parse().map_err(|error| format!("{error}"))?,
            "latency" => {
                let ms = value.strip_suffix("ms").and_then(|ms| ms.parse().ok());
                self.latency =
                    ms.map(Duration::from_millis).ok_or("latency is written like 20ms")?;
            }
            _ => return Err("the keys are cpus, memory, disk and latency".to_owned()),
        }
        Ok(())
    }
}

impl Default for Options {
    fn default() -> Self {
        Self {
            cpus: VcpuCount(16),
            memory: ByteCount::gib(64),
            disk: ByteCount::tib(1),
            latency: Duration::ZERO,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hypervisor::testing::{domain_spec, recorded};

    #[test]
    fn a_uri_says_what_the_host_has() {
        let options = Options::parse("sim://?cpus=4&memory=8GiB&disk=10GiB&latency=20ms");
        let expected = Options {
            cpus: VcpuCount(4),
            memory: ByteCount::gib(8),
            disk: ByteCount::gib(10),
            latency: Duration::from_millis(20),
        };
        assert_eq!(options, Ok(expected));
        assert_eq!(Options::parse("sim://"), Ok(Options::default()));
        for bad in
            ["sim://?cpus", "sim://?cpus=x", "sim://?memory=1", "sim://?latency=1", "sim://?a=b"]
        {
            let ok = bad == "sim://?memory=1";
            assert_eq!(Options::parse(bad).is_ok(), ok, "{bad}");
        }
    }

    #[test]
    fn domains_outlive_the_agent() {
        let dir = tempfile::tempdir().unwrap();
        let (sink, events) = recorded();
        let spec = domain_spec(1);
        let hypervisor = Simulated::open("sim://", dir.path(), sink.clone()).unwrap();
        hypervisor.define(&spec).unwrap();
        hypervisor.start(spec.vm).unwrap();
        drop(hypervisor);
        let again = Simulated::open("sim://", dir.path(), sink).unwrap();
        let on = Domain { id: spec.vm, state: DomainState::On };
        assert_eq!(again.domains(), Ok(vec![on]));
        assert!(again.counters().unwrap().contains_key(&spec.vm));
        assert!(again.undefine(spec.vm).is_err(), "a domain that is on is kept");
        again.shutdown(spec.vm).unwrap();
        again.undefine(spec.vm).unwrap();
        assert_eq!(again.domains(), Ok(Vec::new()));
        assert_eq!(again.start(spec.vm), Err(HypervisorError::NotFound));
        assert_eq!(events.lock().unwrap().len(), 2);
    }

    #[test]
    fn a_name_belongs_to_one_domain() {
        let dir = tempfile::tempdir().unwrap();
        let hypervisor = Simulated::open("sim://", dir.path(), recorded().0).unwrap();
        hypervisor.define(&domain_spec(1)).unwrap();
        let other = DomainSpec { name: domain_spec(1).name, ..domain_spec(2) };
        assert!(matches!(hypervisor.define(&other), Err(HypervisorError::Refused(_))));
    }

    #[test]
    fn a_damaged_file_is_refused_with_what_to_do() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join(FILE), b"junk").unwrap();
        let error = Simulated::open("sim://", dir.path(), recorded().0).unwrap_err();
        assert!(error.to_string().contains("remove it"), "{error}");
    }
}
