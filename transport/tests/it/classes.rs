//! Messages of one class never wait for another class.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use novacron_protocol::codec;
use novacron_protocol::limits::FRAME_BYTES_MAX;
use novacron_protocol::wire::Class;
use novacron_protocol::wire::call::Response;
use novacron_transport::{CloseReason, Session, SessionError};

use crate::cluster::{Pair, question, soon, until};

const BULK_BYTES: usize = 256 << 10;

fn decode(frame: &[u8]) -> Vec<u8> {
    codec::decode(frame, FRAME_BYTES_MAX).unwrap()
}

/// Sends bulk messages as fast as they are taken, and counts them.
fn flood(session: &Session) -> Arc<AtomicUsize> {
    let sent = Arc::new(AtomicUsize::new(0));
    let (session, counter) = (session.clone(), Arc::clone(&sent));
    tokio::spawn(async move {
        while session.send(Class::Bulk, &vec![7_u8; BULK_BYTES]).await.is_ok() {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    });
    sent
}

#[tokio::test]
async fn every_class_delivers_in_order_both_ways() {
    let pair = Pair::new().await;
    for (from, to) in [(&pair.host, &pair.member), (&pair.member, &pair.host)] {
        for class in Class::ALL {
            for number in 0..50_u8 {
                from.send(class, &vec![number]).await.unwrap();
            }
            for number in 0..50_u8 {
                let frame = soon(to.recv_class(class)).await.unwrap();
                assert_eq!(decode(&frame), [number]);
            }
        }
    }
}

#[tokio::test]
async fn a_stalled_bulk_reader_never_blocks_a_command() {
    let pair = Pair::new().await;
    let (sent, asked) = (flood(&pair.member), question());
    // The reader takes no bulk, so the flood must come to a stand, here at 4 MiB or later.
    until(|| sent.load(Ordering::Relaxed) * BULK_BYTES > FRAME_BYTES_MAX).await;
    for number in 0..200_u8 {
        pair.member.send(Class::Command, &vec![number]).await.unwrap();
        let frame = soon(pair.host.recv_class(Class::Command)).await.unwrap();
        assert_eq!(decode(&frame), [number]);
        let answered = async {
            let call = pair.host.accept_call().await.unwrap();
            call.respond(&Response::Done).await.unwrap();
        };
        let (answer, ()) =
            soon(async { tokio::join!(pair.member.call(Class::Command, &asked), answered) }).await;
        assert_eq!(answer.unwrap().0, Response::Done);
    }
    let stood_at = sent.load(Ordering::Relaxed);
    assert!(stood_at * BULK_BYTES < 56 << 20, "{stood_at} bulk messages were taken by nobody");
    for _ in 0..stood_at + 10 {
        let frame = soon(pair.host.recv_class(Class::Bulk)).await.unwrap();
        assert_eq!(decode(&frame).len(), BULK_BYTES);
    }
}

#[tokio::test]
async fn stalled_bodies_never_block_a_command() {
    let pair = Pair::new().await;
    // Twice as many bodies as may be on their way, each larger than its stream's window.
    let server = pair.member.clone();
    tokio::spawn(async move {
        while let Ok(call) = server.accept_call().await {
            let body = bytes::Bytes::from(vec![1; 3 << 20]);
            tokio::spawn(async move { call.respond_with_bytes(&Response::Done, body).await });
        }
    });
    let mut bodies = Vec::new();
    for _ in 0..16 {
        bodies.push(soon(pair.host.call(Class::Bulk, &question())).await.unwrap().1);
    }
    for number in 0..50_u8 {
        pair.member.send(Class::Command, &vec![number]).await.unwrap();
        let frame = soon(pair.host.recv_class(Class::Command)).await.unwrap();
        assert_eq!(decode(&frame), [number]);
    }
    let all = bodies
        .into_iter()
        .map(|mut body| tokio::spawn(async move { body.read_exactly(3 << 20).await.unwrap() }));
    for body in all.collect::<Vec<_>>() {
        assert!(soon(body).await.unwrap().iter().all(|byte| *byte == 1));
    }
}

#[tokio::test]
async fn the_most_urgent_message_is_handed_out_first() {
    let pair = Pair::new().await;
    for class in Class::ALL.into_iter().rev() {
        pair.host.send(class, &class.as_str().as_bytes().to_vec()).await.unwrap();
    }
    // Each class has its own stream, so their order of arrival is open.
    let mut arrived = Vec::new();
    soon(async {
        while arrived.len() < Class::ALL.len() {
            arrived.push(pair.member.recv().await.unwrap().0);
        }
    })
    .await;
    arrived.sort();
    assert_eq!(arrived, Class::ALL);
    // With both waiting for sure, the order is the classes'.
    let sent = flood(&pair.host);
    until(|| sent.load(Ordering::Relaxed) * BULK_BYTES > FRAME_BYTES_MAX).await;
    pair.host.send(Class::Lease, &vec![1_u8]).await.unwrap();
    soon(async {
        let mut bulk_before = 0;
        while pair.member.recv().await.unwrap().0 == Class::Bulk {
            bulk_before += 1;
        }
        // What the flood has queued by now stays behind: only arrivals count.
        assert!(bulk_before * BULK_BYTES < FRAME_BYTES_MAX, "{bulk_before} bulk messages first");
    })
    .await;
}

#[tokio::test]
async fn a_full_queue_says_so_and_recovers() {
    let pair = Pair::new().await;
    let message = vec![0_u8; 1 << 20];
    let mut sent = 0;
    soon(async {
        // The queue fills for good only when the reader's side is full too.
        let mut refused_in_a_row = 0;
        while refused_in_a_row < 100 {
            match pair.host.try_send(Class::Telemetry, &message) {
                Ok(()) => (sent, refused_in_a_row) = (sent + 1, 0),
                Err(error) => {
                    assert_eq!(error, SessionError::QueueFull(Class::Telemetry));
                    refused_in_a_row += 1;
                    tokio::time::sleep(std::time::Duration::from_millis(2)).await;
                }
            }
        }
    })
    .await;
    assert!((4..56).contains(&sent), "{sent} MiB");
    for _ in 0..sent {
        soon(pair.member.recv_class(Class::Telemetry)).await.unwrap();
    }
    until(|| pair.host.try_send(Class::Telemetry, &message).is_ok()).await;
}

#[tokio::test]
async fn a_message_beyond_a_frame_is_refused_here_and_the_session_lives() {
    let pair = Pair::new().await;
    let refused = pair.host.send(Class::Command, &vec![0_u8; FRAME_BYTES_MAX]).await.unwrap_err();
    assert!(matches!(refused, SessionError::TooLong(_)), "{refused}");
    let largest = vec![0_u8; FRAME_BYTES_MAX - 5];
    pair.host.send(Class::Command, &largest).await.unwrap();
    assert_eq!(decode(&soon(pair.member.recv_class(Class::Command)).await.unwrap()), largest);
}

#[tokio::test]
async fn what_arrived_before_the_peers_close_is_still_handed_out() {
    let pair = Pair::new().await;
    pair.host.send(Class::Command, &vec![1_u8]).await.unwrap();
    pair.host.send(Class::Command, &vec![2_u8]).await.unwrap();
    soon(pair.member.recv()).await.unwrap();
    // The second was sent before the call, and is received before it is answered.
    let member = pair.member.clone();
    tokio::spawn(async move { member.accept_call().await.unwrap().respond(&Response::Done).await });
    soon(pair.host.call(Class::Bulk, &question())).await.unwrap();
    pair.host.close(CloseReason::Finished);
    soon(pair.member.closed()).await;
    assert_eq!(decode(&soon(pair.member.recv()).await.unwrap().1), [2]);
    let ended = SessionError::Closed(CloseReason::Finished);
    assert_eq!(soon(pair.member.recv()).await.unwrap_err(), ended);
    assert_eq!(pair.host.send(Class::Command, &0_u8).await.unwrap_err(), ended);
    assert_eq!(pair.host.try_send(Class::Command, &0_u8).unwrap_err(), ended);
}
