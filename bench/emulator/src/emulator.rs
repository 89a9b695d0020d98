//! A link between two network namespaces, from its making to its end.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use novacron_link::LinkConfig;

use crate::direction::{Direction, Path, Traffic};
use crate::end::End;
use crate::gate::{Alias, Translation, Udp};
use crate::pump::Pump;
use crate::registry::{self, Names};

/// What to build.
#[derive(Debug, Clone, PartialEq)]
pub struct Setup {
    pub a_to_b: LinkConfig,
    pub b_to_a: LinkConfig,
    /// Of both directions, which draw from it independently.
    pub seed: u64,
    /// Of the devices at both ends. More than the model's is an MTU black hole.
    pub device_mtu_bytes: usize,
}

impl Setup {
    /// The same link in both directions, between devices of its MTU.
    pub fn symmetric(config: LinkConfig, seed: u64) -> Self {
        let device_mtu_bytes = config.mtu_bytes;
        Self { a_to_b: config.clone(), b_to_a: config, seed, device_mtu_bytes }
    }

    /// Builds it. Needs root, and `/dev/net/tun`.
    pub fn create(self) -> Result<Emulator> {
        Emulator::create(self)
    }
}

/// Two namespaces and the link between them. All of it goes when this is dropped, and whatever runs
/// in the namespaces is killed.
#[derive(Debug)]
pub struct Emulator {
    pumps: Option<[Pump; 2]>,
    ends: [End; 2],
    names: Names,
}

impl Emulator {
    fn create(setup: Setup) -> Result<Self> {
        registry::sweep()?;
        let names = Names::claim();
        let made = Self::build(setup, &names);
        match made {
            Ok((pumps, ends)) => Ok(Self { pumps: Some(pumps), ends, names }),
            Err(error) => {
                names.remove_all();
                Err(error)
            }
        }
    }

    fn build(setup: Setup, names: &Names) -> Result<([Pump; 2], [End; 2])> {
        let end = |name, address| End::create(name, address).context("make an end of the link");
        let ends = [end(names.a(), ADDRESS_A)?, end(names.b(), ADDRESS_B)?];
        let [a, b] = [&ends[0], &ends[1]].map(|end| end.plug(setup.device_mtu_bytes));
        let (a, b) = (Arc::new(a?), Arc::new(b?));
        let start = Instant::now();
        let there = Path::new(setup.a_to_b, setup.seed);
        let back = Path::new(setup.b_to_a, !setup.seed);
        let pumps = [
            Pump::start("link a to b", there, start, Arc::clone(&a), Arc::clone(&b))?,
            Pump::start("link b to a", back, start, b, a)?,
        ];
        Ok((pumps, ends))
    }

    pub fn a(&self) -> &End {
        &self.ends[0]
    }

    pub fn b(&self) -> &End {
        &self.ends[1]
    }

    /// The link's own time, which its blackouts and traces are in.
    pub fn now(&self) -> Duration {
        self.pump(Direction::AToB).now()
    }

    /// Changes a direction from now on.
    pub fn configure(&self, direction: Direction, change: impl FnOnce(&mut LinkConfig)) {
        self.pump(direction).with(|path, now| {
            let mut config = path.link.config().clone();
            change(&mut config);
            path.link.set_config(now, config);
        });
    }

    /// Nothing gets through either way for `length` from now on.
    pub fn black_out(&self, length: Duration) {
        for direction in Direction::BOTH {
            let now = self.now();
            self.configure(direction, |config| {
                config.blackouts.push(now..now.saturating_add(length));
            });
        }
    }

    /// Packets above `bytes` vanish from now on, both ways; the ends do not learn of it.
    pub fn shrink_mtu(&self, bytes: usize) {
        for direction in Direction::BOTH {
            self.configure(direction, |config| config.mtu_bytes = bytes);
        }
    }

    /// Blocks UDP both ways, or lets it through again.
    pub fn set_udp(&self, udp: Udp) {
        for direction in Direction::BOTH {
            self.pump(direction).with(|path, _| path.gate.udp = udp);
        }
    }

    /// Shows A to B as `alias`, or as it is: a NAT rebinding.
    pub fn set_alias(&self, alias: Option<Alias>) {
        let address = self.a().address();
        let (source, target) = match alias {
            None => (Translation::None, Translation::None),
            Some(alias) => (Translation::Source(alias), Translation::Target { alias, address }),
        };
        self.pump(Direction::AToB).with(|path, _| path.gate.translation = source);
        self.pump(Direction::BToA).with(|path, _| path.gate.translation = target);
    }

    /// What became of the packets so far.
    pub fn traffic(&self, direction: Direction) -> Traffic {
        self.pump(direction).traffic()
    }

    fn pump(&self, direction: Direction) -> &Pump {
        let pumps = self.pumps.as_ref().expect("they are there until it is dropped");
        &pumps[direction.index()]
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        // Before their devices go with the namespaces.
        self.pumps = None;
        for end in &self.ends {
            if let Err(error) = end.remove() {
                eprintln!("emulated link: failed to remove a namespace: {error:#}");
            }
        }
        self.names.release();
    }
}

const ADDRESS_A: Ipv4Addr = Ipv4Addr::new(10, 78, 0, 1);
const ADDRESS_B: Ipv4Addr = Ipv4Addr::new(10, 78, 0, 2);
