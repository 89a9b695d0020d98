//! ASS, the adaptive stream scheduler: which class of a connection sends next, and why.
//!
//! ```text
//!             ┌ lease ───┐ lease, but after 64 KiB in a row a waiting command
//!  1. urgent ─┤          ├──┐
//!             └ command ─┘  │ urgent, but after 64 KiB in a row one of the others
//!             ┌ due ─────┐  ├──> site cap ──> grant
//!  2. shared ─┤          ├──┘
//!             └ fair ────┘ due messages, but after 256 KiB in a row one that is not due
//! ```
//!
//! - **Urgent first, with a bound.** While a shared class waits, urgent classes send at most 64 KiB
//!   plus four bytes for each byte of the shared ones: these wait for 64 KiB at most, and keep a fifth
//!   of the link under any flood. `lease` stands to `command` in the same way.
//! - **Fair shares.** The others divide the rest by weight: start-time fair queueing (Goyal, Vin and
//!   Cheng, SIGCOMM 1996). Each class has a tag that grows by `bytes / weight`; the smallest goes next.
//!   A class that could not send saves up one quantum; its share goes to those who can.
//! - **Deadlines.** A message whose slack becomes short takes its class ahead of the shares, earliest
//!   deadline first. What went ahead counts against the share. While another class waits, it keeps a
//!   twentieth of what the urgent ones leave.
//! - **Caps** per class and for all: token buckets, within 2 % in every second.
//!
//! How to drive it: tell what happens (`handle_*`); whenever bytes may leave, call
//! [`Ass::poll_grant`] with how many, move at most that many bytes of the granted class, report
//! them with [`Ass::handle_sent`], and ask again until the budget or the grants end. A driver that
//! cannot use a grant at all says why ([`Ass::handle_blocked`], [`Ass::handle_dropped`]) before it
//! asks again, or it gets the same grant. When a grant was refused, [`Ass::poll_timeout`] says until
//! when. Each call takes constant time and allocates nothing.

use std::time::Duration;

use novacron_protocol::wire::Class;
use novacron_protocol::{Bitrate, ByteCount};

mod bucket;
mod deadline;
mod fair;
mod policy;
mod queue;
mod reason;
mod run;
mod set;

pub use policy::{ClassPolicy, Policy};
pub use reason::{Grant, Hold, Reason};

use bucket::Bucket;
use deadline::Pace;
use fair::Fair;
use queue::ClassQueue;
use run::Run;
use set::ClassSet;

/// Largest grant while others wait: of the urgent classes, and of the heaviest of the shared ones.
pub const QUANTUM_BYTES: u64 = 16 << 10;
/// Largest grant while nobody else waits: what a driver hands to the network at once.
pub const QUANTUM_ALONE_BYTES: u64 = 64 << 10;
/// Bytes of `lease` in a row while a command waits, and of both while others wait.
pub const URGENT_RUN_BYTES: u64 = 64 << 10;
/// Bytes of due messages in a row while classes without one wait.
pub const DUE_RUN_BYTES: u64 = 256 << 10;
/// Assumed until [`Ass::handle_bandwidth`] says more. Low, so that deadlines are kept meanwhile.
const BANDWIDTH_ASSUMED: Bitrate = Bitrate::mbit(1);

/// The scheduler of one connection.
#[derive(Debug, Clone)]
pub struct Ass {
    queues: [ClassQueue; Class::ALL.len()],
    /// Classes with something to send that the peer takes.
    waiting: ClassSet,
    fair: Fair,
    site: Option<Bucket>,
    /// `lease` before `command`.
    leases: Run,
    /// Both before the others.
    urgent: Run,
    /// Due messages before the shares.
    due: Run,
    pace: Pace,
    /// When the deadlines of some class have to be looked at, in ns.
    deadline_check_at: u64,
    decision: Option<Decision>,
    resume_at: Option<Duration>,
}

/// A grant, and who else could have had it.
#[derive(Debug, Clone, Copy)]
struct Decision {
    grant: Grant,
    ready: ClassSet,
    /// Classes with a due message.
    due: ClassSet,
}

/// Deadlines of a class so far; those that were folded into one count once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeadlineCount {
    pub kept: u64,
    pub missed: u64,
}

impl Ass {
    pub fn new(policy: Policy, now: Duration) -> Self {
        let mut ass = Self {
            queues: Class::ALL.map(|_| ClassQueue::new()),
            waiting: ClassSet::EMPTY,
            fair: Fair::new(&policy),
            site: None,
            leases: Run::new(URGENT_RUN_BYTES, 4),
            urgent: Run::new(URGENT_RUN_BYTES, 4),
            due: Run::new(DUE_RUN_BYTES, 19),
            pace: pace_of(BANDWIDTH_ASSUMED),
            deadline_check_at: u64::MAX,
            decision: None,
            resume_at: None,
        };
        ass.handle_policy(now, policy);
        ass
    }

    /// Other weights and caps, from now on. Ask for grants again: more may be allowed.
    pub fn handle_policy(&mut self, now: Duration, policy: Policy) {
        self.fair.set_weights(&policy);
        for class in Class::ALL {
            recap(&mut self.queue(class).bucket, now, policy.class(class).cap);
        }
        recap(&mut self.site, now, policy.site_cap);
        self.resume_at = None;
    }

    /// What the path is believed to carry, for how early a deadline needs help.
    pub fn handle_bandwidth(&mut self, bandwidth: Bitrate) {
        self.pace = pace_of(bandwidth);
        self.deadline_check_at = 0;
    }

    /// The application has given `bytes` more to send. `deadline` is when the last of them should
    /// have left this host; it has no meaning for urgent classes.
    pub fn handle_queued(
        &mut self,
        now: Duration,
        class: Class,
        bytes: u64,
        deadline: Option<Duration>,
    ) {
        let pace = self.pace;
        let queue = self.queue(class);
        queue.handle_queued(bytes);
        if let Some(due) = deadline
            && ClassSet::SHARED.has(class)
        {
            let (sent, end) = (queue.sent(), queue.end());
            queue.deadlines.push(nanos(now), sent, end, nanos(due), pace);
            let check_at = queue.deadlines.check_at();
            self.deadline_check_at = self.deadline_check_at.min(check_at);
        }
        self.refresh(class);
    }

    /// The application has given up `bytes` that it had queued, as when a stream is reset.
    pub fn handle_dropped(&mut self, class: Class, bytes: u64) {
        self.queue(class).handle_dropped(bytes);
        self.refresh(class);
    }

    /// The peer's flow control stops this class.
    pub fn handle_blocked(&mut self, class: Class) {
        self.queue(class).blocked = true;
        self.refresh(class);
    }

    /// The peer takes this class again.
    pub fn handle_unblocked(&mut self, class: Class) {
        self.queue(class).blocked = false;
        self.refresh(class);
    }

    /// Who may send at most how much of `budget_bytes` now. Nothing is taken until
    /// [`Self::handle_sent`]: asked again, it says the same.
    pub fn poll_grant(&mut self, now: Duration, budget_bytes: u64) -> Option<Grant> {
        self.resume_at = None;
        self.decision = None;
        if budget_bytes == 0 || self.waiting.is_empty() {
            return None;
        }
        if nanos(now) >= self.deadline_check_at {
            self.check_deadlines(now);
        }
        let ready = self.ready(now);
        let due = self.due_of(ready);
        let (class, reason, room) = self.choose(now, ready, due)?;
        let queue = &self.queues[class as usize];
        let wanted = room.min(budget_bytes).min(queue.backlog());
        let (mut bytes, mut grain) = (wanted, wanted);
        if let Some(bucket) = &queue.bucket {
            bytes = bytes.min(bucket.available(now));
            grain = grain.min(bucket.grain_bytes());
        }
        if let Some(site) = &self.site {
            // Whose turn it is keeps it while the site's bucket fills.
            let available = site.available(now);
            if available < grain.min(site.grain_bytes()) {
                self.resume_at = site.ready_at(grain);
                return None;
            }
            bytes = bytes.min(available);
        }
        let grant = Grant { class, bytes, reason };
        self.decision = Some(Decision { grant, ready, due });
        Some(grant)
    }

    /// So many bytes of a class have left: of a grant, or fewer.
    pub fn handle_sent(&mut self, now: Duration, class: Class, bytes: u64) {
        let decision = self.decision.take().filter(|decision| decision.grant.class == class);
        if bytes == 0 {
            return;
        }
        if let Some(site) = &mut self.site {
            site.spend(now, bytes);
        }
        let queue = &mut self.queues[class as usize];
        queue.handle_sent(now, bytes);
        if let Some(bucket) = &mut queue.bucket {
            bucket.spend(now, bytes);
        }
        if let Some(decision) = decision {
            queue.last_reason = Some(decision.grant.reason);
            self.charge(decision, bytes);
        }
        self.refresh(class);
    }

    /// Bytes of no class have left: headers, acknowledgements, retransmissions, copies. They count
    /// against the site cap, as a debt where it had no room for them.
    pub fn handle_overhead(&mut self, now: Duration, bytes: u64) {
        if let Some(site) = &mut self.site {
            site.spend(now, bytes);
        }
    }

    /// When a cap lets a waiting class go on, if the last [`Self::poll_grant`] gave nothing for
    /// that reason.
    pub fn poll_timeout(&self) -> Option<Duration> {
        self.resume_at
    }

    /// Bytes that wait.
    pub fn backlog(&self, class: Class) -> u64 {
        self.queues[class as usize].backlog()
    }

    /// Bytes sent since the start.
    pub fn sent(&self, class: Class) -> u64 {
        self.queues[class as usize].sent()
    }

    /// Why the class was last allowed to send.
    pub fn last_reason(&self, class: Class) -> Option<Reason> {
        self.queues[class as usize].last_reason
    }

    /// How its deadlines went.
    pub fn deadlines(&self, class: Class) -> DeadlineCount {
        let deadlines = &self.queues[class as usize].deadlines;
        DeadlineCount { kept: deadlines.kept(), missed: deadlines.missed() }
    }

    /// What keeps the class from sending.
    pub fn hold(&self, now: Duration, class: Class) -> Hold {
        let queue = &self.queues[class as usize];
        if queue.backlog() == 0 {
            return Hold::Idle;
        }
        if queue.blocked {
            return Hold::FlowControl;
        }
        let wait = |bucket: &Bucket| {
            let until = bucket.ready_at(queue.backlog());
            until.is_none_or(|until| until > now).then_some(until)
        };
        if let Some(until) = queue.bucket.as_ref().and_then(wait) {
            return Hold::Cap { until };
        }
        if let Some(until) = self.site.as_ref().and_then(wait) {
            return Hold::SiteCap { until };
        }
        Hold::Turn
    }

    /// Waiting classes whose own cap lets them send; otherwise notes when the first may.
    fn ready(&mut self, now: Duration) -> ClassSet {
        let mut ready = self.waiting;
        for class in self.waiting {
            let queue = &self.queues[class as usize];
            let Some(bucket) = &queue.bucket else { continue };
            let wanted = queue.backlog().min(QUANTUM_BYTES);
            if bucket.available(now) < wanted.min(bucket.grain_bytes()) {
                ready.remove(class);
                let at = bucket.ready_at(wanted);
                self.resume_at = self.resume_at.into_iter().chain(at).min();
            }
        }
        if !ready.is_empty() {
            self.resume_at = None;
        }
        ready
    }

    /// The class to send, why, and at most how many bytes.
    fn choose(
        &self,
        now: Duration,
        ready: ClassSet,
        due: ClassSet,
    ) -> Option<(Class, Reason, u64)> {
        let urgent = ready.and(ClassSet::URGENT);
        let shared = ready.and(ClassSet::SHARED);
        if urgent.is_empty() || !shared.is_empty() && self.urgent.left() == 0 {
            let (class, reason, room) = self.choose_shared(now, shared, due)?;
            if urgent.is_empty() {
                return Some((class, reason, room));
            }
            let run = ByteCount(self.urgent.bytes_max());
            return Some((class, Reason::AfterUrgent { run }, room.min(QUANTUM_BYTES)));
        }
        let mut room = QUANTUM_BYTES;
        if !shared.is_empty() {
            room = room.min(self.urgent.left());
        }
        let command = ready.has(Class::Command);
        if ready.has(Class::Lease) && !(command && self.leases.left() == 0) {
            if command {
                room = room.min(self.leases.left());
            }
            return Some((Class::Lease, Reason::Urgent, room));
        }
        let reason = if ready.has(Class::Lease) {
            Reason::AfterLeases { run: ByteCount(self.leases.bytes_max()) }
        } else {
            Reason::Urgent
        };
        Some((Class::Command, reason, room))
    }

    fn choose_shared(
        &self,
        now: Duration,
        shared: ClassSet,
        due: ClassSet,
    ) -> Option<(Class, Reason, u64)> {
        let others = shared.without(due);
        if !due.is_empty() && (others.is_empty() || self.due.left() > 0) {
            let deadline = |class: &Class| self.queues[*class as usize].deadlines.due_ns();
            let class = due.min_by_key(deadline)?;
            let room = if others.is_empty() { QUANTUM_BYTES } else { self.due.left() };
            let due_ns = deadline(&class).unwrap_or_default();
            return Some((class, punctuality(nanos(now), due_ns), room.min(QUANTUM_BYTES)));
        }
        let (class, of) = self.fair.next(others)?;
        let (weight, quantum) = (self.fair.weight(class), self.fair.quantum(class));
        if !due.is_empty() {
            return Some((
                class,
                Reason::AfterDue { run: ByteCount(self.due.bytes_max()) },
                quantum,
            ));
        }
        if weight == of {
            return Some((class, Reason::Alone, QUANTUM_ALONE_BYTES));
        }
        Some((class, Reason::Share { weight, of }, quantum))
    }

    /// Counts sent bytes where they belong: runs of those who went first, tags of those who share.
    fn charge(&mut self, Decision { grant, ready, due }: Decision, bytes: u64) {
        let class = grant.class;
        let shared = ready.and(ClassSet::SHARED);
        if ClassSet::URGENT.has(class) {
            spend(&mut self.urgent, bytes, shared);
            match class {
                Class::Lease => {
                    spend(&mut self.leases, bytes, ready.and(ClassSet::EMPTY.with(Class::Command)));
                }
                _ => self.leases.earn(bytes),
            }
            return;
        }
        self.urgent.earn(bytes);
        if due.has(class) {
            spend(&mut self.due, bytes, shared.without(due));
            self.fair.charge_ahead(class, bytes);
        } else {
            self.due.earn(bytes);
            self.fair.charge(class, bytes);
        }
    }

    fn due_of(&self, ready: ClassSet) -> ClassSet {
        let mut due = ClassSet::EMPTY;
        for class in ready.and(ClassSet::SHARED) {
            let queue = &self.queues[class as usize];
            if queue.deadlines.is_ahead(queue.sent()) {
                due.insert(class);
            }
        }
        due
    }

    fn check_deadlines(&mut self, now: Duration) {
        self.deadline_check_at = u64::MAX;
        for queue in &mut self.queues {
            let sent = queue.sent();
            queue.deadlines.check(nanos(now), sent, self.pace);
            self.deadline_check_at = self.deadline_check_at.min(queue.deadlines.check_at());
        }
    }

    fn refresh(&mut self, class: Class) {
        if self.queues[class as usize].is_waiting() {
            self.waiting.insert(class);
        } else {
            self.waiting.remove(class);
        }
    }

    fn queue(&mut self, class: Class) -> &mut ClassQueue {
        &mut self.queues[class as usize]
    }
}

fn spend(run: &mut Run, bytes: u64, behind: ClassSet) {
    if behind.is_empty() {
        run.renew();
    } else {
        run.spend(bytes);
    }
}

fn punctuality(now_ns: u64, due_ns: u64) -> Reason {
    match due_ns.checked_sub(now_ns) {
        Some(slack) => Reason::Deadline { slack: Duration::from_nanos(slack) },
        None => Reason::Overdue { by: Duration::from_nanos(now_ns - due_ns) },
    }
}

/// A bucket keeps its fill when its cap changes; one that was not there starts full.
fn recap(bucket: &mut Option<Bucket>, now: Duration, cap: Option<Bitrate>) {
    match (bucket.as_mut(), cap) {
        (Some(bucket), Some(cap)) => bucket.set_cap(now, cap),
        (_, cap) => *bucket = cap.map(|cap| Bucket::new(now, cap)),
    }
}

fn pace_of(bandwidth: Bitrate) -> Pace {
    let kib = ByteCount(1 << 10) / bandwidth;
    Pace { nanos_per_kib: nanos(kib) }
}

/// Nanoseconds in 64 bits: 584 years.
fn nanos(span: Duration) -> u64 {
    span.as_secs().saturating_mul(1_000_000_000).saturating_add(u64::from(span.subsec_nanos()))
}
