//! Hosts: what they have, whether they are heard, whether they take VMs.

use novacron_protocol::host::{Connectivity, HostInventory};
use novacron_protocol::wire::hello::Peer;
use novacron_protocol::{HostId, TokenId};

use super::Context;
use crate::event::{EventKind, Object};
use crate::host::Host;
use crate::outcome::{Applied, Outcome, Refusal};
use crate::state::State;

impl State {
    pub(super) fn set_inventory(&mut self, id: HostId, inventory: &HostInventory) -> Applied {
        let applied = self.applied;
        let host = self.host_mut(id)?;
        if host.inventory.as_ref() != Some(inventory) {
            host.inventory = Some(inventory.clone());
            host.changed = applied;
        }
        Ok(Outcome::Host(id))
    }

    /// Hosts that are unknown or unchanged are passed over: the report may be older than the state.
    pub(super) fn set_connectivity(
        &mut self,
        context: &mut Context,
        hosts: &[(HostId, Connectivity)],
    ) -> Applied {
        let (applied, clock) = (self.applied, self.clock);
        for (id, connectivity) in hosts {
            let Some(host) = self.hosts.get_mut(id) else { continue };
            if host.connectivity == *connectivity {
                continue;
            }
            host.connectivity = *connectivity;
            host.connectivity_since = clock;
            host.changed = applied;
            let kind = match connectivity {
                Connectivity::Connected => EventKind::HostConnected,
                _ => EventKind::HostDisconnected,
            };
            let message = format!("host {} is {connectivity}", host.name);
            self.emit(context, kind, Object::Host(*id), message);
        }
        Ok(Outcome::Done)
    }

    pub(super) fn cordon(&mut self, context: &mut Context, id: HostId, reason: &str) -> Applied {
        let applied = self.applied;
        let host = self.host_mut(id)?;
        if host.cordon.as_deref() == Some(reason) {
            return Ok(Outcome::Host(id));
        }
        host.cordon = Some(reason.to_owned());
        host.changed = applied;
        let message = format!("host {} takes no new VMs: {reason}", host.name);
        self.emit(context, EventKind::HostCordoned, Object::Host(id), message);
        Ok(Outcome::Host(id))
    }

    pub(super) fn uncordon(&mut self, context: &mut Context, id: HostId) -> Applied {
        let applied = self.applied;
        let host = self.host_mut(id)?;
        if host.cordon.take().is_some() {
            host.changed = applied;
            let message = format!("host {} takes VMs again", host.name);
            self.emit(context, EventKind::HostUncordoned, Object::Host(id), message);
        }
        Ok(Outcome::Host(id))
    }

    pub(super) fn remove_host(&mut self, context: &mut Context, id: HostId) -> Applied {
        let placed = self.vms_on(id).count();
        let host = self.host_mut(id)?;
        if placed > 0 {
            let silent = match host.connectivity {
                Connectivity::Connected => String::new(),
                other => format!("; its agent, which is {other}, must confirm that they are gone"),
            };
            let message = format!(
                "{placed} VM(s) are placed on host {}; delete them first{silent}",
                host.name
            );
            return Err(Refusal::conflict(message));
        }
        let name = host.name.clone();
        self.hosts.remove(&id);
        self.index.hosts_by_name.remove(&name);
        self.index.vms_by_host.remove(&id);
        self.revoke(Peer::Host(id));
        self.returned.remove(&id);
        self.forget_returns(id);
        let message = format!("host {name} removed, its identity revoked");
        self.emit(context, EventKind::HostRemoved, Object::Host(id), message);
        Ok(Outcome::Host(id))
    }

    /// Tokens with which a host would come back go with it.
    fn forget_returns(&mut self, id: HostId) {
        let its = self.returns.iter().filter(|(_, host)| **host == id);
        let its: Vec<TokenId> = its.map(|(token, _)| *token).collect();
        for token in its {
            self.returns.remove(&token);
            self.tokens.remove(&token);
        }
    }

    pub(super) fn host_mut(&mut self, id: HostId) -> Result<&mut Host, Refusal> {
        self.hosts.get_mut(&id).ok_or_else(|| Refusal::not_found(format!("host {id}")))
    }
}
