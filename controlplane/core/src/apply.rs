//! From one state to the next.
//!
//! [`State::apply`] is total: every envelope is done or refused, the same on every member. One file
//! per subject holds what its commands do; this one has the order of things and what they share.

mod fleet;
mod image;
mod join;
mod membership;
mod operation;
mod people;
mod vm;

use novacron_protocol::wire::hello::Peer;
use novacron_protocol::{LogIndex, Millis};

use crate::command::{Actor, Command, Envelope};
use crate::event::{Event, EventKind, Object};
use crate::outcome::{Applied, Outcome, Refusal, RefusalCode};
use crate::state::State;

pub use membership::Configuration;

/// No certificate of a host or member lives longer.
pub const CERTIFICATE_LIFE_MAX: Millis = Millis(366 * 24 * 3600 * 1000);

/// What the applied entry carries along while it is applied.
pub(crate) struct Context {
    actor: Actor,
    /// Events this entry made so far.
    ordinal: u32,
}

impl State {
    /// Applies the entry at `index`.
    ///
    /// # Panics
    /// When entries come out of order: the driver's mistake, and going on would fork the state.
    pub fn apply(&mut self, index: LogIndex, envelope: &Envelope) -> Applied {
        self.advance(index);
        if let Some(answer) = envelope.request.and_then(|key| self.requests.replay(&key)) {
            return answer;
        }
        self.clock = self.clock.max(envelope.at);
        let mut context = Context { actor: envelope.actor.clone(), ordinal: 0 };
        let applied = self.execute(&mut context, &envelope.command);
        if let Some(key) = &envelope.request {
            self.requests.record(index, key, &applied);
        }
        applied
    }

    /// Passes over an entry that carries no command, such as a new leader's empty one.
    ///
    /// # Panics
    /// As [`State::apply`].
    pub fn advance(&mut self, index: LogIndex) {
        assert!(index > self.applied, "entry {index} applied after {}", self.applied);
        self.applied = index;
    }

    fn execute(&mut self, context: &mut Context, command: &Command) -> Applied {
        let initialising = matches!(command, Command::Initialise { .. });
        if initialising == self.cluster.is_some() {
            let message = if initialising { "initialised already" } else { "not initialised yet" };
            return Err(Refusal::new(RefusalCode::WrongPhase, format!("the cluster is {message}")));
        }
        match command {
            Command::Initialise { cluster, name, member, admin } => {
                self.initialise(context, *cluster, name, member, admin)
            }
            Command::CreateUser(user) => self.create_user(context, user),
            Command::DeleteUser { user } => self.delete_user(context, *user),
            Command::CreateToken(token) => self.create_token(context, token),
            Command::RevokeToken { token } => self.revoke_token(context, *token),
            Command::Redeem(redemption) => self.redeem(context, redemption),
            Command::RecordRefusal { what, why } => self.record_refusal(context, what, why),
            Command::RemoveMember { member } => self.remove_member(context, *member),
            Command::SetInventory { host, inventory } => self.set_inventory(*host, inventory),
            Command::SetConnectivity { hosts } => self.set_connectivity(context, hosts),
            Command::Cordon { host, reason } => self.cordon(context, *host, reason),
            Command::Uncordon { host } => self.uncordon(context, *host),
            Command::RemoveHost { host } => self.remove_host(context, *host),
            Command::CreateImage(image) => self.create_image(context, image),
            Command::HoldImage { image, member } => self.hold_image(context, *image, *member),
            Command::DeleteImage { image } => self.delete_image(context, *image),
            Command::CreateVm(vm) => self.create_vm(context, vm),
            Command::SetTarget { vm, action, operation, expected } => {
                self.set_target(context, *vm, *action, *operation, *expected)
            }
            Command::Place { vm, host } => self.place(context, *vm, *host),
            Command::Observe { host, generation, vms } => {
                self.observe(context, *host, *generation, vms)
            }
            Command::CancelOperation { operation } => self.cancel_operation(context, *operation),
            Command::ExpireOperations { operations } => self.expire_operations(context, operations),
            Command::AllowReturn { token, host } => self.allow_return(context, token, *host),
        }
    }

    /// Puts a fact on record.
    fn emit(
        &mut self,
        context: &mut Context,
        kind: EventKind,
        object: Object,
        message: impl Into<String>,
    ) {
        self.events.push(Event {
            index: self.applied,
            ordinal: context.ordinal,
            at: self.clock,
            kind,
            object,
            actor: context.actor.clone(),
            message: message.into(),
        });
        context.ordinal += 1;
    }

    /// Makes all certificates of `peer` worthless. Ids are never used again, so that this needs to
    /// be kept only as long as a certificate can live.
    fn revoke(&mut self, peer: Peer) {
        let clock = self.clock;
        let revoked = self.revoked.iter().filter(|(_, at)| clock - **at < CERTIFICATE_LIFE_MAX);
        self.revoked = revoked.map(|(peer, at)| (*peer, *at)).collect();
        self.revoked.insert(peer, clock);
    }

    fn record_refusal(&mut self, context: &mut Context, what: &str, why: &str) -> Applied {
        let message = format!("{what} refused: {why}");
        self.emit(context, EventKind::AccessRefused, Object::Cluster, message);
        Ok(Outcome::Done)
    }
}

/// Refuses to grow a collection past its bound.
fn check_room(len: usize, max: usize, what: &str) -> Result<(), Refusal> {
    if len < max {
        return Ok(());
    }
    let message = format!("this cluster holds at most {max} {what}");
    Err(Refusal::new(RefusalCode::LimitReached, message))
}
