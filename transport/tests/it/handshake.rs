//! Who gets a session, and what others are told.

use std::time::Duration;

use novacron_protocol::version::{SUPPORTED, Version, VersionRange};
use novacron_protocol::wire::hello::{HelloRefusal, Peer};
use novacron_transport::{CloseReason, ConnectError, EndpointOptions, IdentityStore, SessionError};

use crate::cluster::{
    Cluster, Pair, accept_session, endpoint, endpoint_of, host_id, member, soon, turned_away,
};
use crate::raw;

fn options(oldest: u16, newest: u16) -> EndpointOptions {
    let versions = VersionRange { oldest: Version(oldest), newest: Version(newest) };
    EndpointOptions { versions, ..EndpointOptions::default() }
}

#[tokio::test]
async fn both_sides_know_each_other_by_certificate() {
    let pair = Pair::new().await;
    assert_eq!(Some(pair.host.peer()), member(1));
    assert_eq!(pair.member.peer(), Peer::Host(host_id(1)));
    assert_eq!(pair.host.version(), SUPPORTED.newest);
    assert_eq!(pair.member.version(), SUPPORTED.newest);
    assert_eq!(pair.host.remote_addr(), pair.member_endpoint.local_addr());
    assert_eq!(pair.member.remote_addr(), pair.host_endpoint.local_addr());
    assert_ne!(pair.host.stable_id(), pair.member.stable_id());
    assert!(pair.host.stats().sent_bytes > 0);
}

#[tokio::test]
async fn either_side_sees_why_the_other_closed() {
    let pair = Pair::new().await;
    pair.member.close(CloseReason::ShuttingDown);
    let ended = SessionError::Closed(CloseReason::ShuttingDown);
    assert_eq!(soon(pair.host.closed()).await, ended);
    assert_eq!(soon(pair.member.closed()).await, ended);
    assert_eq!(pair.host.ended(), Some(ended));
}

#[tokio::test]
async fn a_session_ends_with_its_last_handle() {
    let Pair { host, member, host_endpoint, member_endpoint } = Pair::new().await;
    let other = host.clone();
    drop(host);
    assert_eq!(member.ended(), None);
    drop(other);
    assert_eq!(soon(member.closed()).await, SessionError::Closed(CloseReason::Finished));
    soon(host_endpoint.close(CloseReason::ShuttingDown)).await;
    soon(member_endpoint.close(CloseReason::ShuttingDown)).await;
    assert!(soon(member_endpoint.accept()).await.is_none());
}

#[tokio::test]
async fn closing_an_endpoint_tells_all_its_peers_why() {
    let pair = Pair::new().await;
    soon(pair.member_endpoint.close(CloseReason::ShuttingDown)).await;
    let ended = SessionError::Closed(CloseReason::ShuttingDown);
    assert_eq!(soon(pair.host.closed()).await, ended);
    assert_eq!(soon(pair.member.closed()).await, ended);
}

#[tokio::test]
async fn a_member_of_another_clusters_ca_is_not_trusted() {
    let host = endpoint(Cluster::numbered(1).host(1));
    // The same cluster id, and another key: an impostor.
    for impostor in [Cluster::numbered(1), Cluster::numbered(2)] {
        let server = endpoint(impostor.member(1));
        let refused = soon(host.connect(server.local_addr(), member(1))).await.unwrap_err();
        assert!(
            matches!(&refused, ConnectError::Untrusted { detail, .. } if detail.contains("CA"))
        );
    }
}

#[tokio::test]
async fn a_host_of_another_clusters_ca_is_not_accepted() {
    let server = endpoint(Cluster::numbered(1).member(1));
    let stranger = raw::Client::of(&Cluster::numbered(2));
    let ended = soon(stranger.rejected(server.local_addr())).await;
    assert!(matches!(ended, quinn::ConnectionError::ConnectionClosed(close)
        if String::from_utf8_lossy(&close.reason).contains("UnknownIssuer")));
    let refused = turned_away(&server).await;
    assert!(refused.reason.to_string().contains("UnknownIssuer"), "for the record: {refused:?}");
}

#[tokio::test]
async fn an_expired_certificate_is_not_accepted() {
    let cluster = Cluster::new();
    let server = endpoint(cluster.member(1));
    let host = endpoint(cluster.host_for(1, Duration::ZERO));
    // Certificates count whole seconds, so the first tries may still come in time.
    let refused = soon(async {
        loop {
            match host.connect(server.local_addr(), member(1)).await {
                Err(error @ ConnectError::NotAccepted { .. }) => return error,
                _ => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    })
    .await;
    assert!(refused.to_string().to_lowercase().contains("expired"), "{refused}");
}

#[tokio::test]
async fn an_expired_member_is_not_trusted() {
    let cluster = Cluster::new();
    let server = endpoint(cluster.member_for(1, Duration::ZERO));
    let host = endpoint(cluster.host(1));
    let refused = soon(async {
        loop {
            match host.connect(server.local_addr(), member(1)).await {
                Err(error @ ConnectError::Untrusted { .. }) => return error,
                _ => tokio::time::sleep(Duration::from_millis(20)).await,
            }
        }
    })
    .await;
    assert!(refused.to_string().contains("expired"), "{refused}");
}

#[tokio::test]
async fn whoever_answers_must_be_who_was_dialled() {
    let cluster = Cluster::new();
    let server = endpoint(cluster.member(2));
    let host = endpoint(cluster.host(1));
    let refused = soon(host.connect(server.local_addr(), member(1))).await.unwrap_err();
    assert!(refused.to_string().contains("is member 2's, not member 1's"), "{refused}");
    let (any, _) = tokio::join!(host.connect(server.local_addr(), None), accept_session(&server));
    assert_eq!(Some(any.unwrap().peer()), member(2));
}

#[tokio::test]
async fn a_host_cannot_pose_as_a_member() {
    let cluster = Cluster::new();
    let server = endpoint(cluster.host(2));
    let host = endpoint(cluster.host(1));
    let refused = soon(host.connect(server.local_addr(), None)).await.unwrap_err();
    assert!(refused.to_string().contains("not a member's"), "{refused}");
}

#[tokio::test]
async fn a_session_without_a_client_certificate_is_closed() {
    let server = endpoint(Cluster::new().member(1));
    let client = raw::Client::without_certificate();
    let connection = soon(client.connect(server.local_addr())).await.unwrap();
    assert_eq!(soon(raw::close_reason(&connection)).await, CloseReason::NoCertificate);
    assert_eq!(turned_away(&server).await.reason, CloseReason::NoCertificate);
}

#[tokio::test]
async fn a_peer_one_version_away_is_served() {
    let cluster = Cluster::new();
    let server = endpoint_of(&IdentityStore::new(cluster.member(1)), options(1, 2));
    let host = endpoint_of(&IdentityStore::new(cluster.host(1)), options(2, 3));
    let pair = Pair::between(host, server).await;
    assert_eq!((pair.host.version(), pair.member.version()), (Version(2), Version(2)));
}

#[tokio::test]
async fn a_peer_too_far_away_is_told_what_is_spoken_here() {
    let cluster = Cluster::new();
    let server = endpoint_of(&IdentityStore::new(cluster.member(1)), options(1, 2));
    let host = endpoint_of(&IdentityStore::new(cluster.host(1)), options(3, 4));
    let addr = server.local_addr();
    let refused = soon(host.connect(addr, member(1))).await.unwrap_err();
    let spoken = VersionRange { oldest: Version(1), newest: Version(2) };
    assert_eq!(refused, ConnectError::Refused { addr, refusal: HelloRefusal::Version(spoken) });
}

#[tokio::test]
async fn an_unreachable_port_does_not_harm_the_endpoint() {
    let cluster = Cluster::new();
    let options =
        EndpointOptions { connect_timeout: Duration::from_millis(300), ..Default::default() };
    let host = endpoint_of(&IdentityStore::new(cluster.host(1)), options);
    let closed_port = {
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.local_addr().unwrap()
    };
    let refused = soon(host.connect(closed_port, member(1))).await.unwrap_err();
    assert!(matches!(refused, ConnectError::Unreachable { .. }), "{refused}");
    Pair::between(host, endpoint(cluster.member(1))).await;
}

#[tokio::test]
async fn a_peer_with_too_many_sessions_loses_its_oldest() {
    let cluster = Cluster::new();
    let server = endpoint(cluster.member(1));
    let host = endpoint(cluster.host(1));
    let mut sessions = Vec::new();
    for _ in 0..5 {
        let (dialled, accepted) =
            tokio::join!(host.connect(server.local_addr(), member(1)), accept_session(&server));
        sessions.push((dialled.unwrap(), accepted));
    }
    let ended = soon(sessions[0].0.closed()).await;
    assert_eq!(ended, SessionError::Closed(CloseReason::Replaced));
    assert!(sessions[1..].iter().all(|(dialled, _)| dialled.ended().is_none()));
}
