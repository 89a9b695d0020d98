//! Questions and answers.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use novacron_protocol::Digest;
use novacron_protocol::wire::Class;
use novacron_protocol::wire::call::{CallRefusal, Request, Response};
use novacron_transport::{Session, SessionError};
use tokio::io::{AsyncRead, AsyncReadExt, ReadBuf};

use crate::cluster::{Pair, question, soon};

const CLASS: Class = Class::Command;

fn pattern(len: usize) -> Bytes {
    (0..len).map(|at| u8::try_from(at % 251).unwrap()).collect()
}

/// Answers one call of `session` with `response` and `body`.
fn answer_one(session: &Session, response: Response, body: Bytes) {
    let session = session.clone();
    tokio::spawn(async move {
        let call = session.accept_call().await.unwrap();
        call.respond_with_bytes(&response, body).await.unwrap();
    });
}

#[tokio::test]
async fn both_sides_may_ask() {
    let pair = Pair::new().await;
    for (asker, answerer) in [(&pair.host, &pair.member), (&pair.member, &pair.host)] {
        let (asked, answer) = (question(), Response::Console(vec![7]));
        let answered = async {
            let call = answerer.accept_call().await.unwrap();
            assert_eq!((call.class(), call.request()), (CLASS, &question()));
            call.respond(&answer).await.unwrap();
        };
        let (response, ()) =
            soon(async { tokio::join!(asker.call(CLASS, &asked), answered) }).await;
        let (response, mut body) = response.unwrap();
        assert_eq!(response, answer);
        assert_eq!(body.chunk().await.unwrap(), None);
    }
}

#[tokio::test]
async fn hundreds_of_calls_at_once_are_all_answered_with_their_own_answer() {
    let pair = Pair::new().await;
    let server = pair.member.clone();
    tokio::spawn(async move {
        while let Ok(call) = server.accept_call().await {
            tokio::spawn(async move {
                let Request::Propose { command } = call.request().clone() else { panic!() };
                call.respond(&Response::Console(command)).await.unwrap();
            });
        }
    });
    let calls: Vec<_> = (0..600_u32)
        .map(|number| {
            let host = pair.host.clone();
            tokio::spawn(async move {
                let command = number.to_le_bytes().to_vec();
                let request = Request::Propose { command: command.clone() };
                let (response, _) = host.call(CLASS, &request).await.unwrap();
                assert_eq!(response, Response::Console(command));
            })
        })
        .collect();
    for call in calls {
        soon(call).await.unwrap();
    }
}

#[tokio::test]
async fn a_body_follows_an_answer_whole() {
    let pair = Pair::new().await;
    let blob = pattern(9_000_001);
    let stored_len = blob.len() as u64;
    answer_one(&pair.member, Response::Blob { stored_len }, blob.clone());
    let request = Request::Blob { digest: Digest::of(&blob) };
    let (response, mut body) = soon(pair.host.call(Class::Bulk, &request)).await.unwrap();
    assert_eq!(response, Response::Blob { stored_len });
    assert!(soon(body.read_exactly(blob.len())).await.unwrap() == blob);
}

#[tokio::test]
async fn a_body_follows_a_request_whole() {
    let pair = Pair::new().await;
    let snapshot = pattern(3_000_000);
    let server = pair.member.clone();
    let taken = tokio::spawn(async move {
        let mut call = server.accept_call().await.unwrap();
        let mut all = Vec::new();
        call.body().read_to_end(usize::MAX).await.map(|bytes| all.extend(bytes)).unwrap();
        call.respond(&Response::Done).await.unwrap();
        all
    });
    let request = question();
    let deadline = Duration::from_secs(20);
    let asked = pair.host.call_with_body(Class::Bulk, &request, &snapshot[..], deadline);
    assert_eq!(soon(asked).await.unwrap().0, Response::Done);
    assert!(soon(taken).await.unwrap() == snapshot);
}

#[tokio::test]
async fn an_answer_may_come_before_the_request_is_read_to_its_end() {
    let pair = Pair::new().await;
    let refusal = Response::Refused(CallRefusal::NotLeader { leader: None });
    let (server, answer) = (pair.member.clone(), refusal.clone());
    tokio::spawn(async move { server.accept_call().await.unwrap().respond(&answer).await });
    let request = question();
    let endless = tokio::io::repeat(1).take(64 << 20);
    let asked = pair.host.call_with_body(Class::Bulk, &request, endless, Duration::from_secs(20));
    assert_eq!(soon(asked).await.unwrap().0, refusal);
}

#[tokio::test]
async fn a_call_dropped_without_an_answer_says_so() {
    let pair = Pair::new().await;
    let server = pair.member.clone();
    tokio::spawn(async move { drop(server.accept_call().await.unwrap()) });
    let error = soon(pair.host.call(CLASS, &question())).await.unwrap_err();
    assert_eq!(error, SessionError::Unanswered);
    assert_eq!(pair.host.ended(), None);
}

#[tokio::test]
async fn a_call_past_its_deadline_is_over_on_both_sides() {
    let pair = Pair::new().await;
    let deadline = Duration::from_millis(100);
    let error = soon(pair.host.call_within(CLASS, &question(), deadline)).await;
    assert_eq!(error.unwrap_err(), SessionError::Timeout(deadline));
    let call = soon(pair.member.accept_call()).await.unwrap();
    soon(call.abandoned()).await;
    assert_eq!((pair.host.ended(), pair.member.ended()), (None, None));
}

/// Gives some bytes, then fails.
struct Torn(usize);

impl AsyncRead for Torn {
    fn poll_read(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.0 == 0 {
            return Poll::Ready(Err(io::Error::other("the disk is gone")));
        }
        let len = self.0.min(buffer.remaining());
        self.0 -= len;
        buffer.put_slice(&vec![0; len]);
        Poll::Ready(Ok(()))
    }
}

#[tokio::test]
async fn a_body_cut_off_is_never_taken_for_whole() {
    let pair = Pair::new().await;
    let server = pair.member.clone();
    let served = tokio::spawn(async move {
        let call = server.accept_call().await.unwrap();
        call.respond_with_body(&Response::Done, Torn(100_000)).await.unwrap_err()
    });
    // Giving a stream up may overtake what was sent on it, the answer included.
    let error = match soon(pair.host.call(Class::Bulk, &question())).await {
        Ok((_, mut body)) => soon(body.read_to_end(1 << 20)).await.unwrap_err(),
        Err(error) => error,
    };
    assert!(matches!(error, SessionError::BadBody(_) | SessionError::Unanswered), "{error}");
    assert!(soon(served).await.unwrap().to_string().contains("the disk is gone"));
    assert_eq!(pair.host.ended(), None);
}

#[tokio::test]
async fn lengths_of_bodies_are_checked() {
    let pair = Pair::new().await;
    for (len, exactly, words) in [(1000, 999, "longer than 999"), (1000, 1001, "1000 of 1001")] {
        answer_one(&pair.member, Response::Done, pattern(len));
        let (_, mut body) = soon(pair.host.call(Class::Bulk, &question())).await.unwrap();
        let error = soon(body.read_exactly(exactly)).await.unwrap_err();
        assert!(error.to_string().contains(words), "{error}");
    }
}

#[tokio::test]
async fn a_body_nobody_wants_stops_its_sender() {
    let pair = Pair::new().await;
    let server = pair.member.clone();
    let served = tokio::spawn(async move {
        let call = server.accept_call().await.unwrap();
        call.respond_with_body(&Response::Done, tokio::io::repeat(0)).await
    });
    let (_, body) = soon(pair.host.call(Class::Bulk, &question())).await.unwrap();
    drop(body);
    assert_eq!(soon(served).await.unwrap(), Ok(()));
}
