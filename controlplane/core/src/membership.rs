//! The next change of the Raft group: what the leader does to bring it in line with the state.
//!
//! One change at a time. A newcomer learns first and votes once it has caught up; a leaving leader
//! hands over the lead before it is taken out. Nobody is taken out while those who stay could not
//! go on without it.

use novacron_protocol::{LogIndex, MemberId};

use crate::member::{Member, MemberRole};
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

/// How the leader sees one member of the Raft group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    pub member: MemberId,
    /// Up to here its log is known to agree with the leader's.
    pub matched: LogIndex,
    pub votes: bool,
    /// Whether it was heard of within the last election timeout.
    pub is_active: bool,
}

/// The next step for the leader `own` of the Raft group `group`.
pub fn next_step(state: &State, own: MemberId, group: &[Progress]) -> Option<Step> {
    let group = Group { own, members: group };
    let unknown = group.members.iter().map(|progress| progress.member);
    // Added by an entry that was under way when the state forgot it.
    let unknown = unknown.filter(|id| *id != own && state.member(*id).is_none());
    let mut unknown = unknown.filter_map(|id| group.removal(id));
    unknown.next().or_else(|| state.members().find_map(|member| group.step(state, member)))
}

struct Group<'a> {
    own: MemberId,
    members: &'a [Progress],
}

impl Group<'_> {
    fn step(&self, state: &State, member: &Member) -> Option<Step> {
        let progress = self.members.iter().find(|progress| progress.member == member.id);
        match (member.role, progress) {
            (MemberRole::Joining | MemberRole::Learner, None) => Some(Step::AddLearner(member.id)),
            (MemberRole::Learner, Some(progress)) if has_caught_up(state, progress) => {
                Some(Step::Promote(member.id))
            }
            (MemberRole::Leaving, Some(_)) if member.id == self.own => {
                self.heir(state).map(Step::TransferLead)
            }
            (MemberRole::Leaving, Some(_)) => self.removal(member.id),
            _ => None,
        }
    }

    /// Takes `id` out, if most of the voters that stay are there: only they could let somebody in
    /// again.
    fn removal(&self, id: MemberId) -> Option<Step> {
        let stays = |progress: &&Progress| progress.votes && progress.member != id;
        let stays = self.members.iter().filter(stays);
        let active = stays.clone().filter(|progress| progress.is_active).count();
        (active > stays.count() / 2).then_some(Step::Remove(id))
    }

    /// Who can lead at once and stays.
    fn heir(&self, state: &State) -> Option<MemberId> {
        let stays = |id| state.member(id).is_some_and(|member| member.role == MemberRole::Voter);
        let heirs = self.members.iter().filter(|progress| progress.votes && progress.is_active);
        let heirs = heirs.filter(|progress| progress.member != self.own && stays(progress.member));
        heirs.max_by_key(|progress| progress.matched).map(|progress| progress.member)
    }
}

fn has_caught_up(state: &State, progress: &Progress) -> bool {
    let reached = progress.matched.0;
    reached > 0 && reached + CAUGHT_UP_WITHIN >= state.applied().0
}
