//! Raft as a member runs it: groups of drivers, and drivers among peers that are not as they should.

#![allow(clippy::unwrap_used, reason = "a test stops where it fails")]

mod adversity;
mod fixture;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use fixture::{Group, Kept, PATIENCE, create_user, user};
use novacron_controlplane::cluster::Status;
use novacron_controlplane::raft::{LogStore as _, MembershipChange, ProposeRefusal, SegmentStore};
use novacron_controlplane_core::{Command, Envelope};
use novacron_protocol::{LogIndex, MemberId, Timestamp};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_acknowledged_by_three_is_on_all_three() {
    let group = Group::of_three().await;
    let mut last = LogIndex(0);
    for n in 1..=20 {
        last = group.write(n).await;
    }
    let mut digests = BTreeSet::new();
    for id in 1..=3 {
        let state = group.wait_applied(MemberId(id), last).await;
        assert_eq!(state.users().count(), 21);
        digests.insert(state.digest().unwrap());
    }
    assert_eq!(digests.len(), 1, "equal states have equal digests");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lost_leader_is_replaced_and_learns_what_it_missed() {
    let group = Group::of_three().await;
    group.write(1).await;
    let old = group.net.leader().unwrap();
    group.net.cut(old);
    let alone = group.net.handle(old);
    let late = async move { alone.propose(create_user(3).encode().unwrap()).await };
    let late = tokio::spawn(late);
    let last = group.write(2).await;
    assert_ne!(group.net.leader(), Some(old));
    group.net.heal();
    let lost = tokio::time::timeout(PATIENCE, late).await.unwrap().unwrap();
    assert!(
        matches!(lost, Err(ProposeRefusal::Lost | ProposeRefusal::NotLeader { .. })),
        "a proposal of a leader that was cut off is never acknowledged: {lost:?}"
    );
    let state = group.wait_applied(old, last).await;
    assert!(state.user(user(2).id).is_some() && state.user(user(3).id).is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn reads_see_every_write_acknowledged_before_them() {
    let group = Group::of_three().await;
    for n in 1..=10 {
        let written = group.write(n).await;
        for id in 1..=3 {
            let handle = group.net.handle(MemberId(id));
            let mut index = None;
            while index.is_none() {
                let read = tokio::time::timeout(Duration::from_millis(300), handle.read_index());
                index = read.await.ok().and_then(Result::ok);
            }
            assert!(index.unwrap() >= written);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_acknowledged_survives_a_restart_of_all() {
    let mut group = Group::of_three().await;
    for n in 1..=150 {
        group.write(n).await;
    }
    let last = group.write(151).await;
    for id in 1..=3 {
        group.wait_applied(MemberId(id), last).await;
        group.stop(MemberId(id));
    }
    for id in 1..=3 {
        group.start(MemberId(id));
    }
    let next = group.write(152).await;
    for id in 1..=3 {
        let state = group.wait_applied(MemberId(id), next).await;
        assert_eq!(state.users().count(), 153);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_that_fell_behind_the_log_gets_a_snapshot() {
    let group = Group::of_three().await;
    let late = if group.net.leader() == Some(MemberId(3)) { MemberId(2) } else { MemberId(3) };
    let before = group.net.inner.lock().unwrap().snapshots;
    group.net.cut(late);
    let mut last = LogIndex(0);
    for n in 1..=250 {
        last = group.write(n).await;
    }
    group.net.heal();
    let state = group.wait_applied(late, last).await;
    assert_eq!(state.users().count(), 251);
    assert!(group.net.inner.lock().unwrap().snapshots > before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_member_is_taken_out_and_the_rest_goes_on() {
    let group = Group::of_three().await;
    let gone = if group.net.leader() == Some(MemberId(3)) { MemberId(2) } else { MemberId(3) };
    group.propose(Envelope::system(Timestamp(3), Command::RemoveMember { member: gone })).await;
    group.change(MembershipChange::Remove(gone), None).await;
    group.net.cut(gone);
    group.write(1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopping_leader_hands_over_the_lead() {
    let mut group = Group::of_three().await;
    group.write(1).await;
    let old = group.net.leader().unwrap();
    let began = Instant::now();
    group.stop(old);
    group.write(2).await;
    assert!(began.elapsed() < PATIENCE / 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_member_does_not_forget_that_others_vote() {
    let mut group = Group::new();
    let first = MemberId(1);
    let loaded = SegmentStore::open(&group.log(first)).unwrap().load().unwrap();
    let kept = Kept::of(loaded);
    group.start_on(first, Box::new(kept.clone()));
    let second = MemberId(2);
    group.grow(&[second]).await;
    let as_killed = Kept::of(kept.loaded());
    group.stop(first);
    group.net.cut(second);
    group.start_on(first, Box::new(as_killed));
    let handle = group.net.handle(first);
    let mut status = handle.status();
    let led = status.wait_for(Status::leads);
    let alone = tokio::time::timeout(Duration::from_secs(2), led).await;
    assert!(alone.is_err(), "one of two voters elected itself");
    group.net.heal();
    group.write(2).await;
}
