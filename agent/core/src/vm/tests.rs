//! What the owner of one VM decides, and its whole table of transitions.

use super::testing::desired_vm;
use super::*;
use novacron_protocol::Generation;
use novacron_protocol::vm::StopMode;

/// An owner with the hypervisor and clock that it is played against.
struct Play {
    owner: Owner,
    now: Duration,
}

impl Play {
    fn new(change: impl FnOnce(&mut DesiredVm)) -> Self {
        let mut desired = desired_vm(1);
        change(&mut desired);
        let restarts = desired.restarts;
        Self { owner: Owner::new(Arc::new(desired), restarts), now: Duration::ZERO }
    }

    /// An owner whose VM runs as it should.
    fn running() -> Self {
        let mut play = Self::new(|_| {});
        play.see(Some(DomainState::On));
        assert_eq!(play.next(), None);
        play
    }

    fn see(&mut self, seen: Option<DomainState>) {
        self.owner.handle_seen(self.now, seen);
    }

    fn want(&mut self, change: impl FnOnce(&mut DesiredVm)) {
        let mut desired = (**self.owner.desired()).clone();
        desired.revision = desired.revision.next();
        change(&mut desired);
        self.owner.handle_desired(Arc::new(desired));
    }

    fn next(&mut self) -> Option<&'static str> {
        self.owner.poll_task().map(|task| task.as_str())
    }

    fn end(&mut self, outcome: Outcome) {
        self.owner.handle_outcome(self.now, outcome);
    }

    /// Does `steps`, each of which must be the next and goes well.
    fn steps(&mut self, steps: &[&str]) {
        for step in steps {
            assert_eq!(self.next(), Some(*step));
            self.end(Outcome::Done);
        }
    }

    fn pass(&mut self, seconds: u64) {
        self.now += Duration::from_secs(seconds);
        self.owner.handle_timeout(self.now);
    }

    fn state(&self) -> VmState {
        self.owner.observed().state
    }
}

#[test]
fn a_new_vm_is_prepared_defined_and_started() {
    let mut play = Play::new(|_| {});
    assert_eq!(play.next(), None, "nothing is done before the hypervisor was looked at");
    play.see(None);
    play.steps(&["prepare", "define", "start"]);
    assert_eq!((play.next(), play.state()), (None, VmState::Running));
}

#[test]
fn a_vm_that_should_be_stopped_is_made_and_not_started() {
    let mut play = Play::new(|vm| vm.target = Target::Stopped);
    play.see(None);
    play.steps(&["prepare", "define"]);
    assert_eq!((play.next(), play.state()), (None, VmState::Stopped));
}

#[test]
fn a_guest_that_ignores_its_power_button_is_forced_off_after_its_grace() {
    let mut play = Play::running();
    play.want(|vm| vm.target = Target::Stopped);
    play.steps(&["shutdown"]);
    assert_eq!((play.next(), play.state()), (None, VmState::Stopping));
    play.pass(9);
    play.see(Some(DomainState::On));
    assert_eq!(play.next(), None);
    play.pass(1);
    play.steps(&["destroy"]);
    assert_eq!((play.next(), play.state()), (None, VmState::Stopped));
}

#[test]
fn a_power_button_that_cannot_be_pressed_does_not_keep_a_vm_from_stopping() {
    let mut play = Play::running();
    play.want(|vm| vm.target = Target::Stopped);
    assert_eq!(play.next(), Some("shutdown"));
    play.end(Outcome::Refused("no ACPI".to_owned()));
    assert_eq!(play.state(), VmState::Stopping);
    play.pass(10);
    play.steps(&["destroy"]);
    assert_eq!(play.state(), VmState::Stopped);
}

#[test]
fn force_does_not_wait_for_a_guest_that_was_asked_gently_before() {
    let mut play = Play::running();
    play.want(|vm| vm.target = Target::Stopped);
    play.steps(&["shutdown"]);
    play.want(|vm| vm.stop_mode = StopMode::Force);
    play.steps(&["destroy"]);
    assert_eq!(play.state(), VmState::Stopped);
}

#[test]
fn a_stop_that_is_taken_back_lets_the_guest_run_on_or_starts_it_again() {
    for off_in_time in [true, false] {
        let mut play = Play::running();
        play.want(|vm| vm.target = Target::Stopped);
        play.steps(&["shutdown"]);
        play.want(|vm| vm.target = Target::Running);
        assert_eq!(play.next(), None);
        if off_in_time {
            play.see(Some(DomainState::Off));
            play.steps(&["prepare", "define", "start"]);
        } else {
            play.pass(10);
        }
        assert_eq!((play.next(), play.state()), (None, VmState::Running));
    }
}

#[test]
fn a_removed_vm_is_halted_first_and_stays_removed() {
    let mut play = Play::running();
    play.want(|vm| (vm.target, vm.stop_mode) = (Target::Absent, StopMode::Force));
    play.steps(&["destroy", "remove"]);
    play.see(None);
    assert_eq!((play.next(), play.state()), (None, VmState::Absent));
}

#[test]
fn a_vm_that_was_never_here_is_removed_all_the_same_for_its_files() {
    let mut play = Play::new(|vm| vm.target = Target::Absent);
    play.see(None);
    play.steps(&["remove"]);
    assert_eq!((play.next(), play.state()), (None, VmState::Absent));
}

#[test]
fn a_restart_counts_when_the_vm_was_off_and_before_it_starts() {
    let mut play = Play::running();
    play.want(|vm| vm.restarts = 1);
    play.steps(&["shutdown"]);
    assert_eq!(play.owner.poll_count(), None);
    play.see(Some(DomainState::Off));
    assert_eq!(play.owner.poll_count(), Some(1));
    assert_eq!((play.owner.poll_count(), play.next()), (None, None), "waits for the journal");
    assert_eq!(play.owner.observed().restarts, 0);
    play.owner.handle_counted(1);
    play.steps(&["prepare", "define", "start"]);
    assert_eq!(
        (play.owner.poll_count(), play.next(), play.state()),
        (None, None, VmState::Running)
    );
    assert_eq!(play.owner.observed().restarts, 1);
}

#[test]
fn restarts_asked_for_while_one_is_on_its_way_are_one_restart() {
    let mut play = Play::running();
    play.want(|vm| vm.restarts = 1);
    play.steps(&["shutdown"]);
    play.want(|vm| vm.restarts = 3);
    play.see(Some(DomainState::Off));
    assert_eq!(play.owner.poll_count(), Some(3));
}

#[test]
fn a_refused_step_fails_the_vm_until_it_works_or_something_else_is_wanted() {
    let mut play = Play::new(|_| {});
    play.see(None);
    play.steps(&["prepare"]);
    assert_eq!(play.next(), Some("define"));
    play.end(Outcome::Refused("no room".to_owned()));
    play.see(None);
    let observed = play.owner.observed();
    assert_eq!((observed.state, &*observed.reason), (VmState::Failed, "no room"));
    assert_eq!(play.next(), None, "not at once");
    play.pass(10);
    play.steps(&["prepare"]);
    assert_eq!(play.state(), VmState::Failed, "another step that works is no answer to it");
    assert_eq!(play.next(), Some("define"));
    play.end(Outcome::Refused("no room".to_owned()));
    play.see(None);
    play.pass(19);
    assert_eq!(play.next(), None, "the wait doubles");
    play.want(|vm| vm.spec.memory = novacron_protocol::ByteCount::mib(16));
    assert_eq!(play.state(), VmState::Preparing);
    assert_eq!(play.owner.observed().revision, Generation(2));
    play.steps(&["prepare", "define", "start"]);
}

#[test]
fn a_refusal_is_forgotten_when_the_hypervisor_shows_that_the_goal_is_reached() {
    let mut play = Play::new(|_| {});
    play.see(Some(DomainState::Off));
    play.steps(&["prepare", "define"]);
    assert_eq!(play.next(), Some("start"));
    play.end(Outcome::Refused("already running".to_owned()));
    play.see(Some(DomainState::On));
    assert_eq!((play.next(), play.state()), (None, VmState::Running));
    assert_eq!(play.owner.observed().reason, "");
}

#[test]
fn what_cannot_be_had_is_waited_for_and_no_failure() {
    let mut play = Play::new(|_| {});
    play.see(None);
    assert_eq!(play.next(), Some("prepare"));
    play.end(Outcome::Unavailable("no member is connected".to_owned()));
    play.see(None);
    let observed = play.owner.observed();
    assert_eq!((observed.state, &*observed.reason), (VmState::Preparing, "no member is connected"));
    play.pass(1);
    play.steps(&["prepare", "define", "start"]);
}

#[test]
fn nothing_is_guessed_or_done_while_the_hypervisor_is_away() {
    let mut play = Play::running();
    play.owner.handle_unreachable();
    play.want(|vm| vm.target = Target::Stopped);
    play.pass(1000);
    assert_eq!((play.next(), play.state()), (None, VmState::Running));
    play.see(Some(DomainState::On));
    play.steps(&["shutdown"]);
}

#[test]
fn a_guest_that_powers_itself_off_is_started_again_ever_more_slowly() {
    let mut play = Play::running();
    for wait in [1, 2, 4] {
        play.see(Some(DomainState::Off));
        assert_eq!(play.state(), VmState::Stopped);
        play.pass(wait - 1);
        assert_eq!(play.next(), None, "after {wait} s");
        play.pass(1);
        play.steps(&["prepare", "define", "start"]);
    }
    play.see(Some(DomainState::On));
    play.pass(STEADY_AFTER.as_secs());
    play.see(Some(DomainState::Off));
    play.pass(1);
    play.steps(&["prepare", "define", "start"]);
}

#[test]
fn a_paused_domain_is_reported_and_left_alone() {
    let mut play = Play::running();
    play.see(Some(DomainState::Paused));
    assert_eq!((play.next(), play.state()), (None, VmState::Paused));
}

#[test]
fn a_preparation_that_became_useless_is_given_up_once() {
    let mut play = Play::new(|_| {});
    play.see(None);
    assert_eq!(play.next(), Some("prepare"));
    assert!(!play.owner.poll_abandon());
    play.want(|vm| vm.target = Target::Absent);
    assert!(play.owner.poll_abandon());
    assert!(!play.owner.poll_abandon());
    play.end(Outcome::Abandoned);
    play.see(None);
    play.steps(&["remove"]);
}

#[test]
fn a_vm_that_left_the_desired_set_is_not_touched_any_more() {
    let mut play = Play::running();
    play.want(|vm| vm.target = Target::Stopped);
    play.owner.handle_left();
    assert!(play.owner.is_gone());
    assert_eq!(play.next(), None);
}

#[test]
fn a_long_reason_is_cut_at_a_character() {
    let mut play = Play::new(|_| {});
    play.see(None);
    assert_eq!(play.next(), Some("prepare"));
    play.end(Outcome::Refused("ä".repeat(TEXT_LEN_MAX)));
    assert_eq!(play.owner.observed().reason, "ä".repeat(TEXT_LEN_MAX / 2));
}
