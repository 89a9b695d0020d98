//! One link: keeps a session to one member warm.
//!
//! ```text
//!          wanted             dialled
//!   Idle ---------> Dialling ---------> Up
//!    ^                 ^  | failed       | lost
//!    |                 |  v              |
//!    +-- unwanted   Waiting <------------+
//!       (from any)     timeout, or a neighbour is up: back to Dialling
//! ```
//!
//! The shell feeds events, does what [`Link::poll_action`] says, and calls
//! [`Link::handle_timeout`] when [`Link::poll_timeout`] is due. Events that do not fit a state
//! come from races (a dial that was given up succeeds) and change nothing.

use std::time::Duration;

use crate::backoff::Backoff;

/// A session must live this long to count as a success. One that breaks sooner grows the backoff
/// like a failed dial, so that a peer which accepts and hangs up is not hammered.
pub const STABLE_AFTER: Duration = Duration::from_secs(5);

/// What the shell has to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Start to dial; answer with `handle_dialled` or `handle_failed`.
    Dial,
    /// Give up the dial or close the session.
    HangUp,
}

/// Where a link stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    Idle,
    Dialling,
    Up { since: Duration },
    Waiting { until: Duration },
}

/// The link to one member.
#[derive(Debug, Clone)]
pub struct Link {
    state: State,
    backoff: Backoff,
    /// Tries since the last stable session.
    attempt: u32,
    action: Option<Action>,
}

impl Link {
    pub fn new(backoff: Backoff) -> Self {
        Self { state: State::Idle, backoff, attempt: 0, action: None }
    }

    /// Somebody wants this link.
    pub fn handle_wanted(&mut self) {
        if self.state == State::Idle {
            self.attempt = 0;
            self.dial();
        }
    }

    /// Nobody wants this link any more.
    pub fn handle_unwanted(&mut self) {
        self.action = match self.state {
            State::Dialling | State::Up { .. } => Some(Action::HangUp),
            State::Idle | State::Waiting { .. } => None,
        };
        self.state = State::Idle;
    }

    /// The dial ended with a session.
    pub fn handle_dialled(&mut self, now: Duration) {
        if self.state == State::Dialling {
            self.state = State::Up { since: now };
        }
    }

    /// The dial ended without one.
    pub fn handle_failed(&mut self, now: Duration, entropy: u64) {
        if self.state == State::Dialling {
            self.wait(now, entropy);
        }
    }

    /// The session ended.
    pub fn handle_lost(&mut self, now: Duration, entropy: u64) {
        if let State::Up { since } = self.state {
            if now.saturating_sub(since) >= STABLE_AFTER {
                self.attempt = 0;
            }
            self.wait(now, entropy);
        }
    }

    /// The deadline of [`Self::poll_timeout`] came, or an earlier instant.
    pub fn handle_timeout(&mut self, now: Duration) {
        if let State::Waiting { until } = self.state
            && now >= until
        {
            self.dial();
        }
    }

    /// The link to another member has come up: what kept this one waiting may be over too.
    pub fn handle_neighbour_up(&mut self) {
        if let State::Waiting { .. } = self.state {
            self.dial();
        }
    }

    /// What to do now; each action is handed out once.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.action.take()
    }

    /// When to call [`Self::handle_timeout`].
    pub fn poll_timeout(&self) -> Option<Duration> {
        match self.state {
            State::Waiting { until } => Some(until),
            State::Idle | State::Dialling | State::Up { .. } => None,
        }
    }

    pub fn state(&self) -> State {
        self.state
    }

    fn dial(&mut self) {
        self.state = State::Dialling;
        self.action = Some(Action::Dial);
    }

    fn wait(&mut self, now: Duration, entropy: u64) {
        let until = now + self.backoff.delay(self.attempt, entropy);
        self.attempt = self.attempt.saturating_add(1);
        self.state = State::Waiting { until };
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;

    const NOW: Duration = Duration::from_secs(100);

    type Event = (&'static str, fn(&mut Link));

    const EVENTS: [Event; 8] = [
        ("wanted", Link::handle_wanted),
        ("unwanted", Link::handle_unwanted),
        ("dialled", |link| link.handle_dialled(NOW)),
        ("failed", |link| link.handle_failed(NOW, u64::MAX)),
        ("lost", |link| link.handle_lost(NOW, u64::MAX)),
        ("timeout, early", |link| link.handle_timeout(NOW)),
        ("timeout, due", |link| link.handle_timeout(NOW + Duration::from_secs(1))),
        ("neighbour up", Link::handle_neighbour_up),
    ];

    const STATES: [State; 4] = [
        State::Idle,
        State::Dialling,
        State::Up { since: NOW },
        State::Waiting { until: Duration::from_millis(100_400) },
    ];

    #[test]
    fn transitions_are_as_printed() {
        let mut table = String::new();
        for state in STATES {
            for (name, event) in EVENTS {
                let mut link = Link { state, backoff: Backoff::LINK, attempt: 2, action: None };
                event(&mut link);
                let action = link.poll_action().map_or(String::new(), |a| format!(" + {a:?}"));
                writeln!(table, "{state:?} --{name}--> {:?}{action}", link.state()).unwrap();
            }
        }
        insta::assert_snapshot!(table);
    }

    #[test]
    fn a_peer_that_accepts_and_hangs_up_is_met_with_growing_waits() {
        let mut link = Link::new(Backoff::LINK);
        link.handle_wanted();
        let mut waits = Vec::new();
        let mut now = NOW;
        for _ in 0..5 {
            assert_eq!(link.poll_action(), Some(Action::Dial));
            link.handle_dialled(now);
            link.handle_lost(now, u64::MAX);
            let until = link.poll_timeout().unwrap();
            waits.push((until - now).as_millis());
            now = until;
            link.handle_timeout(now);
        }
        assert_eq!(waits, [100, 200, 400, 800, 1500]);
    }

    #[test]
    fn a_stable_session_forgives_earlier_failures() {
        let mut link = Link::new(Backoff::LINK);
        link.handle_wanted();
        for _ in 0..9 {
            link.handle_failed(NOW, 0);
            link.handle_timeout(NOW + Duration::from_secs(9));
        }
        link.handle_dialled(NOW);
        link.handle_lost(NOW + STABLE_AFTER, u64::MAX);
        let wait = link.poll_timeout().unwrap() - NOW - STABLE_AFTER;
        assert_eq!(wait, Backoff::LINK.first);
    }
}
