//! The next change of the Raft group: what the leader does to bring it in line with the state.
//!
//! One change at a time. A newcomer learns first and votes once it has caught up; a leaving leader
//! hands over the lead before it is taken out.

use novacron_protocol::{LogIndex, MemberId};

use crate::member::MemberRole;
use crate::state::State;

/// A learner votes when it is at most so many entries behind: it then follows within a heartbeat.
const CAUGHT_UP_WITHIN: u64 = 100;

/// What to do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    AddLearner(MemberId),
    Promote(MemberId),
    Remove(MemberId),
    /// Hand over the lead to that member, so that this one can leave.
    TransferLead(MemberId),
}

/// The next step for the leader `own`; `progress` is how far each member's log agrees with its own.
pub fn next_step(state: &State, own: MemberId, progress: &[(MemberId, LogIndex)]) -> Option<Step> {
    let matched = |id: MemberId| progress.iter().find(|(other, _)| *other == id).map(|(_, at)| *at);
    let in_group = |id: MemberId| matched(id).is_some();
    let caught_up = |id: MemberId| {
        matched(id).is_some_and(|at| at.0 + CAUGHT_UP_WITHIN >= state.applied().0 && at.0 > 0)
    };
    let step = |member: &crate::member::Member| match member.role {
        MemberRole::Joining if in_group(member.id) => None,
        MemberRole::Joining => Some(Step::AddLearner(member.id)),
        MemberRole::Learner => caught_up(member.id).then_some(Step::Promote(member.id)),
        MemberRole::Voter => None,
        MemberRole::Leaving if !in_group(member.id) => None,
        MemberRole::Leaving if member.id != own => Some(Step::Remove(member.id)),
        MemberRole::Leaving => {
            let heirs = state.members().filter(|other| other.role == MemberRole::Voter);
            heirs.max_by_key(|other| matched(other.id)).map(|other| Step::TransferLead(other.id))
        }
    };
    state.members().find_map(step)
}
