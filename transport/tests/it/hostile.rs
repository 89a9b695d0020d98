//! Peers that break the protocol lose their session, are told why, and harm nobody else.

use novacron_protocol::codec;
use novacron_protocol::limits::{FRAME_BYTES_MAX, HELLO_BYTES_MAX};
use novacron_protocol::wire::hello::CertificateUpdate;
use novacron_transport::{CloseReason, Endpoint};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;

use crate::cluster::{Cluster, Pair, accept_session, endpoint, question, soon};
use crate::raw::{self, frame};

struct Scene {
    cluster: Cluster,
    server: Endpoint,
    client: raw::Client,
}

impl Scene {
    fn new() -> Self {
        let cluster = Cluster::new();
        let server = endpoint(cluster.member(1));
        let client = raw::Client::of(&cluster);
        Self { cluster, server, client }
    }

    /// A proper peer still gets its session.
    async fn others_are_served(self) {
        soon(Pair::between(endpoint(self.cluster.host(1)), self.server)).await;
    }
}

fn oversize(max: usize) -> Vec<u8> {
    u32::try_from(max + 1).unwrap().to_le_bytes().to_vec()
}

fn after(header: u8, bytes: &[u8]) -> Vec<u8> {
    [&[header], bytes].concat()
}

fn assert_violation(reason: &CloseReason, words: &str) {
    assert!(
        matches!(reason, CloseReason::Violation(text) if text.contains(words)),
        "{reason:?} does not say {words:?}"
    );
}

#[tokio::test]
async fn bad_hellos_are_refused_with_a_reason() {
    let scene = Scene::new();
    let addr = scene.server.local_addr();
    for (bytes, words) in [
        (oversize(HELLO_BYTES_MAX), "exceeds the limit"),
        (vec![0xff; 64], "exceeds the limit"),
        (frame(b"hello")[..6].to_vec(), "inside a frame"),
        (Vec::new(), "inside a frame"),
        (frame(b"no hello"), "malformed"),
    ] {
        let connection = soon(scene.client.begin_with(addr, &bytes)).await;
        assert_violation(&soon(raw::close_reason(&connection)).await, words);
    }
    scene.others_are_served().await;
}

#[tokio::test]
async fn bad_join_requests_are_refused_with_a_reason() {
    let scene = Scene::new();
    let newcomer = raw::Client::newcomer();
    for (bytes, words) in [
        (oversize(HELLO_BYTES_MAX), "exceeds the limit"),
        (frame(b"let me in")[..7].to_vec(), "inside a frame"),
        (frame(b"let me in"), "malformed"),
    ] {
        let connection = soon(newcomer.begin_with(scene.server.local_addr(), &bytes)).await;
        assert_violation(&soon(raw::close_reason(&connection)).await, words);
    }
    scene.others_are_served().await;
}

#[tokio::test]
async fn random_first_bytes_never_take_the_member_down() {
    let scene = Scene::new();
    let newcomer = raw::Client::newcomer();
    let mut runner = TestRunner::deterministic();
    let bytes = prop::collection::vec(any::<u8>(), 0..200);
    for _ in 0..40 {
        let bytes = bytes.new_tree(&mut runner).unwrap().current();
        for client in [&scene.client, &newcomer] {
            for bytes in [bytes.clone(), frame(&bytes)] {
                let connection = soon(client.begin_with(scene.server.local_addr(), &bytes)).await;
                let reason = soon(raw::close_reason(&connection)).await;
                // Some bytes happen to be a hello, from a cluster that nobody knows.
                assert!(matches!(reason, CloseReason::Violation(_) | CloseReason::WrongCluster));
            }
        }
    }
    scene.others_are_served().await;
}

#[tokio::test]
async fn bad_one_way_streams_end_the_session_with_a_reason() {
    let scene = Scene::new();
    let forged = CertificateUpdate {
        certificate: scene.cluster.host(9).certificate().to_vec(),
        signature: vec![0; 70],
    };
    let foreign = CertificateUpdate {
        certificate: scene.cluster.host(8).certificate().to_vec(),
        signature: vec![0; 70],
    };
    for (bytes, words) in [
        (after(0x00, &oversize(FRAME_BYTES_MAX)), "lease: a frame of"),
        (after(0x06, &frame(b"cut")[..5]), "bulk: a stream ended inside a frame"),
        (vec![0x07], "unknown kind 0x07"),
        (vec![0x81], "unknown kind 0x81"),
        (after(0x40, &frame(b"?")), "certificate update: malformed"),
        (after(0x40, &oversize(HELLO_BYTES_MAX)), "certificate update: a frame of"),
        (after(0x40, &frame(&codec::encode(&forged).unwrap())), "signature does not hold"),
        (after(0x40, &frame(&codec::encode(&foreign).unwrap())), "for another peer"),
    ] {
        let connection = soon(scene.client.greeted(scene.server.local_addr())).await;
        let session = accept_session(&scene.server).await;
        soon(raw::one_way(&connection, &bytes)).await;
        assert_violation(&soon(raw::close_reason(&connection)).await, words);
        assert!(soon(session.recv()).await.unwrap_err().is_end());
    }
    scene.others_are_served().await;
}

#[tokio::test]
async fn a_class_has_one_stream() {
    let scene = Scene::new();
    let connection = soon(scene.client.greeted(scene.server.local_addr())).await;
    let session = accept_session(&scene.server).await;
    soon(raw::one_way(&connection, &after(0x01, &frame(b"one")))).await;
    assert_eq!(soon(session.recv()).await.unwrap().1, &b"one"[..]);
    soon(raw::one_way(&connection, &after(0x01, &frame(b"two")))).await;
    assert_violation(&soon(raw::close_reason(&connection)).await, "a second command stream");
}

#[tokio::test]
async fn bad_calls_end_the_session_with_a_reason() {
    let scene = Scene::new();
    let request = codec::encode(&question()).unwrap();
    for (bytes, words) in [
        (vec![0x01], "unknown kind 0x01"),
        (vec![0xff], "unknown kind 0xff"),
        (vec![0x81], "inside a frame"),
        (after(0x81, &frame(&request)[..4]), "inside a frame"),
        (after(0x81, &frame(&[0xee; 9])), "malformed Request"),
        (after(0x81, &frame(&[&request[..], b"more"].concat())), "too many after a Request"),
        (after(0x81, &oversize(FRAME_BYTES_MAX)), "exceeds the limit"),
    ] {
        let connection = soon(scene.client.greeted(scene.server.local_addr())).await;
        let session = accept_session(&scene.server).await;
        soon(raw::two_way(&connection, &bytes)).await;
        assert_violation(&soon(raw::close_reason(&connection)).await, words);
        assert!(soon(session.accept_call()).await.unwrap_err().is_end());
    }
    scene.others_are_served().await;
}

#[tokio::test]
async fn a_stream_given_up_half_way_is_no_violation() {
    let scene = Scene::new();
    let connection = soon(scene.client.greeted(scene.server.local_addr())).await;
    let session = accept_session(&scene.server).await;
    let (mut send, _recv) = connection.open_bi().await.unwrap();
    send.write_all(&after(0x81, &[9, 0])).await.unwrap();
    send.reset(1_u32.into()).unwrap();
    let request = codec::encode(&question()).unwrap();
    let (mut send, _recv) = connection.open_bi().await.unwrap();
    send.write_all(&after(0x81, &frame(&request))).await.unwrap();
    assert_eq!(soon(session.accept_call()).await.unwrap().request(), &question());
    assert_eq!(session.ended(), None);
}

#[tokio::test]
async fn a_stranger_gets_one_stream_and_a_small_window() {
    let scene = Scene::new();
    let connection =
        soon(raw::Client::newcomer().connect(scene.server.local_addr())).await.unwrap();
    let (mut send, _recv) = connection.open_bi().await.unwrap();
    let mut second = Box::pin(connection.open_bi());
    let mut one_way = Box::pin(connection.open_uni());
    send.write_all(&oversize(HELLO_BYTES_MAX)).await.unwrap();
    tokio::select! {
        reason = soon(raw::close_reason(&connection)) => assert_violation(&reason, "exceeds"),
        Ok(_) = &mut one_way => panic!("a stranger opened a one-way stream"),
        Ok(_) = &mut second => panic!("a stranger opened a second stream"),
    }
}
