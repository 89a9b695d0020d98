//! The leader's loops, told as stories.

#![allow(clippy::unwrap_used, reason = "a test stops where it fails")]

mod fixture;

use std::time::Duration;

use fixture::{Fixture, host, vm};
use novacron_controlplane_core::fleet::Fleet;
use novacron_controlplane_core::membership::{self, Step};
use novacron_controlplane_core::{Command, Envelope};
use novacron_protocol::host::Connectivity;
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

#[test]
fn a_newcomer_learns_then_votes_and_a_leaving_leader_hands_over_first() {
    use novacron_controlplane_core::apply::Configuration;
    use novacron_controlplane_core::command::Redemption;
    use novacron_protocol::join_token::JoinRole;
    let mut lab = Fixture::new();
    let token = lab.token(77, JoinRole::Member, 1);
    let join = Redemption {
        role: JoinRole::Member,
        member: Some(fixture::addresses(2)),
        ..fixture::redemption(token, 2)
    };
    lab.apply(Command::Redeem(join)).unwrap();
    let (one, two) = (MemberId(1), MemberId(2));
    let next = |lab: &Fixture, progress: &[(MemberId, LogIndex)]| {
        membership::next_step(&lab.state, one, progress)
    };
    let own = (one, LogIndex(lab.index));
    assert_eq!(next(&lab, &[own]), Some(Step::AddLearner(two)));
    lab.index += 1;
    let learning = Configuration { voters: vec![one], learners: vec![two] };
    lab.state.apply_configuration(LogIndex(lab.index), &learning);
    assert_eq!(next(&lab, &[own, (two, LogIndex(0))]), None, "it has nothing yet");
    assert_eq!(next(&lab, &[own, (two, own.1)]), Some(Step::Promote(two)));
    lab.index += 1;
    let voting = Configuration { voters: vec![one, two], learners: vec![] };
    lab.state.apply_configuration(LogIndex(lab.index), &voting);
    let both = [own, (two, own.1)];
    assert_eq!(next(&lab, &both), None);
    lab.apply(Command::RemoveMember { member: one }).unwrap();
    assert_eq!(next(&lab, &both), Some(Step::TransferLead(two)));
    assert_eq!(membership::next_step(&lab.state, two, &both), Some(Step::Remove(one)));
}
