//! Users and join tokens.

use novacron_protocol::join_token::JoinRole;
use novacron_protocol::limits::{TOKENS_MAX, USERS_MAX};
use novacron_protocol::{ClusterId, HostId, Name, TokenId, UserId};

use super::{Context, check_room};
use crate::command::{Actor, NewMember, NewToken, NewUser};
use crate::event::{EventKind, Object};
use crate::member::{Member, MemberRole};
use crate::outcome::{Applied, Outcome, Refusal, RefusalCode};
use crate::state::{Cluster, State};
use crate::token::Token;
use crate::user::{Role, User};

impl State {
    pub(super) fn initialise(
        &mut self,
        context: &mut Context,
        cluster: ClusterId,
        name: &Name,
        member: &NewMember,
        admin: &NewUser,
    ) -> Applied {
        self.cluster = Some(Cluster { id: cluster, name: name.clone(), created_at: self.clock });
        self.members.insert(
            member.id,
            Member {
                id: member.id,
                name: member.name.clone(),
                addresses: member.addresses,
                role: MemberRole::Voter,
                key: member.key,
                joined_at: self.clock,
            },
        );
        self.last_member = member.id;
        let message = format!("cluster {name} began with member {}", member.id);
        self.emit(context, EventKind::ClusterInitialised, Object::Cluster, message);
        self.create_user(context, admin)
    }

    pub(super) fn create_user(&mut self, context: &mut Context, new: &NewUser) -> Applied {
        check_room(self.users.len(), USERS_MAX, "users")?;
        if self.users.values().any(|user| user.name == new.name) {
            let message = format!("there is a user {} already", new.name);
            return Err(Refusal::new(RefusalCode::NameTaken, message).on("name"));
        }
        self.users.insert(
            new.id,
            User {
                id: new.id,
                name: new.name.clone(),
                role: new.role,
                secret: new.secret,
                created_at: self.clock,
            },
        );
        let message = format!("user {} may act as {}", new.name, new.role);
        self.emit(context, EventKind::UserCreated, Object::User(new.id), message);
        Ok(Outcome::User(new.id))
    }

    pub(super) fn delete_user(&mut self, context: &mut Context, id: UserId) -> Applied {
        let user = self.users.get(&id).ok_or_else(|| Refusal::not_found(format!("user {id}")))?;
        let admins = self.users.values().filter(|user| user.role == Role::Admin).count();
        if user.role == Role::Admin && admins == 1 {
            return Err(Refusal::conflict(
                "the last admin cannot be deleted: nobody could undo it",
            ));
        }
        let message = format!("user {} deleted", user.name);
        self.users.remove(&id);
        self.emit(context, EventKind::UserDeleted, Object::User(id), message);
        Ok(Outcome::Done)
    }

    pub(super) fn create_token(&mut self, context: &mut Context, new: &NewToken) -> Applied {
        self.insert_token(context, new)?;
        let message = format!("join token made for {} use(s)", new.uses);
        self.emit(context, EventKind::TokenCreated, Object::Token(new.id), message);
        Ok(Outcome::Token(new.id))
    }

    /// A token with which `host`, and no other, comes back under its id.
    pub(super) fn allow_return(
        &mut self,
        context: &mut Context,
        new: &NewToken,
        host: HostId,
    ) -> Applied {
        if new.role != JoinRole::Host {
            return Err(Refusal::new(RefusalCode::Invalid, "only hosts come back").on("role"));
        }
        let known = self.hosts.get(&host);
        let known = known.ok_or_else(|| Refusal::not_found(format!("host {host}")).on("host"))?;
        let message = format!("join token made for host {} to come back", known.name);
        self.insert_token(context, new)?;
        self.returns.insert(new.id, host);
        self.emit(context, EventKind::TokenCreated, Object::Token(new.id), message);
        Ok(Outcome::Token(new.id))
    }

    fn insert_token(&mut self, context: &Context, new: &NewToken) -> Result<(), Refusal> {
        let clock = self.clock;
        if self.tokens.len() >= TOKENS_MAX {
            let useful = |token: &&Token| !token.is_expired(clock) && token.uses_left > 0;
            let kept = self.tokens.values().filter(useful);
            self.tokens = kept.map(|token| (token.id, token.clone())).collect();
            let returns = self.returns.iter().filter(|(token, _)| self.tokens.contains_key(*token));
            self.returns = returns.map(|(token, host)| (*token, *host)).collect();
        }
        check_room(self.tokens.len(), TOKENS_MAX, "tokens")?;
        let created_by = match &context.actor {
            Actor::User { name, .. } => Some(name.clone()),
            _ => None,
        };
        self.tokens.insert(
            new.id,
            Token {
                id: new.id,
                role: new.role,
                secret: new.secret,
                created_at: clock,
                created_by,
                expires_at: new.expires_at,
                uses_left: new.uses,
            },
        );
        Ok(())
    }

    pub(super) fn revoke_token(&mut self, context: &mut Context, id: TokenId) -> Applied {
        if self.tokens.remove(&id).is_none() {
            return Err(Refusal::not_found(format!("token {id}")));
        }
        self.returns.remove(&id);
        self.emit(context, EventKind::TokenRevoked, Object::Token(id), "join token revoked");
        Ok(Outcome::Done)
    }
}
