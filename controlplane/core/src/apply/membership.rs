//! Members and their part in Raft.
//!
//! The Raft configuration is changed by the leader's membership loop, through Raft's own entries;
//! applying one brings the roles here in line with it.

use novacron_protocol::wire::hello::Peer;
use novacron_protocol::{LogIndex, MemberId};

use super::Context;
use crate::command::Actor;
use crate::event::{EventKind, Object};
use crate::member::MemberRole;
use crate::outcome::{Applied, Outcome, Refusal};
use crate::state::State;

/// Who votes and who learns after a configuration entry, both sorted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Configuration {
    pub voters: Vec<MemberId>,
    pub learners: Vec<MemberId>,
}

impl State {
    /// Applies the Raft configuration entry at `index`. A member that was leaving and is in no
    /// part of the configuration any more is forgotten, and its key revoked.
    ///
    /// # Panics
    /// As [`State::apply`].
    pub fn apply_configuration(&mut self, index: LogIndex, configuration: &Configuration) {
        self.advance(index);
        let mut context = Context { actor: Actor::System, ordinal: 0 };
        let ids: Vec<MemberId> = self.members.keys().copied().collect();
        for id in ids {
            let role = if configuration.voters.contains(&id) {
                Some(MemberRole::Voter)
            } else if configuration.learners.contains(&id) {
                Some(MemberRole::Learner)
            } else {
                None
            };
            self.set_role(&mut context, id, role);
        }
    }

    pub(super) fn remove_member(&mut self, context: &mut Context, id: MemberId) -> Applied {
        let voters = self.members.values().filter(|member| member.role == MemberRole::Voter);
        let voters = voters.count();
        let member =
            self.members.get_mut(&id).ok_or_else(|| Refusal::not_found(format!("member {id}")))?;
        match member.role {
            MemberRole::Leaving => return Ok(Outcome::Member(id)),
            MemberRole::Voter if voters == 1 => {
                return Err(Refusal::conflict("the last voter cannot be removed"));
            }
            MemberRole::Joining => {
                self.members.remove(&id);
                self.revoke(Peer::Member(id));
            }
            MemberRole::Voter | MemberRole::Learner => member.role = MemberRole::Leaving,
        }
        let message = format!("member {id} is to be removed");
        self.emit(context, EventKind::MemberRoleChanged, Object::Member(id), message);
        Ok(Outcome::Member(id))
    }

    fn set_role(&mut self, context: &mut Context, id: MemberId, role: Option<MemberRole>) {
        let Some(member) = self.members.get_mut(&id) else { return };
        match (member.role, role) {
            (MemberRole::Leaving, None) => {
                self.members.remove(&id);
                self.revoke(Peer::Member(id));
                let message = format!("member {id} left");
                self.emit(context, EventKind::MemberRemoved, Object::Member(id), message);
            }
            (MemberRole::Leaving, Some(_)) | (_, None) => {}
            (old, Some(new)) if old != new => {
                member.role = new;
                let message = format!("member {id} is a {new} now");
                self.emit(context, EventKind::MemberRoleChanged, Object::Member(id), message);
            }
            (_, Some(_)) => {}
        }
    }
}
