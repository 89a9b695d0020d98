//! Fail-over, retries and streams against members on loopback.

use std::collections::BTreeSet;
use std::sync::Mutex;

use novacron_protocol::LogIndex;
use novacron_protocol::api::{Problem, ProblemCode};
use serde_json::json;

use super::events::{Cursor, follow};
use super::fake::{FakeAuthority, FakeMember, Reaction};
use super::*;
use crate::failure::Failure;

fn client(authority: &FakeAuthority, endpoints: &[&Endpoint]) -> Client {
    Client::new(&authority.context(endpoints)).with_patience(Duration::from_secs(10))
}

fn busy() -> Reaction {
    Reaction::problem(&Problem::new(ProblemCode::Unavailable, "no leader")).with("retry-after", "0")
}

fn well(authority: &FakeAuthority) -> FakeMember {
    authority.member(|_, _| Reaction::json(200, &json!({ "well": true })))
}

#[test]
fn a_call_goes_to_the_next_endpoint_and_stays_there() {
    let authority = FakeAuthority::new();
    let nobody = FakeAuthority::nobody();
    let (cut, good) = (authority.member(|_, _| Reaction::HangUp), well(&authority));
    let client = client(&authority, &[&nobody, &cut.endpoint, &good.endpoint]);
    for _ in 0..3 {
        let answer: Answer<Value> = client.get("/cluster").unwrap();
        assert_eq!(answer.value, json!({ "well": true }));
    }
    assert_eq!(cut.requests().len(), 1);
    assert_eq!(good.requests().len(), 3);
    let request = &good.requests()[0];
    assert_eq!((request.method.as_str(), request.target.as_str()), ("GET", "/api/v1/cluster"));
    assert_eq!(request.header("authorization"), Some("Bearer nc_test"));
    assert_eq!(request.header("idempotency-key"), None);
}

#[test]
fn every_try_of_a_change_has_the_same_key_and_another_change_another() {
    let authority = FakeAuthority::new();
    let cut = authority.member(|_, _| Reaction::HangUp);
    let slow = authority.member(|number, _| match number {
        0 | 1 => busy(),
        _ => Reaction::json(202, &json!({})),
    });
    let client = client(&authority, &[&cut.endpoint, &slow.endpoint]);
    let body = json!({ "name": "web1" });
    let _: Answer<Value> = client.post("/vms", &body).unwrap();
    let tries = [cut.requests(), slow.requests()].concat();
    let keys: BTreeSet<_> =
        tries.iter().map(|request| request.header("idempotency-key").unwrap().to_owned()).collect();
    assert_eq!((tries.len(), keys.len()), (6, 1), "three rounds over two members: {keys:?}");
    assert!(tries.iter().all(|request| request.json() == body));
    let _: Answer<Value> = client.post_empty("/vms/x/start").unwrap();
    let last = slow.requests().pop().unwrap();
    assert!(!keys.contains(last.header("idempotency-key").unwrap()));
}

#[test]
fn a_refusal_is_final_and_told_whole() {
    let authority = FakeAuthority::new();
    let refusing = authority.member(|_, _| {
        let problem = Problem::new(ProblemCode::InvalidRequest, "1 invalid field");
        Reaction::problem(&problem.on("/name", "too long"))
    });
    let other = well(&authority);
    let client = client(&authority, &[&refusing.endpoint, &other.endpoint]);
    let error = client.post::<Value>("/vms", &json!({})).unwrap_err();
    assert!(error.is(ProblemCode::InvalidRequest));
    assert_eq!(Failure::from(error).to_string(), "1 invalid field");
    assert_eq!((refusing.requests().len(), other.requests().len()), (1, 0));
}

#[test]
fn a_busy_cluster_is_given_up_on_when_patience_ends() {
    let authority = FakeAuthority::new();
    let later = Problem::new(ProblemCode::Unavailable, "no leader");
    let member =
        authority.member(move |_, _| Reaction::problem(&later).with("retry-after", "3600"));
    let client = client(&authority, &[&member.endpoint]);
    let error = client.get::<Value>("/cluster").unwrap_err();
    assert!(error.is(ProblemCode::Unavailable));
    assert_eq!(member.requests().len(), 1, "an hour is not worth beginning to wait for");
}

#[test]
fn a_member_that_lacks_a_session_sends_us_to_one_that_has_it() {
    let authority = FakeAuthority::new();
    let lacking = authority
        .member(|_, _| Reaction::problem(&Problem::new(ProblemCode::NotConnected, "no session")));
    let having = well(&authority);
    let asked =
        |endpoints: &[&Endpoint]| client(&authority, endpoints).get::<Value>("/vms/x/console");
    assert!(asked(&[&lacking.endpoint, &having.endpoint]).is_ok());
    assert!(asked(&[&lacking.endpoint]).unwrap_err().is(ProblemCode::NotConnected));
}

#[test]
fn a_cluster_that_never_answered_fails_at_once_and_names_each_endpoint() {
    let authority = FakeAuthority::new();
    let endpoints = [FakeAuthority::nobody(), FakeAuthority::nobody()];
    let client = client(&authority, &[&endpoints[0], &endpoints[1]]);
    let begun = Instant::now();
    let text = client.get::<Value>("/cluster").unwrap_err().to_string();
    assert!(begun.elapsed() < ROUND_PAUSE, "it waited");
    for endpoint in &endpoints {
        assert!(text.contains(&format!("{endpoint}: connection refused")), "{text}");
    }
}

#[test]
fn a_member_of_another_cluster_is_not_trusted_with_the_token() {
    let stranger = well(&FakeAuthority::new());
    let client = client(&FakeAuthority::new(), &[&stranger.endpoint]);
    let failure = Failure::from(client.get::<Value>("/cluster").unwrap_err());
    let text = failure.render(str::to_owned).unwrap();
    assert!(text.contains("not from this context's cluster CA"), "{text}");
    assert!(text.contains("hint: this context file may be of another cluster"), "{text}");
    assert!(stranger.requests().is_empty());
}

#[test]
fn all_pages_of_a_list_are_read() {
    let authority = FakeAuthority::new();
    let member = authority.member(|number, _| match number {
        0 => Reaction::json(200, &json!({ "items": [1, 2], "next_page_token": "a&b" })),
        _ => Reaction::json(200, &json!({ "items": [3] })),
    });
    let client = client(&authority, &[&member.endpoint]);
    let list: Answer<Vec<u32>> = client.list("/vms?state=running").unwrap();
    assert_eq!((list.view, list.value), (vec![1, 2, 3], json!([1, 2, 3])));
    let targets: Vec<String> = member.requests().into_iter().map(|r| r.target).collect();
    assert_eq!(
        targets,
        [
            "/api/v1/vms?state=running&limit=1000",
            "/api/v1/vms?state=running&limit=1000&page_token=a%26b"
        ]
    );
}

#[test]
fn an_answer_that_is_no_json_is_told_as_such() {
    let authority = FakeAuthority::new();
    let member = authority.member(|_, _| Reaction::Answer {
        status: 200,
        headers: Vec::new(),
        body: b"<html>".to_vec(),
    });
    let client = client(&authority, &[&member.endpoint]);
    let error = client.get::<Value>("/cluster").unwrap_err();
    assert!(matches!(error, ClientError::Garbled { .. }), "{error}");
}

/// A server-sent event as a member writes it: all of an index but the last come without an id.
fn sse(index: u64, ordinal: u32, id: &str) -> String {
    let data = json!({
        "index": index, "ordinal": ordinal, "at": "2026-11-21T08:40:01.000Z", "kind": "vm.created",
        "object": { "kind": "vm", "id": null }, "actor": "system", "message": "",
    });
    format!(": alive\n\n{id}event: vm.created\ndata: {data}\n\n")
}

/// Follows until `count` events came, and gives their keys.
fn followed(client: &Client, after: u64, count: usize) -> Vec<(u64, u32)> {
    let seen = Mutex::new(Vec::new());
    let outcome = follow(client, Cursor::after(LogIndex(after)), |_, event| {
        let mut seen = seen.lock().unwrap();
        seen.push((event.index.0, event.ordinal));
        if seen.len() == count { Err(Failure::silent()) } else { Ok(()) }
    });
    assert_eq!(outcome, Err(Failure::silent()));
    seen.into_inner().unwrap()
}

#[test]
fn a_stream_goes_on_at_another_member_without_a_gap_or_a_repeat() {
    let authority = FakeAuthority::new();
    let first = authority.member(|_, _| {
        // Index 12 has three events; the connection breaks after the second.
        let whole = [sse(11, 0, "id: 11\n"), sse(12, 0, ""), sse(12, 1, "")].concat();
        Reaction::Stream(format!("{whole}data: {{\"index\": 12, \"ordin"))
    });
    let second = authority.member(|_, _| {
        Reaction::Stream(
            [sse(12, 0, ""), sse(12, 1, ""), sse(12, 2, "id: 12\n"), sse(13, 0, "id: 13\n")]
                .concat(),
        )
    });
    let client = client(&authority, &[&first.endpoint, &second.endpoint]);
    client.preferred.store(0, Ordering::Relaxed);
    let seen = {
        // The first member is asked once; then it is gone.
        let calls = first.requests.clone();
        let turn = &client;
        let seen = Mutex::new(Vec::new());
        let outcome = follow(turn, Cursor::after(LogIndex(10)), |_, event| {
            if calls.lock().unwrap().len() == 1 {
                turn.preferred.store(1, Ordering::Relaxed);
            }
            seen.lock().unwrap().push((event.index.0, event.ordinal));
            if event.index == LogIndex(13) { Err(Failure::silent()) } else { Ok(()) }
        });
        assert_eq!(outcome, Err(Failure::silent()));
        seen.into_inner().unwrap()
    };
    assert_eq!(seen, [(11, 0), (12, 0), (12, 1), (12, 2), (13, 0)]);
    assert_eq!(first.requests()[0].target, "/api/v1/events?after=10");
    assert_eq!(first.requests()[0].header("accept"), Some("text/event-stream"));
    assert_eq!(second.requests()[0].target, "/api/v1/events?after=11");
}

#[test]
fn a_stream_outlives_members_that_hang_up_and_elect() {
    let authority = FakeAuthority::new();
    let member = authority.member(|number, _| match number {
        0 => Reaction::Stream(sse(1, 0, "id: 1\n")),
        1 => Reaction::HangUp,
        2 => busy(),
        3 => Reaction::Stream(String::new() + ": alive\n\n"),
        _ => Reaction::Stream(sse(2, 0, "id: 2\n")),
    });
    let client = client(&authority, &[&member.endpoint]);
    assert_eq!(followed(&client, 0, 2), [(1, 0), (2, 0)]);
}

#[test]
fn a_gap_that_cannot_be_filled_is_passed_over_once() {
    let authority = FakeAuthority::new();
    let member = authority.member(|_, request| match request.target.ends_with("after=5") {
        true => Reaction::problem(&Problem {
            resume_after: Some(LogIndex(40)),
            ..Problem::new(ProblemCode::EventsForgotten, "gone")
        }),
        false => Reaction::Stream(sse(41, 0, "id: 41\n")),
    });
    let client = client(&authority, &[&member.endpoint]);
    assert_eq!(followed(&client, 5, 1), [(41, 0)]);
    assert!(member.requests()[1].target.ends_with("after=40"));
}
