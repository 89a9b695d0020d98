//! Whether a dialled session travels over UDP or through a TCP tunnel.
//!
//! ```text
//!            silence             tunnel opened
//!   Direct ----------> Opening ----------------> Tunnelled --- now and then: a probe over UDP
//!     ^                  |  failed, waits            |
//!     |                  +-- heard over UDP ---------+
//!     +--------------------------------------------- +
//! ```
//!
//! The QUIC connection is the same all along; only the way of its packets changes, which its peer
//! takes for a change of address. So nothing is lost or repeated when the way changes. Silence is
//! what follows a packet that wants an answer and gets none.

use std::time::Duration;

/// Silence of a fresh dial before a tunnel is tried: three times QUIC's first timeout, and early
/// enough for a dial of four seconds to succeed.
const DIAL_SILENCE: Duration = Duration::from_millis(1_000);
/// Silence of a session that had been heard. Shorter than its idle timeout by enough to open a
/// tunnel, longer than a passing outage of a radio.
const SESSION_SILENCE: Duration = Duration::from_millis(3_500);
/// Between tries to open a tunnel.
const RETRY_AFTER: Duration = Duration::from_secs(3);
/// Between probes: frequent at first, seldom where UDP is blocked for good.
const PROBE_FIRST: Duration = Duration::from_secs(2);
const PROBE_MAX: Duration = Duration::from_secs(60);

/// The way of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    Udp,
    Tunnel,
}

/// What the shell has to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Open a tunnel; answer with `handle_opened` or `handle_closed`.
    OpenTunnel,
    /// Send the next packet over UDP as well.
    Probe,
    /// UDP works: send over it, and close the tunnel.
    GoDirect,
}

/// Where a session's packets travel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    Direct,
    Opening,
    /// The tunnel could not be opened, or broke.
    Waiting {
        until: Duration,
    },
    Tunnelled {
        probe_at: Duration,
        interval: Duration,
    },
}

/// The choice for one session.
#[derive(Debug, Clone)]
pub struct Fallback {
    state: State,
    /// When the first packet left that wanted an answer, since the last one that came.
    asked: Option<Duration>,
    heard: bool,
    action: Option<Action>,
}

impl Default for Fallback {
    fn default() -> Self {
        Self { state: State::Direct, asked: None, heard: false, action: None }
    }
}

impl Fallback {
    /// A packet that wants an answer has left.
    pub fn handle_asked(&mut self, now: Duration) {
        self.asked.get_or_insert(now);
    }

    /// A packet came from the peer.
    pub fn handle_heard(&mut self, way: Way) {
        self.asked = None;
        self.heard = true;
        if way == Way::Udp && self.state != State::Direct {
            self.state = State::Direct;
            self.action = Some(Action::GoDirect);
        }
    }

    /// The tunnel is there.
    pub fn handle_opened(&mut self, now: Duration) {
        if self.state == State::Opening {
            self.asked = None;
            self.state = State::Tunnelled { probe_at: now + PROBE_FIRST, interval: PROBE_FIRST };
        }
    }

    /// The tunnel could not be opened, or broke.
    pub fn handle_closed(&mut self, now: Duration) {
        if let State::Opening | State::Tunnelled { .. } = self.state {
            self.state = State::Waiting { until: now + RETRY_AFTER };
        }
    }

    /// Something may have come due.
    pub fn handle_timeout(&mut self, now: Duration) {
        match self.state {
            State::Direct if self.silent_at().is_some_and(|at| at <= now) => self.open(),
            State::Waiting { until } if until <= now => {
                if self.asked.is_some() {
                    self.open();
                } else {
                    self.state = State::Direct;
                }
            }
            State::Tunnelled { probe_at, interval } if probe_at <= now => {
                let interval = (interval * 2).min(PROBE_MAX);
                self.state = State::Tunnelled { probe_at: now + interval, interval };
                self.action = Some(Action::Probe);
            }
            _ => {}
        }
    }

    /// What to do now; each action is handed out once.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.action.take()
    }

    /// Whether [`Self::poll_action`] has something.
    pub fn has_action(&self) -> bool {
        self.action.is_some()
    }

    /// When to call [`Self::handle_timeout`].
    pub fn poll_timeout(&self) -> Option<Duration> {
        match self.state {
            State::Direct => self.silent_at(),
            State::Opening => None,
            State::Waiting { until } => Some(until),
            State::Tunnelled { probe_at, .. } => Some(probe_at),
        }
    }

    pub fn state(&self) -> State {
        self.state
    }

    fn silent_at(&self) -> Option<Duration> {
        let patience = if self.heard { SESSION_SILENCE } else { DIAL_SILENCE };
        self.asked.map(|asked| asked + patience)
    }

    fn open(&mut self) {
        self.state = State::Opening;
        self.action = Some(Action::OpenTunnel);
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;

    const NOW: Duration = Duration::from_secs(100);

    type Event = (&'static str, fn(&mut Fallback));

    const EVENTS: [Event; 6] = [
        ("heard over UDP", |fallback| fallback.handle_heard(Way::Udp)),
        ("heard through the tunnel", |fallback| fallback.handle_heard(Way::Tunnel)),
        ("opened", |fallback| fallback.handle_opened(NOW)),
        ("closed", |fallback| fallback.handle_closed(NOW)),
        ("timeout, unanswered", |fallback| {
            fallback.handle_asked(NOW - Duration::from_secs(4));
            fallback.handle_timeout(NOW);
        }),
        ("timeout", |fallback| fallback.handle_timeout(NOW)),
    ];

    const STATES: [State; 4] = [
        State::Direct,
        State::Opening,
        State::Waiting { until: NOW },
        State::Tunnelled { probe_at: NOW, interval: PROBE_FIRST },
    ];

    #[test]
    fn transitions_are_as_printed() {
        let mut table = String::new();
        for state in STATES {
            for (name, event) in EVENTS {
                let mut fallback = Fallback { state, heard: true, ..Fallback::default() };
                event(&mut fallback);
                let action = fallback.poll_action().map_or(String::new(), |a| format!(" + {a:?}"));
                writeln!(table, "{state:?} --{name}--> {:?}{action}", fallback.state()).unwrap();
            }
        }
        insta::assert_snapshot!(table);
    }

    #[test]
    fn a_dial_loses_patience_before_a_session_does() {
        let silent_after = |heard: bool| {
            let mut fallback = Fallback { heard, ..Fallback::default() };
            fallback.handle_asked(NOW);
            fallback.handle_asked(NOW + Duration::from_secs(1));
            fallback.poll_timeout().unwrap() - NOW
        };
        assert_eq!(silent_after(false), DIAL_SILENCE);
        assert_eq!(silent_after(true), SESSION_SILENCE);
    }

    #[test]
    fn an_idle_session_is_not_silent() {
        let mut fallback = Fallback::default();
        fallback.handle_asked(NOW);
        fallback.handle_heard(Way::Udp);
        assert_eq!(fallback.poll_timeout(), None);
        fallback.handle_timeout(NOW + Duration::from_secs(3_600));
        assert_eq!(fallback.poll_action(), None);
    }

    #[test]
    fn probes_become_rare() {
        let mut fallback = Fallback { state: State::Opening, ..Fallback::default() };
        fallback.handle_opened(NOW);
        let mut waits = Vec::new();
        let mut now = NOW;
        for _ in 0..7 {
            let at = fallback.poll_timeout().unwrap();
            waits.push((at - now).as_secs());
            now = at;
            fallback.handle_timeout(now);
            assert_eq!(fallback.poll_action(), Some(Action::Probe));
        }
        assert_eq!(waits, [2, 4, 8, 16, 32, 60, 60]);
    }
}
