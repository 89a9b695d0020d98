//! The transition table of one VM.
//!
//! Two pure functions, both printed as tables by the tests below. [`State::after`] says what a
//! fact makes of a state: facts come from the hypervisor, from tasks that ended, and from the
//! clock. [`State::towards`] says what to do next to reach a goal. An owner applies the first for
//! each fact and then the second, which does nothing while a task is in flight.
//!
//! No state is remembered across a restart of the agent: an owner begins at [`State::Unseen`] and
//! learns the rest from the hypervisor, so every step is safe to repeat.

use novacron_protocol::vm::StopMode;

/// Where a VM is on its way, in lifecycle order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum State {
    /// The hypervisor was not looked at since the agent started, or since something went wrong.
    Unseen,
    /// The hypervisor has no such domain; files may be there.
    Absent,
    /// In flight: files are being fetched and made.
    Preparing,
    /// All files are there.
    Prepared,
    /// In flight: the domain is being defined from the newest spec.
    Defining,
    /// The domain is off and its definition is the newest.
    Defined,
    /// The domain is off.
    Off,
    /// In flight: the domain is being started.
    Starting,
    On,
    Paused,
    /// In flight: the guest's power button is being pressed.
    Pressing,
    /// The guest was asked to power off and has not yet.
    Stopping,
    /// The guest had its time to power off.
    Overdue,
    /// In flight: the domain is being forced off.
    Destroying,
    /// In flight: domain and files are being removed.
    Removing,
    /// Neither domain nor files are left.
    Removed,
}

/// Something that became known about a VM.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fact {
    SeenAbsent,
    SeenOff,
    SeenOn,
    SeenPaused,
    /// The task in flight did what it was to do.
    Done,
    /// The task in flight did not, or it is not known whether it did.
    Failed,
    /// The guest's time to power off has passed.
    GraceOver,
}

/// What is wanted of a VM.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Goal {
    Run,
    /// Be off once, then run.
    Restart(StopMode),
    Stop(StopMode),
    Remove(StopMode),
}

/// What an owner may ask for, one at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Have all files; keep those that are there.
    Prepare,
    /// Define the domain, or define it anew.
    Define,
    Start,
    /// Press the power button.
    Shutdown,
    /// Force off.
    Destroy,
    /// Undefine the domain and remove its files.
    Remove,
}

impl State {
    pub const ALL: [Self; 16] = [
        Self::Unseen,
        Self::Absent,
        Self::Preparing,
        Self::Prepared,
        Self::Defining,
        Self::Defined,
        Self::Off,
        Self::Starting,
        Self::On,
        Self::Paused,
        Self::Pressing,
        Self::Stopping,
        Self::Overdue,
        Self::Destroying,
        Self::Removing,
        Self::Removed,
    ];

    /// Whether a task is in flight.
    pub const fn is_busy(self) -> bool {
        matches!(
            self,
            Self::Preparing
                | Self::Defining
                | Self::Starting
                | Self::Pressing
                | Self::Destroying
                | Self::Removing
        )
    }

    /// Whether the guest is known not to execute.
    pub const fn is_halted(self) -> bool {
        matches!(self, Self::Absent | Self::Prepared | Self::Defined | Self::Off | Self::Removed)
    }

    /// What `fact` makes of this state.
    #[must_use]
    pub const fn after(self, fact: Fact) -> Self {
        match fact {
            Fact::Done => self.after_done(),
            Fact::Failed => self.after_failed(),
            Fact::GraceOver if matches!(self, Self::Stopping) => Self::Overdue,
            Fact::GraceOver => self,
            _ if self.is_busy() => self,
            Fact::SeenAbsent => match self {
                Self::Prepared | Self::Removed => self,
                _ => Self::Absent,
            },
            Fact::SeenOff => match self {
                Self::Prepared | Self::Defined => self,
                _ => Self::Off,
            },
            Fact::SeenOn => match self {
                Self::Stopping | Self::Overdue => self,
                _ => Self::On,
            },
            Fact::SeenPaused => match self {
                Self::Stopping | Self::Overdue => self,
                _ => Self::Paused,
            },
        }
    }

    const fn after_done(self) -> Self {
        match self {
            Self::Preparing => Self::Prepared,
            Self::Defining => Self::Defined,
            Self::Starting => Self::On,
            Self::Pressing => Self::Stopping,
            Self::Destroying => Self::Off,
            Self::Removing => Self::Removed,
            resting => resting,
        }
    }

    /// After a failure the hypervisor is asked what is true. A power button that could not be
    /// pressed only means that the guest will be forced off when its time has passed.
    const fn after_failed(self) -> Self {
        match self {
            Self::Pressing => Self::Stopping,
            busy if busy.is_busy() => Self::Unseen,
            resting => resting,
        }
    }

    /// The next step to `goal` and the state that taking it leads to.
    pub const fn towards(self, goal: Goal) -> (Self, Option<Step>) {
        if let Goal::Remove(mode) = goal {
            return self.towards_removal(mode);
        }
        match (self, goal) {
            (Self::Absent | Self::Removed, _) => (Self::Preparing, Some(Step::Prepare)),
            (Self::Prepared, _) => (Self::Defining, Some(Step::Define)),
            (Self::Off, Goal::Run | Goal::Restart(_)) => (Self::Preparing, Some(Step::Prepare)),
            (Self::Defined, Goal::Run | Goal::Restart(_)) => (Self::Starting, Some(Step::Start)),
            (Self::Defined, _) => (Self::Off, None),
            (Self::Overdue, Goal::Run) => (Self::On, None),
            (_, Goal::Restart(mode) | Goal::Stop(mode)) => self.towards_halt(mode),
            _ => (self, None),
        }
    }

    const fn towards_removal(self, mode: StopMode) -> (Self, Option<Step>) {
        match self {
            Self::Absent | Self::Prepared | Self::Defined | Self::Off => {
                (Self::Removing, Some(Step::Remove))
            }
            _ => self.towards_halt(mode),
        }
    }

    const fn towards_halt(self, mode: StopMode) -> (Self, Option<Step>) {
        match (self, mode) {
            (Self::On | Self::Paused, StopMode::Graceful) => (Self::Pressing, Some(Step::Shutdown)),
            (Self::On | Self::Paused | Self::Stopping, StopMode::Force) | (Self::Overdue, _) => {
                (Self::Destroying, Some(Step::Destroy))
            }
            _ => (self, None),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fmt::Write as _;

    const FACTS: [Fact; 7] = [
        Fact::SeenAbsent,
        Fact::SeenOff,
        Fact::SeenOn,
        Fact::SeenPaused,
        Fact::Done,
        Fact::Failed,
        Fact::GraceOver,
    ];

    const GOALS: [Goal; 7] = [
        Goal::Run,
        Goal::Restart(StopMode::Graceful),
        Goal::Restart(StopMode::Force),
        Goal::Stop(StopMode::Graceful),
        Goal::Stop(StopMode::Force),
        Goal::Remove(StopMode::Graceful),
        Goal::Remove(StopMode::Force),
    ];

    #[test]
    fn the_whole_table_is_as_reviewed() {
        insta::assert_snapshot!("transitions", format!("{}\n{}", facts_table(), goals_table()));
    }

    fn facts_table() -> String {
        let mut text = String::from("What a fact makes of a state (`.`: nothing)\n\n");
        row(&mut text, "state", FACTS.iter().map(|fact| format!("{fact:?}")));
        for state in State::ALL {
            let cells = FACTS.iter().map(|fact| match state.after(*fact) {
                same if same == state => ".".to_owned(),
                next => format!("{next:?}"),
            });
            row(&mut text, &format!("{state:?}"), cells);
        }
        text
    }

    fn goals_table() -> String {
        let mut text = String::from("The step a state takes to a goal (`.`: wait or rest)\n\n");
        row(&mut text, "state", GOALS.iter().map(|goal| format!("{goal:?}")));
        for state in State::ALL {
            let cells = GOALS.iter().map(|goal| match state.towards(*goal) {
                (same, None) if same == state => ".".to_owned(),
                (next, None) => format!("-> {next:?}"),
                (next, Some(step)) => format!("{step:?} -> {next:?}"),
            });
            row(&mut text, &format!("{state:?}"), cells);
        }
        text
    }

    fn row(text: &mut String, head: &str, cells: impl Iterator<Item = String>) {
        write!(text, "{head:<11}").unwrap();
        for cell in cells {
            write!(text, "| {cell:<23}").unwrap();
        }
        text.truncate(text.trim_end().len());
        text.push('\n');
    }

    #[test]
    fn a_step_is_taken_only_at_rest_and_leads_to_a_busy_state() {
        for state in State::ALL {
            for goal in GOALS {
                let (next, step) = state.towards(goal);
                assert_eq!(
                    step.is_some(),
                    next.is_busy() && !state.is_busy(),
                    "{state:?} {goal:?}"
                );
                assert!(!(state.is_busy() && next != state), "{state:?} {goal:?}");
            }
        }
    }

    #[test]
    fn a_vm_that_should_run_is_never_halted_or_removed() {
        for state in State::ALL {
            let step = state.towards(Goal::Run).1;
            let harmful = [Step::Shutdown, Step::Destroy, Step::Remove];
            assert!(!step.is_some_and(|step| harmful.contains(&step)), "{state:?}");
        }
    }

    #[test]
    fn every_goal_is_reached_from_every_state() {
        for goal in GOALS {
            for start in State::ALL {
                assert!(reaches(start, goal), "{start:?} never gets to {goal:?}");
            }
        }
    }

    /// Plays a hypervisor that does what it is told, with a guest that ignores its power button.
    fn reaches(start: State, goal: Goal) -> bool {
        let mut state = start;
        let mut halted = false;
        for _ in 0..16 {
            halted |= state.is_halted();
            let goal = if halted && matches!(goal, Goal::Restart(_)) { Goal::Run } else { goal };
            match (state, goal) {
                (State::On | State::Paused, Goal::Run) => return true,
                (State::Off | State::Defined, Goal::Stop(_)) => return true,
                (State::Removed, Goal::Remove(_)) => return true,
                _ => {}
            }
            state = match state.towards(goal).0 {
                State::Unseen => State::Off,
                State::Stopping => State::Stopping.after(Fact::GraceOver),
                busy if busy.is_busy() => busy.after(Fact::Done),
                other => other,
            };
        }
        false
    }
}
