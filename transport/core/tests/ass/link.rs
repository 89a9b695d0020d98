//! A link that lets bytes leave in turns, as a pacer does, and a driver that does as it is told.

use std::collections::VecDeque;
use std::time::Duration;

use novacron_protocol::Bitrate;
use novacron_protocol::wire::Class;
use novacron_transport_core::ass::{Ass, Hold, Policy};

pub(crate) const SECOND: Duration = Duration::from_secs(1);

/// What left.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sent {
    pub(crate) at: Duration,
    pub(crate) class: Class,
    pub(crate) bytes: u64,
}

/// A message on its way out.
#[derive(Debug, Clone, Copy)]
struct Message {
    left: u64,
    queued_at: Duration,
    deadline: Option<Duration>,
}

/// A message that is out.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Delivered {
    pub(crate) class: Class,
    pub(crate) queued_at: Duration,
    pub(crate) deadline: Option<Duration>,
    pub(crate) out_at: Duration,
}

pub(crate) struct Link {
    pub(crate) ass: Ass,
    pub(crate) now: Duration,
    pub(crate) rate: Bitrate,
    turn: Duration,
    budget: u64,
    queues: [VecDeque<Message>; 7],
    pub(crate) log: Vec<Sent>,
    pub(crate) delivered: Vec<Delivered>,
}

impl Link {
    /// `turn` is how often bytes may leave.
    pub(crate) fn new(policy: Policy, rate: Bitrate, turn: Duration) -> Self {
        let mut ass = Ass::new(policy, Duration::ZERO);
        ass.handle_bandwidth(rate);
        Self {
            ass,
            now: Duration::ZERO,
            rate,
            turn,
            budget: 0,
            queues: Default::default(),
            log: Vec::new(),
            delivered: Vec::new(),
        }
    }

    pub(crate) fn queue(&mut self, class: Class, bytes: u64, deadline: Option<Duration>) {
        self.ass.handle_queued(self.now, class, bytes, deadline);
        let message = Message { left: bytes, queued_at: self.now, deadline };
        self.queues[class as usize].push_back(message);
    }

    /// Fills the class up, as an application that always has more.
    pub(crate) fn saturate(&mut self, class: Class) {
        const BACKLOG: u64 = 4 << 20;
        let missing = BACKLOG - self.ass.backlog(class).min(BACKLOG);
        if missing > BACKLOG / 2 {
            self.queue(class, missing, None);
        }
    }

    /// One turn: time goes on, and what may leave leaves.
    pub(crate) fn step(&mut self) {
        self.now += self.turn;
        // A pacer saves up no more than a turn.
        let per_turn = (self.rate * self.turn).0;
        self.budget = (self.budget + per_turn).min(2 * per_turn);
        while let Some(grant) = self.ass.poll_grant(self.now, self.budget) {
            assert!(grant.bytes > 0 && grant.bytes <= self.budget, "{grant}");
            assert_eq!(
                self.ass.poll_grant(self.now, self.budget),
                Some(grant),
                "asking changes it"
            );
            self.ass.handle_sent(self.now, grant.class, grant.bytes);
            self.budget -= grant.bytes;
            let (at, class, bytes) = (self.now, grant.class, grant.bytes);
            self.log.push(Sent { at, class, bytes });
            self.deliver(class, bytes);
        }
        if self.budget > 0 {
            self.assert_nobody_may_send();
        }
    }

    /// Bytes beside the messages have left, booked as the last class's.
    pub(crate) fn overhead(&mut self, bytes: u64) {
        self.ass.handle_overhead(self.now, bytes);
        if let Some(last) = self.log.last_mut() {
            last.bytes += bytes;
        }
    }

    /// Work-conserving: bytes may leave, and nobody has any that may.
    fn assert_nobody_may_send(&mut self) {
        let (now, until) = (self.now, self.ass.poll_timeout());
        let holds = Class::ALL.map(|class| self.ass.hold(now, class));
        if holds.iter().all(|hold| matches!(hold, Hold::Idle | Hold::FlowControl)) {
            assert_eq!(until, None);
            return;
        }
        // A wait for tokens is short and worth it. Another class may have come free meanwhile and
        // need more of the site's: at most one more wait for each.
        let mut ass = self.ass.clone();
        let mut at = now;
        for _ in Class::ALL {
            let until = ass.poll_timeout();
            let until = until.unwrap_or_else(|| panic!("at {now:?} stuck for ever: {holds:?}"));
            assert!(until > at && until - now <= SECOND / 4, "{now:?}, {until:?}: {holds:?}");
            at = until;
            if ass.poll_grant(at, self.budget).is_some() {
                return;
            }
        }
        panic!("at {now:?} waited for nothing until {at:?}: {holds:?}");
    }

    fn deliver(&mut self, class: Class, mut bytes: u64) {
        let queue = &mut self.queues[class as usize];
        while bytes > 0 {
            let message = queue.front_mut().expect("no more is sent than was queued");
            let part = bytes.min(message.left);
            message.left -= part;
            bytes -= part;
            if message.left == 0 {
                let Message { queued_at, deadline, .. } = *message;
                self.delivered.push(Delivered { class, queued_at, deadline, out_at: self.now });
                queue.pop_front();
            }
        }
    }

    /// The most that left within any second, of what `counts`.
    pub(crate) fn busiest_second(&self, counts: impl Fn(Class) -> bool) -> u64 {
        let sent: Vec<_> = self.log.iter().filter(|sent| counts(sent.class)).collect();
        let (mut first, mut bytes, mut most) = (0, 0, 0);
        for last in &sent {
            bytes += last.bytes;
            while last.at - sent[first].at > SECOND {
                bytes -= sent[first].bytes;
                first += 1;
            }
            most = most.max(bytes);
        }
        most
    }

    /// Bytes of each class that left after `from` up to `to`.
    pub(crate) fn between(&self, from: Duration, to: Duration) -> [u64; 7] {
        let first = self.log.partition_point(|sent| sent.at <= from);
        let mut bytes = [0; 7];
        for sent in self.log[first..].iter().take_while(|sent| sent.at <= to) {
            bytes[sent.class as usize] += sent.bytes;
        }
        bytes
    }
}

/// Numbers that look random and are the same in every run (xorshift64*).
#[derive(Debug, Clone)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// Uniform in `0..1`.
    pub(crate) fn roll(&mut self) -> f64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Uniform in `from..to`.
    pub(crate) fn between(&mut self, from: u64, to: u64) -> u64 {
        from + (self.roll() * (to - from) as f64) as u64
    }

    /// Exponential: the wait for the next of events that come `per_second`.
    pub(crate) fn gap(&mut self, per_second: f64) -> Duration {
        Duration::from_secs_f64(-(1.0 - self.roll()).ln() / per_second)
    }
}
