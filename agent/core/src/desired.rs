//! Which desired sets an agent takes, and what must be on disk before it acts on them.
//!
//! A member sends the whole set of the host with a generation. The highest one counts: a lower
//! one is a message that was overtaken, or a member that fell behind, and is refused.

use std::collections::BTreeMap;
use std::sync::Arc;

use novacron_protocol::vm::DesiredSet;
use novacron_protocol::{Generation, VmId};

/// What a desired set that was not refused means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Acceptance {
    /// It replaces what the agent had, once it is journalled.
    Accepted,
    /// The agent has it already.
    Unchanged,
}

/// Why a desired set is not taken. The agent goes on with the one it has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DesiredRefusal {
    #[error("desired set of generation {offered} is older than {held}, which this host has")]
    Stale { offered: Generation, held: Generation },
    #[error("two different desired sets of generation {0}")]
    Conflict(Generation),
    #[error("desired set of generation {0} is not sorted by id, or names an id twice")]
    Unsorted(Generation),
}

/// All that an agent must find again after a restart.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Journal {
    pub desired: DesiredSet,
    /// How far [`DesiredVm::restarts`](novacron_protocol::vm::DesiredVm::restarts) was done.
    pub restarts: BTreeMap<VmId, u32>,
}

/// A change of the [`Journal`], to be on disk as a whole or not at all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Persist {
    /// Replaces the set and forgets the restarts of VMs that are not in it.
    pub desired: Option<Arc<DesiredSet>>,
    pub restarts: BTreeMap<VmId, u32>,
}

impl Journal {
    /// What the journal holds once `change` is written. The reference for every store of it.
    pub fn apply(&mut self, change: &Persist) {
        self.restarts.extend(&change.restarts);
        if let Some(desired) = &change.desired {
            self.desired = (**desired).clone();
            self.restarts.retain(|vm, _| has(desired, *vm));
        }
    }
}

impl Persist {
    pub fn is_empty(&self) -> bool {
        self.desired.is_none() && self.restarts.is_empty()
    }
}

/// Whether `offered` replaces `held`.
pub fn judge(held: &DesiredSet, offered: &DesiredSet) -> Result<Acceptance, DesiredRefusal> {
    let generation = offered.generation;
    if generation < held.generation {
        return Err(DesiredRefusal::Stale { offered: generation, held: held.generation });
    }
    if generation == held.generation {
        let same = offered == held;
        return if same {
            Ok(Acceptance::Unchanged)
        } else {
            Err(DesiredRefusal::Conflict(generation))
        };
    }
    if offered.vms.is_sorted_by(|a, b| a.id < b.id) {
        Ok(Acceptance::Accepted)
    } else {
        Err(DesiredRefusal::Unsorted(generation))
    }
}

/// Whether `set`, which is sorted, names `vm`.
pub(crate) fn has(set: &DesiredSet, vm: VmId) -> bool {
    set.vms.binary_search_by_key(&vm, |entry| entry.id).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vm::testing::desired_vm;

    fn set(generation: u64, vms: &[u128]) -> DesiredSet {
        let vms = vms.iter().map(|id| desired_vm(*id)).collect();
        DesiredSet { generation: Generation(generation), vms }
    }

    #[test]
    fn only_a_higher_generation_replaces_a_desired_set() {
        let held = set(5, &[1, 2]);
        assert_eq!(judge(&held, &set(6, &[1])), Ok(Acceptance::Accepted));
        assert_eq!(judge(&held, &held), Ok(Acceptance::Unchanged));
        assert_eq!(
            judge(&held, &set(4, &[1, 2])),
            Err(DesiredRefusal::Stale { offered: Generation(4), held: Generation(5) })
        );
        assert_eq!(judge(&held, &set(5, &[1])), Err(DesiredRefusal::Conflict(Generation(5))));
    }

    #[test]
    fn a_set_that_names_a_vm_twice_or_out_of_order_is_refused() {
        for ids in [&[1, 1][..], &[2, 1]] {
            let refusal = judge(&set(1, &[]), &set(2, ids));
            assert_eq!(refusal, Err(DesiredRefusal::Unsorted(Generation(2))), "{ids:?}");
        }
    }

    #[test]
    fn a_new_set_forgets_the_restarts_of_vms_that_left() {
        let mut journal = Journal { desired: set(1, &[1, 2]), restarts: BTreeMap::new() };
        let (one, two) = (journal.desired.vms[0].id, journal.desired.vms[1].id);
        journal.apply(&Persist { desired: None, restarts: [(one, 3), (two, 4)].into() });
        let desired = Some(Arc::new(set(2, &[2])));
        journal.apply(&Persist { desired, restarts: BTreeMap::new() });
        assert_eq!(journal.restarts, [(two, 4)].into());
        assert_eq!(journal.desired.generation, Generation(2));
    }
}
