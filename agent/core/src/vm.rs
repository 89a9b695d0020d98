//! The owner of one VM: what it should be, where it is, and the one next step.
//!
//! An [`Owner`] runs the table of [`transition`]. Beside the table it keeps what a table cannot
//! say: how long a guest has left to power off, when a step that went wrong is tried again, and
//! which restarts were done.
//!
//! - A step that was *refused* makes the VM `Failed` with the reason, and is tried again slowly. A
//!   new revision of what is wanted forgets the failure at once.
//! - A step that *could not be tried* (no member to fetch an image from) keeps the state it had
//!   with the reason, and is tried again soon.
//! - A guest that powered itself off though it should run is started again, ever more slowly.
//! - A restart is done when the VM was off with the restart pending. That is journalled before it
//!   is started again, so a restart is never done twice, whatever dies in between.

pub mod transition;

use std::sync::Arc;
use std::time::Duration;

use novacron_protocol::VmId;
use novacron_protocol::limits::TEXT_LEN_MAX;
use novacron_protocol::vm::{DesiredVm, ObservedVm, STOP_GRACE, Target, VmState};

use transition::{Fact, Goal, State, Step};

/// A domain as the hypervisor lists it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Domain {
    pub id: VmId,
    pub state: DomainState,
}

/// What a domain does, as far as steps depend on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DomainState {
    Off,
    On,
    Paused,
}

/// What an owner asks the shell to do. Every task is safe to repeat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Task {
    /// Have the files of the image, and the VM's own disk and directory. Never replaces a disk.
    Prepare(Arc<DesiredVm>),
    /// Define the domain from this, or define it anew.
    Define(Arc<DesiredVm>),
    Start,
    /// Press the power button; done when it is pressed.
    Shutdown,
    /// Force off; done when the domain is off.
    Destroy,
    /// Undefine the domain, if there is one, and remove the VM's own files.
    Remove,
}

impl Task {
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Prepare(_) => "prepare",
            Self::Define(_) => "define",
            Self::Start => "start",
            Self::Shutdown => "shutdown",
            Self::Destroy => "destroy",
            Self::Remove => "remove",
        }
    }
}

/// How a task ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    Done,
    /// It cannot work as asked.
    Refused(String),
    /// Something that it needs is not to be had at the moment.
    Unavailable(String),
    /// The domain is not there any more.
    NotFound,
    /// The hypervisor does not answer; what became of the task is not known.
    Unreachable,
    /// It was given up because [`Action::Abandon`](crate::Action::Abandon) asked for that.
    Abandoned,
}

/// Runs the life of one VM.
#[derive(Debug)]
pub struct Owner {
    desired: Arc<DesiredVm>,
    /// The desired set no longer names the VM: nothing more is begun.
    left: bool,
    state: State,
    /// The last state that was certain, for reports while the state is not known.
    shown: VmState,
    restarts_done: u32,
    counting: bool,
    trouble: Option<Trouble>,
    attempts: u32,
    crashes: u32,
    on_since: Option<Duration>,
    grace_until: Option<Duration>,
    abandon: Abandon,
}

/// Why the owner is not where it should be, and when it goes on.
#[derive(Debug)]
struct Trouble {
    kind: TroubleKind,
    step: Option<Step>,
    reason: String,
    /// `None` once that has come and the step is being tried again.
    until: Option<Duration>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TroubleKind {
    Failed,
    Waiting,
    /// The guest went off by itself.
    Crashed,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Abandon {
    No,
    Wanted,
    Asked,
}

/// First and longest wait before a refused step is tried again. A refusal seldom goes away by
/// itself, so trying costs more than it brings.
const FAILED_WAIT: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(300));
/// The same where something was not to be had: a link that comes back is noticed within seconds.
const WAITING_WAIT: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(8));
/// The same for a guest that powers itself off: a guest that dies while booting must not load
/// the host.
const CRASHED_WAIT: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(64));
/// A guest that ran this long did not die while booting; the next wait is the first again.
const STEADY_AFTER: Duration = Duration::from_secs(60);

impl Owner {
    pub fn new(desired: Arc<DesiredVm>, restarts_done: u32) -> Self {
        Self {
            desired,
            left: false,
            state: State::Unseen,
            shown: VmState::Preparing,
            restarts_done,
            counting: false,
            trouble: None,
            attempts: 0,
            crashes: 0,
            on_since: None,
            grace_until: None,
            abandon: Abandon::No,
        }
    }

    /// Takes a new entry of the desired set; the same one changes nothing.
    pub fn handle_desired(&mut self, desired: Arc<DesiredVm>) {
        self.left = false;
        if *self.desired == *desired {
            return;
        }
        if self.desired.revision != desired.revision {
            self.trouble = None;
            self.attempts = 0;
            self.crashes = 0;
        }
        let useless = desired.target == Target::Absent || desired.boot != self.desired.boot;
        if self.state == State::Preparing && useless && self.abandon == Abandon::No {
            self.abandon = Abandon::Wanted;
        }
        self.desired = desired;
    }

    /// The desired set no longer names the VM: it stays as it is, and no further step is taken.
    pub fn handle_left(&mut self) {
        self.left = true;
        if self.state == State::Preparing && self.abandon == Abandon::No {
            self.abandon = Abandon::Wanted;
        }
    }

    /// What a list of all domains said: `None` when the VM was not on it.
    pub fn handle_seen(&mut self, now: Duration, seen: Option<DomainState>) {
        let fact = match seen {
            None => Fact::SeenAbsent,
            Some(DomainState::Off) => Fact::SeenOff,
            Some(DomainState::On) => Fact::SeenOn,
            Some(DomainState::Paused) => Fact::SeenPaused,
        };
        let was_up = matches!(self.state, State::On | State::Paused);
        let up_for = self.on_since.map_or(Duration::ZERO, |since| now.saturating_sub(since));
        self.settle(now, fact);
        if was_up && self.state.is_halted() && self.goal() == Goal::Run {
            self.handle_crash(now, up_for);
        }
    }

    /// The hypervisor does not answer: what is not in flight is not known any more.
    pub fn handle_unreachable(&mut self) {
        if !self.state.is_busy() {
            self.state = State::Unseen;
            self.grace_until = None;
            self.on_since = None;
        }
    }

    /// The task in flight ended.
    pub fn handle_outcome(&mut self, now: Duration, outcome: Outcome) {
        let step = step_in_flight(self.state);
        debug_assert!(step.is_some(), "an outcome without a task");
        self.abandon = Abandon::No;
        match outcome {
            Outcome::Done => {
                if self.trouble.as_ref().is_some_and(|trouble| trouble.step == step) {
                    self.trouble = None;
                }
                self.settle(now, Fact::Done);
            }
            Outcome::Refused(reason) => {
                self.settle(now, Fact::Failed);
                if self.state != State::Stopping {
                    self.trouble(now, TroubleKind::Failed, step, reason);
                }
            }
            Outcome::Unavailable(reason) => {
                self.settle(now, Fact::Failed);
                self.trouble(now, TroubleKind::Waiting, step, reason);
            }
            Outcome::NotFound => {
                self.state = State::Unseen;
                self.trouble(now, TroubleKind::Waiting, step, "its domain vanished".to_owned());
            }
            Outcome::Unreachable | Outcome::Abandoned => self.state = State::Unseen,
        }
        self.rest_if_reached();
    }

    pub fn handle_timeout(&mut self, now: Duration) {
        if self.grace_until.is_some_and(|until| until <= now) {
            self.settle(now, Fact::GraceOver);
        }
        if let Some(trouble) = &mut self.trouble {
            trouble.until = trouble.until.filter(|until| *until > now);
        }
    }

    /// What could not be had may be there now: not waited for any longer.
    pub fn handle_supply(&mut self) {
        if let Some(trouble) = &mut self.trouble
            && trouble.kind == TroubleKind::Waiting
        {
            trouble.until = None;
        }
    }

    /// The restart count that this owner waits for is on disk.
    pub fn handle_counted(&mut self, restarts: u32) {
        self.restarts_done = self.restarts_done.max(restarts);
        self.counting = false;
    }

    /// A restart count that must be on disk before the next step.
    pub fn poll_count(&mut self) -> Option<u32> {
        let due = self.state.is_halted() && self.desired.restarts > self.restarts_done;
        if !due || self.counting || self.left {
            return None;
        }
        self.counting = true;
        Some(self.desired.restarts)
    }

    /// The next task, if it is time for one. The owner is busy until its outcome comes.
    pub fn poll_task(&mut self) -> Option<Task> {
        let held = self.trouble.as_ref().is_some_and(|trouble| trouble.until.is_some());
        if self.left || self.counting || held || self.state.is_busy() {
            return None;
        }
        let (next, step) = self.state.towards(self.goal());
        self.enter(next);
        self.rest_if_reached();
        step.map(|step| self.task(step))
    }

    /// Whether the task in flight has become useless; says so once.
    pub fn poll_abandon(&mut self) -> bool {
        let wanted = self.abandon == Abandon::Wanted;
        if wanted {
            self.abandon = Abandon::Asked;
        }
        wanted
    }

    pub fn poll_timeout(&self) -> Option<Duration> {
        let retry = self.trouble.as_ref().and_then(|trouble| trouble.until);
        [self.grace_until, retry].into_iter().flatten().min()
    }

    pub fn desired(&self) -> &Arc<DesiredVm> {
        &self.desired
    }

    pub fn state(&self) -> State {
        self.state
    }

    /// What the VM does, or did when that was last known, whatever went wrong.
    pub fn shown(&self) -> VmState {
        self.shown
    }

    /// Whether nothing is known of the VM and a list of all domains would tell.
    pub fn wants_look(&self) -> bool {
        self.state == State::Unseen
    }

    /// Whether the owner can be forgotten.
    pub fn is_gone(&self) -> bool {
        self.left && !self.state.is_busy()
    }

    pub fn observed(&self) -> ObservedVm {
        let (state, reason) = match &self.trouble {
            Some(Trouble { kind: TroubleKind::Failed, reason, .. }) => (VmState::Failed, &**reason),
            Some(Trouble { kind: TroubleKind::Waiting, reason, .. }) => (self.shown, &**reason),
            _ => (self.shown, ""),
        };
        ObservedVm {
            id: self.desired.id,
            revision: self.desired.revision,
            state,
            restarts: self.restarts_done,
            reason: reason.to_owned(),
        }
    }

    fn goal(&self) -> Goal {
        let mode = self.desired.stop_mode;
        match self.desired.target {
            Target::Absent => Goal::Remove(mode),
            Target::Stopped => Goal::Stop(mode),
            Target::Running if self.desired.restarts > self.restarts_done => Goal::Restart(mode),
            Target::Running => Goal::Run,
        }
    }

    fn settle(&mut self, now: Duration, fact: Fact) {
        let next = self.state.after(fact);
        self.enter(next);
        self.on_since = (next == State::On).then(|| self.on_since.unwrap_or(now));
        let grace_over = now + Duration::from(STOP_GRACE);
        self.grace_until =
            (next == State::Stopping).then(|| self.grace_until.unwrap_or(grace_over));
        self.rest_if_reached();
    }

    fn enter(&mut self, next: State) {
        self.state = next;
        self.shown = shown_as(next, self.desired.target).unwrap_or(self.shown);
    }

    /// Forgets trouble once there is nothing left to do.
    fn rest_if_reached(&mut self) {
        let known = !matches!(self.state, State::Unseen | State::Stopping | State::Overdue);
        if known && !self.state.is_busy() && self.state.towards(self.goal()).1.is_none() {
            self.trouble = None;
            self.attempts = 0;
        }
    }

    fn handle_crash(&mut self, now: Duration, up_for: Duration) {
        if up_for >= STEADY_AFTER {
            self.crashes = 0;
        }
        let (first, longest) = CRASHED_WAIT;
        let until = now + doubled(first, self.crashes, longest);
        self.crashes = self.crashes.saturating_add(1);
        self.trouble = Some(Trouble {
            kind: TroubleKind::Crashed,
            step: None,
            reason: String::new(),
            until: Some(until),
        });
    }

    fn trouble(&mut self, now: Duration, kind: TroubleKind, step: Option<Step>, reason: String) {
        let (first, longest) = match kind {
            TroubleKind::Failed => FAILED_WAIT,
            TroubleKind::Waiting | TroubleKind::Crashed => WAITING_WAIT,
        };
        let until = now + doubled(first, self.attempts, longest);
        self.attempts = self.attempts.saturating_add(1);
        self.trouble = Some(Trouble { kind, step, reason: cut(reason), until: Some(until) });
    }

    fn task(&self, step: Step) -> Task {
        match step {
            Step::Prepare => Task::Prepare(Arc::clone(&self.desired)),
            Step::Define => Task::Define(Arc::clone(&self.desired)),
            Step::Start => Task::Start,
            Step::Shutdown => Task::Shutdown,
            Step::Destroy => Task::Destroy,
            Step::Remove => Task::Remove,
        }
    }
}

const fn step_in_flight(state: State) -> Option<Step> {
    match state {
        State::Preparing => Some(Step::Prepare),
        State::Defining => Some(Step::Define),
        State::Starting => Some(Step::Start),
        State::Pressing => Some(Step::Shutdown),
        State::Destroying => Some(Step::Destroy),
        State::Removing => Some(Step::Remove),
        _ => None,
    }
}

/// What is reported of a state; `None` where the last certain state stands.
const fn shown_as(state: State, target: Target) -> Option<VmState> {
    Some(match state {
        State::Unseen => return None,
        State::Absent | State::Removed if matches!(target, Target::Absent) => VmState::Absent,
        State::Absent | State::Removed => VmState::Preparing,
        State::Preparing | State::Prepared | State::Defining => VmState::Preparing,
        State::Defined | State::Off | State::Starting | State::Removing => VmState::Stopped,
        State::On => VmState::Running,
        State::Paused => VmState::Paused,
        State::Pressing | State::Stopping | State::Overdue | State::Destroying => VmState::Stopping,
    })
}

fn doubled(first: Duration, times: u32, longest: Duration) -> Duration {
    first.saturating_mul(1_u32.checked_shl(times).unwrap_or(u32::MAX)).min(longest)
}

fn cut(mut text: String) -> String {
    if text.len() > TEXT_LEN_MAX {
        let end = (0..=TEXT_LEN_MAX).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text.truncate(end);
    }
    text
}

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
