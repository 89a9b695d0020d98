//! Letting new hosts and members in.

use novacron_protocol::host::Connectivity;
use novacron_protocol::join_token::JoinRole;
use novacron_protocol::limits::{HOSTS_MAX, MEMBERS_MAX};
use novacron_protocol::{Generation, HostId, MemberId, Timestamp};

use super::{CERTIFICATE_LIFE_MAX, Context, check_room};
use crate::command::Redemption;
use crate::event::{EventKind, Object};
use crate::host::{Host, Usage};
use crate::member::{Member, MemberRole};
use crate::outcome::{Applied, Outcome, Refusal, RefusalCode};
use crate::state::State;

impl State {
    /// Lets the bearer of a token in. A key that is in already gets the same answer again, so a
    /// newcomer whose answer was lost may ask once more.
    pub(super) fn redeem(&mut self, context: &mut Context, join: &Redemption) -> Applied {
        let admitted = self.check_redemption(join, self.clock).and_then(|()| {
            match self.admitted_before(join) {
                Some(outcome) => self.move_newcomer(&outcome, join).map(|()| (outcome, false)),
                None => self.admit(context, join).map(|outcome| (outcome, true)),
            }
        });
        match admitted {
            Ok((outcome, fresh)) => {
                if fresh && let Some(token) = self.tokens.get_mut(&join.token) {
                    token.uses_left -= 1;
                }
                Ok(outcome)
            }
            Err(refusal) => {
                let message = format!("join of {} refused: {refusal}", join.name);
                self.emit(context, EventKind::AccessRefused, Object::Token(join.token), message);
                Err(refusal)
            }
        }
    }

    /// Whether the token of a newcomer is good at `now`. Checked at the door, and again in `apply`.
    pub fn check_redemption(&self, join: &Redemption, now: Timestamp) -> Result<(), Refusal> {
        let unknown =
            || Refusal::new(RefusalCode::TokenUnknown, "no such token, or its secret is wrong");
        let token = self.tokens.get(&join.token).ok_or_else(unknown)?;
        if !token.secret.matches(&join.secret) {
            return Err(unknown());
        }
        if token.role != join.role {
            return Err(Refusal::new(RefusalCode::TokenWrongRole, "the token is for another role"));
        }
        if token.is_expired(now) {
            return Err(Refusal::new(RefusalCode::TokenExpired, "the token expired"));
        }
        if token.uses_left == 0 && self.admitted_before(join).is_none() {
            return Err(Refusal::new(RefusalCode::TokenUsedUp, "the token has no uses left"));
        }
        Ok(())
    }

    fn admitted_before(&self, join: &Redemption) -> Option<Outcome> {
        match join.role {
            JoinRole::Host => {
                let expected = self.returning_host(join.token);
                let is_it = |host: &&Host| {
                    host.key == join.key && expected.is_none_or(|expected| host.id == expected)
                };
                self.hosts.values().find(is_it).map(|host| Outcome::Host(host.id))
            }
            JoinRole::Member => {
                let known = self.members.values().find(|member| member.key == join.key);
                known.map(|member| Outcome::Member(member.id))
            }
        }
    }

    /// A member that joins again, before it votes, may listen elsewhere by now.
    fn move_newcomer(&mut self, outcome: &Outcome, join: &Redemption) -> Result<(), Refusal> {
        let (Outcome::Member(id), Some(addresses)) = (outcome, join.member) else { return Ok(()) };
        let Some(member) = self.members.get_mut(id) else { return Ok(()) };
        match member.role {
            MemberRole::Joining | MemberRole::Learner => member.addresses = addresses,
            _ if member.addresses == addresses => {}
            _ => {
                let message = format!("member {id} votes already, at {}", member.addresses.cluster);
                return Err(Refusal::conflict(message));
            }
        }
        Ok(())
    }

    fn admit(&mut self, context: &mut Context, join: &Redemption) -> Applied {
        match join.role {
            JoinRole::Host => match self.returning_host(join.token) {
                Some(host) => self.admit_again(context, join, host),
                None => self.admit_host(context, join),
            },
            JoinRole::Member => self.admit_member(context, join),
        }
    }

    fn admit_host(&mut self, context: &mut Context, join: &Redemption) -> Applied {
        check_room(self.hosts.len(), HOSTS_MAX, "hosts")?;
        if self.index.hosts_by_name.contains_key(&join.name) {
            let message = format!("there is a host {} already; remove it first", join.name);
            return Err(Refusal::new(RefusalCode::NameTaken, message).on("name"));
        }
        if self.hosts.contains_key(&join.host) {
            return Err(Refusal::conflict("this host id is in use"));
        }
        self.hosts.insert(
            join.host,
            Host {
                id: join.host,
                name: join.name.clone(),
                inventory: None,
                connectivity: Connectivity::Joining,
                connectivity_since: self.clock,
                cordon: None,
                generation: Generation(0),
                accepted: Generation(0),
                key: join.key,
                joined_at: self.clock,
                changed: self.applied,
                allocated: Usage::default(),
            },
        );
        self.index.hosts_by_name.insert(join.name.clone(), join.host);
        let message = format!("host {} joined", join.name);
        self.emit(context, EventKind::HostJoined, Object::Host(join.host), message);
        Ok(Outcome::Host(join.host))
    }

    /// A host that is known comes back with a new key. Whatever it was placed, it still is.
    fn admit_again(&mut self, context: &mut Context, join: &Redemption, id: HostId) -> Applied {
        let (clock, applied) = (self.clock, self.applied);
        let host = self.host_mut(id)?;
        host.key = join.key;
        host.changed = applied;
        let message =
            format!("host {} came back; its certificates from before are void", host.name);
        let returned = self.returned.iter().filter(|(_, at)| clock - **at < CERTIFICATE_LIFE_MAX);
        self.returned = returned.map(|(host, at)| (*host, *at)).collect();
        self.returned.insert(id, clock);
        self.emit(context, EventKind::HostReturned, Object::Host(id), message);
        Ok(Outcome::Host(id))
    }

    fn admit_member(&mut self, context: &mut Context, join: &Redemption) -> Applied {
        check_room(self.members.len(), MEMBERS_MAX, "members")?;
        let Some(addresses) = join.member else {
            return Err(Refusal::new(RefusalCode::Invalid, "a member must say where it listens"));
        };
        let same_place = |member: &Member| {
            member.addresses.cluster == addresses.cluster || member.name == join.name
        };
        if let Some(other) = self.members.values().find(|member| same_place(member)) {
            let message = format!("member {} has this name or address already", other.id);
            return Err(Refusal::new(RefusalCode::NameTaken, message).on("name"));
        }
        let id = MemberId(self.last_member.0 + 1);
        self.last_member = id;
        self.members.insert(
            id,
            Member {
                id,
                name: join.name.clone(),
                addresses,
                role: MemberRole::Joining,
                key: join.key,
                joined_at: self.clock,
            },
        );
        let message = format!("member {id} ({}) joined at {}", join.name, addresses.cluster);
        self.emit(context, EventKind::MemberJoined, Object::Member(id), message);
        Ok(Outcome::Member(id))
    }
}
