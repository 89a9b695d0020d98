//! Which agents the leader hears.
//!
//! Silence makes a host `Disconnected`, never `Down`: it says nothing about the VMs. A new leader
//! gives every host one timeout to be heard before it says anything of it.

use std::collections::BTreeMap;
use std::time::Duration;

use novacron_protocol::HostId;
use novacron_protocol::host::Connectivity;

use crate::state::State;

/// Heartbeats as the leader hears them. `now` is time since any fixed start, never going back.
#[derive(Debug, Clone)]
pub struct Liveness {
    timeout: Duration,
    /// Leading since.
    since: Duration,
    heard: BTreeMap<HostId, Duration>,
}

impl Liveness {
    /// `timeout`: how long a host may be silent before it is called disconnected.
    pub fn new(now: Duration, timeout: Duration) -> Self {
        Self { timeout, since: now, heard: BTreeMap::new() }
    }

    pub fn handle_heard(&mut self, now: Duration, host: HostId) {
        self.heard.insert(host, now);
    }

    /// Hosts whose connectivity in `state` is not what is heard, with what it should be.
    pub fn poll_changes(&self, now: Duration, state: &State) -> Vec<(HostId, Connectivity)> {
        let change =
            |id: HostId, connectivity: Connectivity| match (connectivity, self.hears(now, id)) {
                (Connectivity::Connected, false) => Some((id, Connectivity::Disconnected)),
                (Connectivity::Joining | Connectivity::Disconnected, true)
                    if self.heard.contains_key(&id) =>
                {
                    Some((id, Connectivity::Connected))
                }
                _ => None,
            };
        state.hosts().filter_map(|host| change(host.id, host.connectivity)).collect()
    }

    /// When the next host falls silent, unless it is heard before.
    pub fn poll_timeout(&self, state: &State) -> Option<Duration> {
        let connected = state.hosts().filter(|host| host.connectivity == Connectivity::Connected);
        connected.map(|host| self.last_heard(host.id) + self.timeout).min()
    }

    /// Forgets hosts that are no longer in the state.
    pub fn retain_known(&mut self, state: &State) {
        self.heard.retain(|id, _| state.host(*id).is_some());
    }

    fn hears(&self, now: Duration, host: HostId) -> bool {
        now < self.last_heard(host) + self.timeout
    }

    fn last_heard(&self, host: HostId) -> Duration {
        self.heard.get(&host).copied().unwrap_or(self.since).max(self.since)
    }
}
