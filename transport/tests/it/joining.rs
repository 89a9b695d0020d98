//! From a token to a session.

use novacron_protocol::TokenId;
use novacron_protocol::join_token::{JoinRole, JoinToken, Secret};
use novacron_protocol::wire::hello::Peer;
use novacron_protocol::wire::join::{HostWelcome, JoinAnswer, JoinRefusal, JoinRequest};
use novacron_transport::join::{join, join_any};
use novacron_transport::{Endpoint, Incoming, JoinError, JoinExchange, KeyRequest};

use crate::cluster::{Cluster, DAY, Pair, admitted, endpoint, host_id, soon};

fn token(cluster: &Cluster, members: &[&Endpoint]) -> JoinToken {
    let id: TokenId = "00000000-0000-7000-8000-00000000aaaa".parse().unwrap();
    JoinToken {
        cluster: cluster.authority.cluster(),
        role: JoinRole::Host,
        id,
        secret: Secret([7; 32]),
        ca_fingerprint: cluster.authority.fingerprint(),
        members: members.iter().map(|member| member.local_addr()).collect(),
    }
}

fn request(token: &JoinToken, key: &KeyRequest) -> JoinRequest {
    JoinRequest {
        token: token.id,
        secret: token.secret,
        role: token.role,
        csr: key.csr().to_vec(),
        name: "edge-1".parse().unwrap(),
        member: None,
    }
}

async fn accept_join(endpoint: &Endpoint) -> JoinExchange {
    match admitted(endpoint).await {
        Incoming::Join(exchange) => exchange,
        other => panic!("expected a join, not {other:?}"),
    }
}

fn welcome(cluster: &Cluster, csr: &[u8]) -> HostWelcome {
    HostWelcome {
        cluster: cluster.authority.cluster(),
        host: host_id(1),
        certificate: cluster.authority.sign_host(csr, host_id(1), DAY).unwrap(),
        ca: cluster.authority.certificate().to_vec(),
        members: Vec::new(),
    }
}

#[tokio::test]
async fn a_newcomer_becomes_a_host_with_a_session() {
    let cluster = Cluster::new();
    let member = endpoint(cluster.member(1));
    let token = token(&cluster, &[&member]);
    let key = KeyRequest::generate().unwrap();
    let request = request(&token, &key);
    let (answer, ()) = soon(async {
        tokio::join!(join(member.local_addr(), &token, &request), async {
            let exchange = accept_join(&member).await;
            assert_eq!(exchange.request(), &request);
            let welcome = welcome(&cluster, &exchange.request().csr);
            exchange.answer(&JoinAnswer::Host(welcome)).await.unwrap();
        })
    })
    .await;
    let Ok(JoinAnswer::Host(welcome)) = answer else { panic!("{answer:?}") };
    let identity = key.into_identity(&welcome.certificate, &welcome.ca).unwrap();
    assert_eq!(identity.peer(), Peer::Host(host_id(1)));
    Pair::between(endpoint(identity), member).await;
}

#[tokio::test]
async fn a_refusal_is_an_answer() {
    let cluster = Cluster::new();
    let member = endpoint(cluster.member(1));
    let token = token(&cluster, &[&member]);
    let request = request(&token, &KeyRequest::generate().unwrap());
    let refusal = JoinAnswer::Refused(JoinRefusal::Expired);
    let (answer, ()) = soon(async {
        tokio::join!(join_any(&token, &request), async {
            accept_join(&member).await.answer(&refusal).await.unwrap();
        })
    })
    .await;
    assert_eq!(answer, Ok(refusal));
}

#[tokio::test]
async fn a_ca_with_another_fingerprint_never_hears_the_secret() {
    let ours = Cluster::numbered(1);
    for impostor in [Cluster::numbered(1), Cluster::numbered(2)] {
        let server = endpoint(impostor.member(1));
        let token = token(&ours, &[&server]);
        let request = request(&token, &KeyRequest::generate().unwrap());
        let addr = server.local_addr();
        let refused = soon(join(addr, &token, &request)).await.unwrap_err();
        assert!(matches!(&refused, JoinError::WrongCluster { .. }), "{refused}");
        // Whoever comes next is the first that gets through.
        let pair = Pair::between(endpoint(impostor.host(1)), server).await;
        assert_eq!(pair.member.peer(), Peer::Host(host_id(1)));
    }
}

#[tokio::test]
async fn a_host_cannot_pose_as_a_member_to_a_newcomer() {
    let cluster = Cluster::new();
    let server = endpoint(cluster.host(3));
    let token = token(&cluster, &[&server]);
    let request = request(&token, &KeyRequest::generate().unwrap());
    let refused = soon(join_any(&token, &request)).await.unwrap_err();
    assert!(refused.to_string().contains("not a member's"), "{refused}");
}

#[tokio::test]
async fn a_welcome_into_another_cluster_is_refused() {
    let (cluster, other) = (Cluster::numbered(1), Cluster::numbered(2));
    let member = endpoint(cluster.member(1));
    let token = token(&cluster, &[&member]);
    let request = request(&token, &KeyRequest::generate().unwrap());
    let (answer, ()) = soon(async {
        tokio::join!(join_any(&token, &request), async {
            let exchange = accept_join(&member).await;
            let welcome = welcome(&other, &exchange.request().csr);
            let _ = exchange.answer(&JoinAnswer::Host(welcome)).await;
        })
    })
    .await;
    assert!(matches!(answer, Err(JoinError::Violation { .. })), "{answer:?}");
}

#[tokio::test]
async fn the_next_member_is_asked_when_one_is_busy_or_gone() {
    let cluster = Cluster::new();
    let (gone, busy, free) =
        (endpoint(cluster.member(1)), endpoint(cluster.member(2)), endpoint(cluster.member(3)));
    let token = token(&cluster, &[&gone, &busy, &free]);
    let request = request(&token, &KeyRequest::generate().unwrap());
    let (answer, ()) = soon(async {
        tokio::join!(join_any(&token, &request), async {
            drop(accept_join(&gone).await);
            let unavailable = JoinAnswer::Refused(JoinRefusal::Unavailable("no leader".into()));
            accept_join(&busy).await.answer(&unavailable).await.unwrap();
            let used_up = JoinAnswer::Refused(JoinRefusal::UsedUp);
            accept_join(&free).await.answer(&used_up).await.unwrap();
        })
    })
    .await;
    assert_eq!(answer, Ok(JoinAnswer::Refused(JoinRefusal::UsedUp)));
}
