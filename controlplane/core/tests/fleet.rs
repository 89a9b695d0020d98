//! The leader's loops, told as stories.

#![allow(clippy::unwrap_used, reason = "a test stops where it fails")]

mod fixture;

use std::time::Duration;

use fixture::{Fixture, host, vm};
use novacron_controlplane_core::apply::Configuration;
use novacron_controlplane_core::command::Redemption;
use novacron_controlplane_core::fleet::Fleet;
use novacron_controlplane_core::membership::{self, Progress, Step};
use novacron_controlplane_core::{Command, Envelope};
use novacron_protocol::host::Connectivity;
use novacron_protocol::join_token::JoinRole;
use novacron_protocol::vm::{ObservedVm, VmState};
use novacron_protocol::wire::agent::Report;
use novacron_protocol::{LogIndex, MemberId, VcpuCount};

const SILENCE: Duration = Duration::from_secs(10);

fn at(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Applies what the fleet proposes until it has nothing more to propose; gives all of it.
fn settle(lab: &mut Fixture, fleet: &mut Fleet, now: Duration) -> Vec<Command> {
    let mut all = Vec::new();
    for _ in 0..10 {
        let commands = fleet.reconcile(now, lab.clock(), &lab.state);
        if commands.is_empty() {
            return all;
        }
        for command in commands {
            lab.apply_envelope(Envelope::system(lab.clock(), command.clone())).unwrap();
            all.push(command);
        }
    }
    panic!("the loops do not come to rest: {all:?}");
}

#[test]
fn a_silent_host_is_disconnected_after_the_timeout_and_connected_when_heard() {
    let mut lab = Fixture::new();
    lab.add_host(1, 8, 8);
    let mut fleet = Fleet::new(at(100), SILENCE);
    assert_eq!(settle(&mut lab, &mut fleet, at(109)), [], "a new leader gives everybody time");
    assert_eq!(fleet.poll_timeout(&lab.state), Some(at(110)));
    let disconnected =
        Command::SetConnectivity { hosts: vec![(host(1), Connectivity::Disconnected)] };
    assert_eq!(settle(&mut lab, &mut fleet, at(110)), [disconnected]);
    assert_eq!(fleet.poll_timeout(&lab.state), None);
    fleet.handle_heartbeat(at(150), host(1));
    let connected = Command::SetConnectivity { hosts: vec![(host(1), Connectivity::Connected)] };
    assert_eq!(settle(&mut lab, &mut fleet, at(151)), [connected]);
    assert_eq!(fleet.poll_timeout(&lab.state), Some(at(160)));
}

#[test]
fn vms_that_wait_are_spread_over_hosts_in_one_round() {
    let mut lab = Fixture::new();
    for n in 1..=3 {
        lab.add_host(n, 8, 8);
    }
    let mut fleet = Fleet::new(at(0), SILENCE);
    for n in 1..=6 {
        lab.create_vm(n, &format!("web-{n}")).unwrap();
    }
    let placed = settle(&mut lab, &mut fleet, at(1));
    assert_eq!(placed.len(), 6);
    for n in 1..=3 {
        assert_eq!(lab.state.vms_on(host(n)).count(), 2, "siblings are kept apart");
    }
    lab.create_vm(7, "big").unwrap();
    lab.create_vm(8, "big-too").unwrap();
    settle(&mut lab, &mut fleet, at(1));
    assert_eq!(lab.state.unplaced().count(), 0);
}

#[test]
fn vms_that_fit_nowhere_do_not_hold_up_the_others() {
    let mut lab = Fixture::new();
    lab.add_host(1, 8, 8);
    for n in 1..=300 {
        let mut giant = fixture::new_vm(n, &format!("giant-{n}"));
        giant.spec.cpus = VcpuCount(64);
        giant.operation = fixture::operation(10_000 + n);
        lab.apply(Command::CreateVm(giant)).unwrap();
    }
    let mut small = fixture::new_vm(900, "small");
    small.operation = fixture::operation(20_000);
    lab.apply(Command::CreateVm(small)).unwrap();
    let mut fleet = Fleet::new(at(0), SILENCE);
    let placed = settle(&mut lab, &mut fleet, at(1));
    assert_eq!(placed, [Command::Place { vm: vm(900), host: host(1) }]);
}

#[test]
fn a_report_is_proposed_until_the_state_knows_it_and_then_no_more() {
    let mut lab = Fixture::new();
    lab.add_host(1, 8, 8);
    let mut fleet = Fleet::new(at(0), SILENCE);
    lab.create_vm(1, "web").unwrap();
    settle(&mut lab, &mut fleet, at(1));
    let known = lab.state.vm(vm(1)).unwrap();
    let seen = ObservedVm {
        id: vm(1),
        revision: known.revision,
        state: VmState::Running,
        restarts: 0,
        reason: String::new(),
    };
    let report = Report { generation: known.revision, vms: vec![seen] };
    fleet.handle_report(at(2), host(1), report.clone());
    let lost = fleet.reconcile(at(2), lab.clock(), &lab.state);
    assert_eq!(lost.len(), 1, "and if that proposal is lost:");
    assert_eq!(settle(&mut lab, &mut fleet, at(2)), lost);
    assert_eq!(lab.state.open_operations().count(), 0);
    fleet.handle_report(at(3), host(1), report);
    assert_eq!(settle(&mut lab, &mut fleet, at(3)), [], "the same again is no news");
}

/// A fleet of `voters` members, the first of which leads, and the next one that was let in.
fn group(voters: u8) -> (Fixture, MemberId) {
    let mut lab = Fixture::new();
    for id in 2..=voters + 1 {
        let token = lab.token(u128::from(id) + 70, JoinRole::Member, 1);
        let join = Redemption {
            role: JoinRole::Member,
            member: Some(fixture::addresses(id)),
            ..fixture::redemption(token, id.into())
        };
        lab.apply(Command::Redeem(join)).unwrap();
    }
    configure(&mut lab, voters.into(), 0);
    (lab, MemberId(u64::from(voters) + 1))
}

/// Brings a configuration of the first members as voters, and the next as learners, into effect.
fn configure(lab: &mut Fixture, voters: u64, learners: u64) {
    let ids = |range: std::ops::RangeInclusive<u64>| range.map(MemberId).collect();
    let (voters, learners) = (ids(1..=voters), ids(voters + 1..=voters + learners));
    lab.index += 1;
    lab.state.apply_configuration(LogIndex(lab.index), &Configuration { voters, learners });
}

/// A member of the Raft group that is heard and has everything.
fn up(lab: &Fixture, id: u64) -> Progress {
    let matched = LogIndex(lab.index);
    Progress { member: MemberId(id), matched, votes: true, is_active: true }
}

fn down(lab: &Fixture, id: u64) -> Progress {
    Progress { is_active: false, ..up(lab, id) }
}

fn learner(lab: &Fixture, id: u64) -> Progress {
    Progress { votes: false, ..up(lab, id) }
}

fn next(lab: &Fixture, members: &[Progress]) -> Option<Step> {
    membership::next_step(&lab.state, MemberId(1), members)
}

#[test]
fn a_newcomer_learns_then_votes_and_a_leaving_leader_hands_over_first() {
    let (mut lab, two) = group(1);
    let one = MemberId(1);
    assert_eq!(next(&lab, &[up(&lab, 1)]), Some(Step::AddLearner(two)));
    configure(&mut lab, 1, 1);
    let nothing_yet = Progress { matched: LogIndex(0), ..learner(&lab, 2) };
    assert_eq!(next(&lab, &[up(&lab, 1), nothing_yet]), None);
    assert_eq!(next(&lab, &[up(&lab, 1), learner(&lab, 2)]), Some(Step::Promote(two)));
    configure(&mut lab, 2, 0);
    let both = [up(&lab, 1), up(&lab, 2)];
    assert_eq!(next(&lab, &both), None);
    lab.apply(Command::RemoveMember { member: one }).unwrap();
    assert_eq!(next(&lab, &both), Some(Step::TransferLead(two)));
    assert_eq!(membership::next_step(&lab.state, two, &both), Some(Step::Remove(one)));
}

#[test]
fn a_learner_that_the_group_lost_is_added_again() {
    let (mut lab, two) = group(1);
    configure(&mut lab, 1, 1);
    assert_eq!(next(&lab, &[up(&lab, 1)]), Some(Step::AddLearner(two)));
}

#[test]
fn a_member_is_taken_out_only_while_those_who_stay_can_go_on() {
    let (mut lab, _) = group(2);
    configure(&mut lab, 3, 0);
    let three = MemberId(3);
    lab.apply(Command::RemoveMember { member: three }).unwrap();
    let remove = Some(Step::Remove(three));
    assert_eq!(next(&lab, &[up(&lab, 1), up(&lab, 2), down(&lab, 3)]), remove);
    assert_eq!(next(&lab, &[up(&lab, 1), up(&lab, 2), up(&lab, 3)]), remove);
    let one_of_two = [up(&lab, 1), down(&lab, 2), up(&lab, 3)];
    assert_eq!(next(&lab, &one_of_two), None, "one of two cannot let anybody in again");
}

#[test]
fn a_leaving_leader_hands_over_to_a_voter_that_is_there_and_stays() {
    let (mut lab, _) = group(3);
    configure(&mut lab, 4, 0);
    for id in [1, 4] {
        lab.apply(Command::RemoveMember { member: MemberId(id) }).unwrap();
    }
    let behind = Progress { matched: LogIndex(1), ..up(&lab, 2) };
    let members = [up(&lab, 1), behind, down(&lab, 3), down(&lab, 4)];
    assert_eq!(next(&lab, &members), Some(Step::TransferLead(MemberId(2))));
    let alone = [up(&lab, 1), down(&lab, 2), down(&lab, 3), down(&lab, 4)];
    assert_eq!(next(&lab, &alone), None);
}

#[test]
fn a_member_of_the_group_that_the_state_forgot_is_taken_out() {
    let (mut lab, two) = group(1);
    lab.apply(Command::RemoveMember { member: two }).unwrap();
    assert!(lab.state.member(two).is_none(), "who is only joining is forgotten at once");
    let members = [up(&lab, 1), learner(&lab, 2)];
    assert_eq!(next(&lab, &members), Some(Step::Remove(two)), "but was being added");
    assert_eq!(membership::next_step(&lab.state, two, &[up(&lab, 2)]), None, "not by itself");
}
