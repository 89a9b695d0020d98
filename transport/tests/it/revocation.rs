//! Who is revoked is out, at once.

use std::collections::BTreeSet;

use novacron_protocol::wire::hello::{HelloRefusal, Peer};
use novacron_transport::{
    CloseReason, ConnectError, EndpointOptions, IdentityStore, RevokedSet, SessionError,
};

use crate::cluster::{
    Cluster, Pair, endpoint, endpoint_of, host_id, member, question, soon, until,
};

fn peers(peer: Peer) -> RevokedSet {
    RevokedSet { peers: BTreeSet::from([peer]), ..RevokedSet::default() }
}

#[tokio::test]
async fn revoking_a_peer_closes_its_live_session_and_refuses_the_next() {
    let pair = Pair::new().await;
    let addr = pair.member_endpoint.local_addr();
    pair.member_endpoint.set_revoked(peers(Peer::Host(host_id(1))));
    let revoked = SessionError::Closed(CloseReason::Revoked);
    assert_eq!(soon(pair.member.closed()).await, revoked);
    assert_eq!(soon(pair.host.closed()).await, revoked);
    assert_eq!(soon(pair.member.recv()).await.unwrap_err(), revoked);
    let refused = soon(pair.host_endpoint.connect(addr, member(1))).await.unwrap_err();
    assert_eq!(refused, ConnectError::Refused { addr, refusal: HelloRefusal::Revoked });
    pair.member_endpoint.set_revoked(RevokedSet::default());
    Pair::between(pair.host_endpoint, pair.member_endpoint).await;
}

#[tokio::test]
async fn revoking_a_serial_closes_its_live_session_even_after_renewal() {
    let cluster = Cluster::new();
    let store = IdentityStore::new(cluster.host(1));
    let stolen = store.current().serial();
    let host = endpoint_of(&store, EndpointOptions::default());
    let pair = Pair::between(host, endpoint(cluster.member(1))).await;
    store.replace(cluster.host_for(1, std::time::Duration::from_secs(200_000))).unwrap();
    until(|| pair.member.certificate().serial != stolen).await;
    let serials = BTreeSet::from([stolen]);
    pair.member_endpoint.set_revoked(RevokedSet { serials, ..RevokedSet::default() });
    assert_eq!(soon(pair.host.closed()).await, SessionError::Closed(CloseReason::Revoked));
    // The renewed certificate is another one.
    Pair::between(pair.host_endpoint, pair.member_endpoint).await;
}

#[tokio::test]
async fn revoking_others_touches_nobody_else() {
    let pair = Pair::new().await;
    pair.member_endpoint.set_revoked(peers(Peer::Host(host_id(2))));
    pair.member_endpoint.set_revoked(peers(Peer::Host(host_id(3))));
    let answered = async {
        pair.member
            .accept_call()
            .await
            .unwrap()
            .respond(&novacron_protocol::wire::call::Response::Done)
            .await
    };
    let request = question();
    let asked = pair.host.call(novacron_protocol::wire::Class::Command, &request);
    let (asked, answered) = soon(async { tokio::join!(asked, answered) }).await;
    assert!(asked.is_ok() && answered.is_ok());
}

#[tokio::test]
async fn a_revoked_member_is_not_dialled() {
    let cluster = Cluster::new();
    let (dialler, other) = (endpoint(cluster.member(1)), endpoint(cluster.member(2)));
    dialler.set_revoked(peers(Peer::Member(novacron_protocol::MemberId(2))));
    let refused = soon(dialler.connect(other.local_addr(), member(2))).await.unwrap_err();
    assert!(matches!(refused, ConnectError::Untrusted { .. }), "{refused}");
}
