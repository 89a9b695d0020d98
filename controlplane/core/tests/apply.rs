//! What commands do to the state, told as stories.

#![allow(clippy::unwrap_used, reason = "a test stops where it fails")]

mod fixture;

use fixture::{Fixture, SECRET, addresses, host, name, new_vm, operation, redemption, vm};
use novacron_controlplane_core::apply::Configuration;
use novacron_controlplane_core::command::{
    DecodeCommandError, NewImage, Redemption, RequestKey, VmAction,
};
use novacron_controlplane_core::member::MemberRole;
use novacron_controlplane_core::operation::OPERATION_LIFE;
use novacron_controlplane_core::outcome::{Outcome, RefusalCode};
use novacron_controlplane_core::vm::Observed;
use novacron_controlplane_core::{Actor, Command, Envelope, State};
use novacron_protocol::host::Connectivity;
use novacron_protocol::join_token::JoinRole;
use novacron_protocol::vm::{ObservedVm, StopMode, Target, VmState};
use novacron_protocol::wire::hello::Peer;
use novacron_protocol::{Digest, Generation, LogIndex, MemberId, RequestId, Timestamp};

/// All events as lines, for golden stories.
fn story(state: &State) -> String {
    let line = |event: &novacron_controlplane_core::event::Event| {
        format!("{:>3}.{} {:<22} {}\n", event.index, event.ordinal, event.kind, event.message)
    };
    state.events().iter().map(line).collect()
}

fn code(applied: novacron_controlplane_core::outcome::Applied) -> RefusalCode {
    applied.unwrap_err().code
}

#[test]
fn a_vm_lives_from_create_to_delete() {
    let mut lab = Fixture::new();
    lab.add_host(1, 8, 8);
    lab.create_vm(1, "web-1").unwrap();
    lab.apply(Command::Place { vm: vm(1), host: host(1) }).unwrap();
    lab.report(1, VmState::Preparing, "fetching image").unwrap();
    lab.report(1, VmState::Running, "").unwrap();
    lab.act(1, VmAction::Restart(StopMode::Graceful), 2).unwrap();
    lab.report(1, VmState::Running, "").unwrap();
    lab.act(1, VmAction::Stop(StopMode::Graceful), 3).unwrap();
    lab.report(1, VmState::Stopping, "").unwrap();
    lab.report(1, VmState::Stopped, "").unwrap();
    lab.act(1, VmAction::Delete, 4).unwrap();
    lab.report(1, VmState::Absent, "").unwrap();
    assert!(lab.state.vm(vm(1)).is_none());
    assert_eq!(lab.state.host(host(1)).unwrap().allocated.vms, 0);
    assert_eq!(lab.state.open_operations().count(), 0, "every operation ended");
    insta::assert_snapshot!(story(&lab.state));
}

#[test]
fn placement_is_validated_again_in_apply() {
    let mut lab = Fixture::new();
    lab.add_host(1, 3, 8);
    lab.create_vm(1, "a").unwrap();
    lab.create_vm(2, "b").unwrap();
    lab.apply(Command::Place { vm: vm(1), host: host(1) }).unwrap();
    let refusal = lab.apply(Command::Place { vm: vm(2), host: host(1) }).unwrap_err();
    assert_eq!(refusal.code, RefusalCode::Infeasible);
    assert_eq!(refusal.message, "host h1 cannot take it: 2 CPUs wanted, 1 free");
    assert_eq!(code(lab.apply(Command::Place { vm: vm(1), host: host(1) })), RefusalCode::Conflict);
    assert_eq!(lab.state.host(host(1)).unwrap().allocated.cpus.0, 2);
}

#[test]
fn a_repeated_request_is_answered_and_not_done_again() {
    let mut lab = Fixture::new();
    let key = RequestKey { id: RequestId::from_uuid(fixture::id(7)), fingerprint: Digest([1; 32]) };
    let create = |n| {
        Envelope::from_actor(Timestamp(0), Actor::System, Command::CreateVm(new_vm(n, "web")))
            .once(key)
    };
    let first = lab.apply_envelope(create(1));
    let again = lab.apply_envelope(create(2));
    assert_eq!(first, again);
    assert_eq!(lab.state.vms().count(), 1);
    let other = RequestKey { fingerprint: Digest([2; 32]), ..key };
    let reused = lab.apply_envelope(create(3).once(other));
    assert_eq!(code(reused), RefusalCode::KeyReused);
}

#[test]
fn words_of_an_agent_older_than_what_is_known_are_passed_over() {
    let mut lab = Fixture::new();
    lab.add_host(1, 8, 8);
    lab.create_vm(1, "web").unwrap();
    lab.apply(Command::Place { vm: vm(1), host: host(1) }).unwrap();
    let old = lab.state.vm(vm(1)).unwrap().revision;
    lab.act(1, VmAction::Stop(StopMode::Force), 2).unwrap();
    lab.report(1, VmState::Stopped, "").unwrap();
    let mut say = |revision| {
        let seen = ObservedVm {
            id: vm(1),
            revision,
            state: VmState::Running,
            restarts: 0,
            reason: String::new(),
        };
        lab.apply(Command::Observe { host: host(1), generation: revision, vms: vec![seen] })
            .unwrap();
        lab.state.vm(vm(1)).unwrap().seen.as_ref().unwrap().state
    };
    assert_eq!(say(old), VmState::Stopped);
    assert_eq!(say(Generation(99)), VmState::Stopped, "nor words from a future that is not ours");
}

#[test]
fn an_old_failure_does_not_fail_a_new_operation() {
    let mut lab = Fixture::new();
    lab.add_host(1, 8, 8);
    lab.create_vm(1, "web").unwrap();
    lab.apply(Command::Place { vm: vm(1), host: host(1) }).unwrap();
    let old = lab.state.vm(vm(1)).unwrap().revision;
    lab.report(1, VmState::Failed, "no such bus").unwrap();
    let created = lab.state.operation(operation(101)).unwrap();
    assert_eq!(created.status.reason(), Some("no such bus"));
    lab.act(1, VmAction::Start, 2).unwrap();
    let failed = ObservedVm {
        id: vm(1),
        revision: old,
        state: VmState::Failed,
        restarts: 0,
        reason: "no such bus".into(),
    };
    lab.apply(Command::Observe { host: host(1), generation: old, vms: vec![failed] }).unwrap();
    assert!(lab.state.operation(operation(2)).unwrap().is_open());
    lab.report(1, VmState::Running, "").unwrap();
    assert!(!lab.state.operation(operation(2)).unwrap().is_open());
}

#[test]
fn silence_makes_vms_unknown_and_never_stopped() {
    let mut lab = Fixture::new();
    lab.add_host(1, 8, 8);
    lab.create_vm(1, "web").unwrap();
    lab.apply(Command::Place { vm: vm(1), host: host(1) }).unwrap();
    lab.report(1, VmState::Running, "").unwrap();
    lab.now += 60;
    let hosts = vec![(host(1), Connectivity::Disconnected)];
    lab.apply(Command::SetConnectivity { hosts }).unwrap();
    let known = lab.state.vm(vm(1)).unwrap();
    assert_eq!(
        lab.state.observed(known),
        Observed::Unknown { since: lab.clock(), last: Some(VmState::Running) }
    );
    assert_eq!(known.target, Target::Running, "nothing is asked of the VM");
}

#[test]
fn a_stuck_operation_ends_with_what_it_waits_for() {
    let mut lab = Fixture::new();
    lab.create_vm(1, "web").unwrap();
    let expire = || Command::ExpireOperations { operations: vec![operation(101)] };
    lab.apply(expire()).unwrap();
    assert!(lab.state.operation(operation(101)).unwrap().is_open(), "not before its deadline");
    lab.now += OPERATION_LIFE.0 / 1000;
    lab.apply(expire()).unwrap();
    let ended = lab.state.operation(operation(101)).unwrap();
    assert_eq!(
        ended.status.reason(),
        Some("not done in time: no host can take the VM yet (see `vm explain`)")
    );
    assert!(lab.state.vm(vm(1)).is_some(), "the desired state stays");
}

#[test]
fn a_newer_request_supersedes_and_a_cancelled_create_is_withdrawn() {
    let mut lab = Fixture::new();
    lab.create_vm(1, "web").unwrap();
    lab.act(1, VmAction::Stop(StopMode::Force), 2).unwrap();
    let status = lab.state.operation(operation(101)).unwrap().status.clone();
    assert!(status.reason().unwrap().starts_with("superseded by stop-vm"));
    assert_eq!(
        code(lab.apply(Command::CancelOperation { operation: operation(2) })),
        RefusalCode::Conflict
    );
    lab.create_vm(3, "db").unwrap();
    lab.apply(Command::CancelOperation { operation: operation(103) }).unwrap();
    assert!(lab.state.vm(vm(3)).is_none());
}

#[test]
fn tokens_let_in_as_often_as_they_say_and_leave_a_record() {
    let mut lab = Fixture::new();
    let token = lab.token(77, JoinRole::Host, 1);
    let mut wrong = redemption(token, 1);
    wrong.secret = Digest([0; 32]);
    assert_eq!(code(lab.apply(Command::Redeem(wrong))), RefusalCode::TokenUnknown);
    let member =
        Redemption { role: JoinRole::Member, member: Some(addresses(2)), ..redemption(token, 1) };
    assert_eq!(code(lab.apply(Command::Redeem(member))), RefusalCode::TokenWrongRole);
    let first = lab.apply(Command::Redeem(redemption(token, 1)));
    assert_eq!(first, Ok(Outcome::Host(host(1))));
    let lost_answer = Redemption { host: host(99), ..redemption(token, 1) };
    assert_eq!(lab.apply(Command::Redeem(lost_answer)), first, "the same key gets the same id");
    assert_eq!(code(lab.apply(Command::Redeem(redemption(token, 2)))), RefusalCode::TokenUsedUp);
    lab.now += 7200;
    let late = lab.token(78, JoinRole::Host, 1);
    lab.now += 7200;
    assert_eq!(code(lab.apply(Command::Redeem(redemption(late, 3)))), RefusalCode::TokenExpired);
    insta::assert_snapshot!(story(&lab.state));
}

#[test]
fn a_known_host_comes_back_as_itself_once_and_its_old_certificates_are_void() {
    let mut lab = Fixture::new();
    lab.add_host(1, 8, 8);
    lab.add_host(2, 8, 8);
    lab.create_vm(1, "web-1").unwrap();
    lab.apply(Command::Place { vm: vm(1), host: host(1) }).unwrap();
    let generation = lab.state.host(host(1)).unwrap().generation;
    lab.now += 800_000;
    let token = lab.token_for(77, host(1));
    // With a key of its own, or with that of another host: the token is for this one.
    let back = Redemption { key: Digest([2; 32]), host: host(99), ..redemption(token, 9) };
    assert_eq!(lab.apply(Command::Redeem(back.clone())), Ok(Outcome::Host(host(1))));
    assert_eq!(lab.apply(Command::Redeem(back)), Ok(Outcome::Host(host(1))), "its answer was lost");
    let other = redemption(token, 8);
    assert_eq!(code(lab.apply(Command::Redeem(other))), RefusalCode::TokenUsedUp);

    let known = lab.state.host(host(1)).unwrap();
    assert_eq!((known.name.as_str(), known.generation), ("h1", generation));
    assert_eq!(lab.state.vm(vm(1)).unwrap().host, Some(host(1)), "what it runs is still its own");
    assert_eq!(lab.state.hosts().count(), 2);
    let returned: Vec<_> = lab.state.returned().collect();
    assert_eq!(returned, [(host(1), lab.clock())]);
    assert_eq!(lab.state.revoked().count(), 0, "the host itself is welcome");
    insta::assert_snapshot!(story(&lab.state));
}

#[test]
fn a_token_for_a_host_goes_with_that_host() {
    let mut lab = Fixture::new();
    lab.add_host(1, 8, 8);
    let token = lab.token_for(77, host(1));
    assert_eq!(lab.state.returning_host(token), Some(host(1)));
    lab.apply(Command::RemoveHost { host: host(1) }).unwrap();
    assert_eq!(lab.state.returning_host(token), None);
    let back = lab.apply(Command::Redeem(redemption(token, 9)));
    assert_eq!(code(back), RefusalCode::TokenUnknown, "it lets in nobody else");
    let gone = Command::AllowReturn { token: fixture::new_token(78, lab.now), host: host(1) };
    assert_eq!(code(lab.apply(gone)), RefusalCode::NotFound);
}

#[test]
fn members_come_by_learning_and_go_with_their_identity_revoked() {
    let mut lab = Fixture::new();
    let token = lab.token(77, JoinRole::Member, 1);
    let join = Redemption {
        token,
        secret: SECRET,
        role: JoinRole::Member,
        key: Digest([42; 32]),
        name: name("m2"),
        host: host(1),
        member: Some(addresses(2)),
    };
    assert_eq!(lab.apply(Command::Redeem(join)), Ok(Outcome::Member(MemberId(2))));
    let mut configure = |voters: &[u64], learners: &[u64]| {
        lab.index += 1;
        let ids = |ids: &[u64]| ids.iter().copied().map(MemberId).collect();
        let configuration = Configuration { voters: ids(voters), learners: ids(learners) };
        lab.state.apply_configuration(LogIndex(lab.index), &configuration);
        lab.state.member(MemberId(2)).map(|member| member.role)
    };
    assert_eq!(configure(&[1], &[2]), Some(MemberRole::Learner));
    assert_eq!(configure(&[1, 2], &[]), Some(MemberRole::Voter));
    lab.apply(Command::RemoveMember { member: MemberId(2) }).unwrap();
    assert_eq!(
        code(lab.apply(Command::RemoveMember { member: MemberId(1) })),
        RefusalCode::Conflict,
        "the last voter stays"
    );
    lab.index += 1;
    let alone = Configuration { voters: vec![MemberId(1)], learners: vec![] };
    lab.state.apply_configuration(LogIndex(lab.index), &alone);
    assert!(lab.state.member(MemberId(2)).is_none());
    assert_eq!(lab.state.revoked().collect::<Vec<_>>(), [&Peer::Member(MemberId(2))]);
}

#[test]
fn a_command_of_a_newer_release_is_told_apart_from_a_damaged_one() {
    let mut envelope = Envelope::system(Timestamp(0), Command::CreateVm(new_vm(1, "web")));
    envelope.version = 999;
    let bytes = envelope.encode().unwrap();
    assert_eq!(Envelope::decode(&bytes), Err(DecodeCommandError::TooNew { version: 999 }));
    assert!(matches!(Envelope::decode(&[1, 200]), Err(DecodeCommandError::Codec(_))));
}

#[test]
fn importing_an_image_again_adds_a_holder_and_ends_at_once_when_it_is_safe() {
    let mut lab = Fixture::new();
    let again = NewImage { operation: operation(501), ..fixture::new_image() };
    assert!(lab.apply(Command::CreateImage(again)).is_ok());
    assert!(!lab.state.operation(operation(501)).unwrap().is_open());
    assert_eq!(lab.state.images().count(), 1);
}

#[test]
#[should_panic(expected = "applied after")]
fn entries_out_of_order_stop_the_member() {
    let mut lab = Fixture::new();
    lab.index = 0;
    let _ = lab.create_vm(1, "web");
}
