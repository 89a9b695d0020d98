//! What the leader was told, and what it must be told next.
//!
//! A leader that is new, or whose session is, gets inventory and report whole; after that only what
//! changed. What does not fit the session's queue stays due and is tried again each turn.

use novacron_agent_core::Host;
use novacron_agent_core::leadership::Leadership;
use novacron_protocol::host::HostInventory;
use novacron_protocol::wire::Class;
use novacron_protocol::wire::agent::{FromAgent, Heartbeat, Report};
use novacron_protocol::{MemberId, Term};
use novacron_transport::{Session, SessionError};

use crate::uplink::Uplink;

/// Talks to the leader.
#[derive(Debug, Default)]
pub(super) struct Reporter {
    leadership: Leadership,
    told: Option<Told>,
}

/// What one leader, in one term and on one session, has heard.
#[derive(Debug)]
struct Told {
    term: Term,
    session_id: u64,
    inventory: Option<HostInventory>,
    report: Option<Report>,
    /// The core's report version that was looked at last.
    version: Option<u64>,
}

impl Reporter {
    /// Takes a member's word on who leads; tells whether that is news.
    pub(super) fn handle_leadership(&mut self, term: Term, leader: Option<MemberId>) -> bool {
        self.leadership.handle_word(term, leader)
    }

    pub(super) fn leader(&self) -> Option<MemberId> {
        self.leadership.leader()
    }

    /// Tells the leader what it has not heard.
    pub(super) fn tell(
        &mut self,
        uplink: &Uplink,
        core: &Host,
        inventory: Option<&HostInventory>,
    ) -> Hearing {
        let Some(session) = self.session(uplink) else {
            self.told = None;
            return Hearing::Nobody;
        };
        let (term, session_id) = (self.leadership.term(), session.stable_id());
        let same = |told: &Told| told.term == term && told.session_id == session_id;
        let (told, hearing) = match self.told.take().filter(same) {
            Some(told) => (self.told.insert(told), Hearing::Same),
            None => (self.told.insert(Told::nothing(term, session_id)), Hearing::New),
        };
        told.tell_inventory(&session, inventory);
        told.tell_report(&session, core);
        hearing
    }

    /// Tells the leader that the host is there.
    pub(super) fn beat(&mut self, uplink: &Uplink, heartbeat: Heartbeat) {
        if let Some(session) = self.session(uplink) {
            sent(&session, Class::Lease, &FromAgent::Heartbeat(heartbeat));
        }
    }

    fn session(&self, uplink: &Uplink) -> Option<Session> {
        self.leadership.leader().and_then(|leader| uplink.session(leader))
    }
}

/// Who heard the reporter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Hearing {
    Nobody,
    /// A leader that had heard nothing yet.
    New,
    Same,
}

impl Told {
    fn nothing(term: Term, session_id: u64) -> Self {
        Self { term, session_id, inventory: None, report: None, version: None }
    }

    fn tell_inventory(&mut self, session: &Session, inventory: Option<&HostInventory>) {
        if let Some(inventory) =
            inventory.filter(|inventory| self.inventory.as_ref() != Some(inventory))
            && sent(session, Class::Command, &FromAgent::Inventory(inventory.clone()))
        {
            self.inventory = Some(inventory.clone());
        }
    }

    fn tell_report(&mut self, session: &Session, core: &Host) {
        if self.version == Some(core.report_version()) {
            return;
        }
        let report = core.report();
        let news = report.clone().filter(|_| self.report != report).map(FromAgent::Report);
        if news.is_none_or(|message| sent(session, Class::Command, &message)) {
            self.report = report;
            self.version = Some(core.report_version());
        }
    }
}

fn sent(session: &Session, class: Class, message: &FromAgent) -> bool {
    match session.try_send(class, message) {
        Ok(()) => true,
        Err(SessionError::TooLong(detail)) => {
            tracing::error!(detail, "a message to the leader does not fit");
            true
        }
        Err(error) => {
            tracing::debug!(%error, %class, "the leader was not told");
            false
        }
    }
}
