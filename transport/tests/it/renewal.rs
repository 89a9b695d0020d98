//! Certificates are renewed under live sessions, and sessions end with certificates that are not.

use std::sync::Arc;
use std::time::Duration;

use novacron_protocol::MemberId;
use novacron_protocol::wire::call::{CallRefusal, Request, Response};
use novacron_protocol::wire::hello::Peer;
use novacron_transport::renew::{RenewError, ask, keep_renewed, renew};
use novacron_transport::{
    CloseReason, EndpointOptions, Identity, IdentityStore, KeyRequest, Session, SessionError,
};

use crate::cluster::{Cluster, Pair, endpoint, endpoint_of, soon, until};

/// Certificates count whole seconds, so this is near the shortest life there is.
const SHORT: Duration = Duration::from_secs(3);

/// Signs what the peers of `session` ask for.
fn sign_for(session: &Session, cluster: &Arc<Cluster>) {
    let (session, cluster) = (session.clone(), Arc::clone(cluster));
    tokio::spawn(async move {
        while let Ok(call) = session.accept_call().await {
            let Request::RenewCertificate { csr } = call.request() else { panic!() };
            let Peer::Host(host) = session.peer() else { panic!() };
            let certificate = cluster.authority.sign_host(csr, host, SHORT).unwrap();
            call.respond(&Response::Certificate { certificate }).await.unwrap();
        }
    });
}

#[tokio::test]
async fn both_sides_renew_and_their_session_outlives_the_old_certificates() {
    let cluster = Arc::new(Cluster::new());
    let host_store = IdentityStore::new(cluster.host_for(1, SHORT));
    let member_store = IdentityStore::new(cluster.member_for(1, SHORT));
    let options = EndpointOptions::default;
    let pair =
        Pair::between(endpoint_of(&host_store, options()), endpoint_of(&member_store, options()))
            .await;
    sign_for(&pair.member, &cluster);

    let dir = tempfile::tempdir().unwrap();
    let (host_dir, session) = (dir.path().to_owned(), pair.host.clone());
    let store = Arc::clone(&host_store);
    let host_task = tokio::spawn(async move {
        keep_renewed(store, &host_dir, |csr| ask(&session, csr)).await;
    });
    let member_dir = tempfile::tempdir().unwrap();
    let (path, store) = (member_dir.path().to_owned(), Arc::clone(&member_store));
    let member_task = tokio::spawn(async move {
        let sign = async |csr: Vec<u8>| {
            Ok(cluster.authority.sign_member(&csr, MemberId(1), &[], SHORT)?)
        };
        keep_renewed(store, &path, sign).await;
    });

    // Three generations later all certificates of the handshake are long over.
    let (mut of_host, mut of_member) = (Vec::new(), Vec::new());
    until(|| {
        for (seen, session) in [(&mut of_host, &pair.member), (&mut of_member, &pair.host)] {
            let serial = session.certificate().serial;
            if !seen.contains(&serial) {
                seen.push(serial);
            }
        }
        assert_eq!((pair.host.ended(), pair.member.ended()), (None, None));
        of_host.len() > 3 && of_member.len() > 3
    })
    .await;
    host_task.abort();
    member_task.abort();
    let saved = Identity::load(dir.path()).unwrap();
    assert_eq!(saved.serial(), host_store.current().serial());
}

#[tokio::test]
async fn a_session_ends_with_a_certificate_that_is_not_renewed() {
    let cluster = Cluster::new();
    let host = endpoint(cluster.host_for(1, Duration::from_secs(2)));
    let pair = Pair::between(host, endpoint(cluster.member(1))).await;
    let expired = SessionError::Closed(CloseReason::Expired);
    assert_eq!(soon(pair.member.closed()).await, expired);
    assert_eq!(soon(pair.host.closed()).await, expired);
}

#[tokio::test]
async fn new_sessions_show_the_renewed_certificate() {
    let cluster = Cluster::new();
    let store = IdentityStore::new(cluster.host(1));
    let host = endpoint_of(&store, EndpointOptions::default());
    let renewed = cluster.host(1);
    let serial = renewed.serial();
    store.replace(renewed).unwrap();
    let pair = Pair::between(host, endpoint(cluster.member(1))).await;
    assert_eq!(pair.member.certificate().serial, serial);
}

#[tokio::test]
async fn a_live_session_is_shown_a_renewal_once_and_goes_on() {
    let cluster = Cluster::new();
    let store = IdentityStore::new(cluster.member(1));
    let member = endpoint_of(&store, EndpointOptions::default());
    let pair = Pair::between(endpoint(cluster.host(1)), member).await;
    let renewed = cluster.member_for(1, Duration::from_secs(200_000));
    let serial = renewed.serial();
    store.replace(renewed).unwrap();
    until(|| pair.host.certificate().serial == serial).await;
    assert_eq!((pair.host.ended(), pair.member.ended()), (None, None));
}

#[tokio::test]
async fn a_refused_renewal_leaves_the_identity_as_it_was() {
    let cluster = Cluster::new();
    let store = IdentityStore::new(cluster.host(1));
    let before = store.current().serial();
    let dir = tempfile::tempdir().unwrap();
    let refused = renew(&store, dir.path(), async |_| {
        Err(RenewError::Refused(CallRefusal::Unavailable("no leader".into())))
    });
    assert!(refused.await.unwrap_err().to_string().contains("no leader"));
    // Another host's certificate, and one for another key.
    let foreign = KeyRequest::generate().unwrap();
    let wrong_key = cluster.authority.sign_host(foreign.csr(), crate::cluster::host_id(1), SHORT);
    let wrong_key = wrong_key.unwrap();
    let misled = renew(&store, dir.path(), async |_| Ok(wrong_key.clone()));
    assert!(misled.await.unwrap_err().to_string().contains("another key"));
    let misled = renew(&store, dir.path(), async |csr: Vec<u8>| {
        Ok(cluster.authority.sign_host(&csr, crate::cluster::host_id(2), SHORT)?)
    });
    assert!(misled.await.unwrap_err().to_string().contains("cannot be used"));
    assert_eq!(store.current().serial(), before);
    assert!(Identity::load(dir.path()).is_err());
}
