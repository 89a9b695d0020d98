//! VMs as the replicated state knows them: what they should be, where, and what was last seen.

use bincode::{Decode, Encode};
use novacron_protocol::host::Connectivity;
use novacron_protocol::image::ImageBoot;
use novacron_protocol::vm::{DesiredVm, StopMode, Target, VmSpec, VmState};
use novacron_protocol::{Generation, HostId, LogIndex, Name, Timestamp, VmId};

use crate::host::{Host, Usage};

#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Vm {
    pub id: VmId,
    pub name: Name,
    pub spec: VmSpec,
    pub boot: ImageBoot,
    pub target: Target,
    pub stop_mode: StopMode,
    pub restarts: u32,
    /// The host that it is placed on; `None` waits for a host.
    pub host: Option<HostId>,
    /// Generation of the host's set at which this VM's entry last changed.
    pub revision: Generation,
    /// The agent's last word; `None` before its first.
    pub seen: Option<Seen>,
    pub created_at: Timestamp,
    pub changed: LogIndex,
}

/// What an agent last reported.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Seen {
    pub state: VmState,
    pub revision: Generation,
    pub restarts: u32,
    pub reason: String,
    pub at: Timestamp,
}

/// What is known of a VM now. Never a guess: silence makes it unknown, not stopped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Observed {
    /// Not placed, or its host has not spoken of it yet.
    Absent,
    Known {
        state: VmState,
        at: Timestamp,
        reason: String,
    },
    /// Its host is not heard since then; it was last seen in `last`.
    Unknown {
        since: Timestamp,
        last: Option<VmState>,
    },
}

impl Vm {
    /// What is known of the VM, given the host it is placed on.
    pub fn observed(&self, host: Option<&Host>) -> Observed {
        let cut_off = host.filter(|host| host.connectivity == Connectivity::Disconnected);
        match (&self.seen, cut_off) {
            (seen, Some(host)) => Observed::Unknown {
                since: host.connectivity_since,
                last: seen.as_ref().map(|seen| seen.state),
            },
            (Some(seen), None) => {
                Observed::Known { state: seen.state, at: seen.at, reason: seen.reason.clone() }
            }
            (None, None) => Observed::Absent,
        }
    }

    /// What it takes from its host. A disk counts with its full virtual size: overlays grow.
    pub fn usage(&self) -> Usage {
        let image_disk = self.boot.disk().map(|disk| disk.virtual_size).unwrap_or_default();
        Usage::of(&self.spec, self.spec.disk.unwrap_or(image_disk).max(image_disk))
    }

    /// Its entry in the host's desired set.
    pub fn desired(&self) -> DesiredVm {
        DesiredVm {
            id: self.id,
            name: self.name.clone(),
            revision: self.revision,
            target: self.target,
            stop_mode: self.stop_mode,
            restarts: self.restarts,
            spec: self.spec.clone(),
            boot: self.boot.clone(),
        }
    }
}
