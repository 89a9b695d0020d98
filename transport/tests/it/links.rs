//! Links stay up, come back, and follow the set of members.

use std::sync::Arc;

use novacron_protocol::MemberId;
use novacron_transport::{
    CloseReason, Endpoint, EndpointOptions, IdentityStore, LinkEvent, Links, Session, SessionError,
};
use tokio::sync::mpsc::Receiver;

use crate::cluster::{Cluster, accept_session, endpoint, endpoint_of, soon};

/// The next session that comes up; failed dials in between are what links are for.
async fn up(events: &mut Receiver<LinkEvent>) -> (MemberId, Session) {
    soon(async {
        loop {
            match events.recv().await.expect("links live") {
                LinkEvent::Up(member, session) => return (member, session),
                LinkEvent::Failed(..) => {}
                LinkEvent::Down(member, reason) => panic!("{member} is down: {reason}"),
            }
        }
    })
    .await
}

async fn down(events: &mut Receiver<LinkEvent>) -> (MemberId, SessionError) {
    match soon(events.recv()).await {
        Some(LinkEvent::Down(member, reason)) => (member, reason),
        other => panic!("expected a link down, not {other:?}"),
    }
}

#[tokio::test]
async fn every_member_of_the_set_gets_a_session() {
    let cluster = Cluster::new();
    let members: Vec<_> = (1..=3).map(|number| endpoint(cluster.member(number))).collect();
    let (links, mut events) = Links::new(endpoint(cluster.host(1)));
    let set: Vec<_> = (1..).map(MemberId).zip(members.iter().map(Endpoint::local_addr)).collect();
    links.set_members(&set);
    let mut seen = Vec::new();
    for _ in &members {
        seen.push(up(&mut events).await.0);
    }
    seen.sort();
    assert_eq!(seen, [MemberId(1), MemberId(2), MemberId(3)]);
    assert_eq!(links.sessions().len(), 3);

    links.set_members(&set[1..]);
    assert_eq!(down(&mut events).await, (MemberId(1), SessionError::Closed(CloseReason::Finished)));
    assert!(links.session(MemberId(1)).is_none());
    assert_eq!(links.sessions().len(), 2);

    links.set_members(&set);
    assert_eq!(up(&mut events).await.0, MemberId(1));
}

#[tokio::test]
async fn a_link_comes_back_after_its_member_restarts_on_the_same_port() {
    let cluster = Cluster::new();
    let store = IdentityStore::new(cluster.member(1));
    let first = endpoint_of(&store, EndpointOptions::default());
    let addr = first.local_addr();
    let (links, mut events) = Links::new(endpoint(cluster.host(1)));
    links.set_members(&[(MemberId(1), addr)]);
    let session = up(&mut events).await.1;
    let accepted = accept_session(&first).await;

    soon(first.close(CloseReason::ShuttingDown)).await;
    drop((first, accepted));
    let reason = SessionError::Closed(CloseReason::ShuttingDown);
    assert_eq!(down(&mut events).await, (MemberId(1), reason));
    assert!(links.session(MemberId(1)).is_none());

    let second = soon(async {
        // The old socket closes a moment after its endpoint.
        loop {
            match Endpoint::bind(addr, Arc::clone(&store), EndpointOptions::default()) {
                Ok(endpoint) => return endpoint,
                Err(_) => tokio::time::sleep(std::time::Duration::from_millis(5)).await,
            }
        }
    })
    .await;
    let again = up(&mut events).await.1;
    assert!(again.stable_id() > session.stable_id());
    assert_eq!(accept_session(&second).await.peer(), accept_peer());
    assert_eq!(links.session(MemberId(1)).unwrap().stable_id(), again.stable_id());
}

fn accept_peer() -> novacron_transport::Peer {
    novacron_transport::Peer::Host(crate::cluster::host_id(1))
}

/// A member killed without a word: its runtime, with all its tasks and sockets, vanishes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_member_that_restarts_is_noticed_without_waiting_for_the_timeout() {
    let cluster = Cluster::new();
    let identity = cluster.member(1);
    let dir = tempfile::tempdir().unwrap();
    identity.save(dir.path()).unwrap();
    let load = || IdentityStore::new(novacron_transport::Identity::load(dir.path()).unwrap());

    let victim =
        tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let first = {
        let _inside = victim.enter();
        Endpoint::bind("127.0.0.1:0".parse().unwrap(), load(), EndpointOptions::default()).unwrap()
    };
    let addr = first.local_addr();
    let (links, mut events) = Links::new(endpoint(cluster.host(1)));
    links.set_members(&[(MemberId(1), addr)]);
    up(&mut events).await;
    let began = std::time::Instant::now();
    // With the tasks gone first, nobody is left to say goodbye when the endpoint is dropped.
    let kill = move || victim.shutdown_timeout(std::time::Duration::from_secs(10));
    std::thread::spawn(kill).join().unwrap();
    drop(first);

    let second = soon(async {
        loop {
            match Endpoint::bind(addr, load(), EndpointOptions::default()) {
                Ok(endpoint) => return endpoint,
                Err(_) => tokio::time::sleep(std::time::Duration::from_millis(5)).await,
            }
        }
    })
    .await;
    down(&mut events).await;
    up(&mut events).await;
    let took = began.elapsed();
    assert!(took < EndpointOptions::default().idle_timeout, "{took:?}");
    drop(second);
}

#[tokio::test]
async fn a_member_that_moved_is_dialled_at_its_new_address() {
    let cluster = Cluster::new();
    let (old, new) = (endpoint(cluster.member(1)), endpoint(cluster.member(1)));
    let (links, mut events) = Links::new(endpoint(cluster.host(1)));
    links.set_members(&[(MemberId(1), old.local_addr())]);
    up(&mut events).await;
    links.set_members(&[(MemberId(1), new.local_addr())]);
    down(&mut events).await;
    assert_eq!(up(&mut events).await.1.remote_addr(), new.local_addr());
}

#[tokio::test]
async fn failed_dials_are_told_and_tried_again() {
    let cluster = Cluster::new();
    let stranger = endpoint(Cluster::numbered(2).member(1));
    let (links, mut events) = Links::new(endpoint(cluster.host(1)));
    links.set_members(&[(MemberId(1), stranger.local_addr())]);
    for _ in 0..3 {
        let event = soon(events.recv()).await;
        assert!(matches!(event, Some(LinkEvent::Failed(MemberId(1), _))), "{event:?}");
    }
}

#[tokio::test]
async fn dropped_links_hang_up() {
    let cluster = Cluster::new();
    let member = endpoint(cluster.member(1));
    let (links, mut events) = Links::new(endpoint(cluster.host(1)));
    links.set_members(&[(MemberId(1), member.local_addr())]);
    up(&mut events).await;
    let accepted = accept_session(&member).await;
    drop(links);
    assert_eq!(soon(accepted.closed()).await, SessionError::Closed(CloseReason::Finished));
}
