//! Who is let in, what they may do, and what is put on record.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use novacron_protocol::join_token::JoinToken;
use serde_json::json;

use crate::fixture::{Member, eventually};

fn refusals(member: &Member) -> Vec<String> {
    let state = member.state();
    let refused = state.events().iter().filter(|event| event.kind.as_str() == "access.refused");
    refused.map(|event| format!("{}: {}", event.actor, event.message)).collect()
}

#[test]
fn who_cannot_prove_who_they_are_is_refused_and_audited() {
    let member = Member::start();
    let (user, secret) = member.admin.rsplit_once('_').unwrap();
    let forged = URL_SAFE_NO_PAD.encode([0; 32]);
    let other_cluster = Member::start().admin.clone();
    for token in [
        String::new(),
        "Basic YWRtaW46YWRtaW4=".to_owned(),
        "Bearer".to_owned(),
        "Bearer nonsense".to_owned(),
        format!("Bearer {user}_{forged}"),
        format!("Bearer {user}_{}", &secret[1..]),
        format!("Bearer nc_{}_{secret}", "0".repeat(32)),
        format!("Bearer {other_cluster}"),
    ] {
        let reply = member.request("GET", "/vms").header("authorization", &token).send(None);
        let problem = reply.problem();
        assert_eq!((problem.status, problem.code.as_str()), (401, "unauthenticated"), "{token}");
        assert_eq!(reply.header("www-authenticate"), Some("Bearer"));
        assert!(!String::from_utf8_lossy(&reply.body).contains(secret));
    }
    let recorded = eventually(|| Some(refusals(&member)).filter(|found| !found.is_empty()));
    assert!(recorded[0].starts_with("somebody at 127.0.0.1: GET /api/v1/vms"), "{recorded:?}");
    assert!(!recorded.concat().contains(secret));
}

#[test]
fn an_address_that_goes_on_guessing_is_told_to_wait_but_a_valid_token_is_let_in() {
    let member = Member::start();
    let reply = eventually(|| {
        let reply = member.request("GET", "/vms").bearer("nc_guess").send(None);
        (reply.status == 429).then_some(reply)
    });
    assert_eq!(reply.problem().code, "too-many-requests");
    let wait: u64 = reply.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=60).contains(&wait));
    member.get("/vms").expect(200);
    assert!(refusals(&member).len() <= 4, "a burst is not written out one by one");
}

/// Asks for every operation of the document as nobody, and as each role.
#[test]
fn every_route_lets_in_its_role_and_nobody_below() {
    let member = Member::start();
    let rank =
        |role: &str| ["anybody", "viewer", "operator", "admin"].iter().position(|r| *r == role);
    let tokens =
        [("viewer", member.user("vera", "viewer")), ("operator", member.user("olga", "operator"))];
    let document = member.get("/openapi.json").expect(200).json;
    let mut asked = 0;
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            let needs = operation["x-novacron-role"].as_str().unwrap_or("anybody");
            let path = path.replace("{digest}", &"0".repeat(64)).replace(['{', '}'], "");
            let path = path.strip_prefix("/api/v1").unwrap_or(&path);
            let method = method.to_uppercase();
            let as_nobody = member.request(&method, path).header("authorization", "").send(None);
            let let_in = as_nobody.status != 401 && as_nobody.status != 429;
            assert_eq!(
                let_in,
                needs == "anybody",
                "{method} {path} as nobody: {}",
                as_nobody.status
            );
            for (role, token) in &tokens {
                let reply = member.request(&method, path).bearer(token).send(None);
                let allowed = rank(role) >= rank(needs);
                assert_eq!(reply.status != 403, allowed, "{method} {path} as {role}");
                asked += 1;
            }
        }
    }
    assert!(asked > 60, "{asked}");
}

#[test]
fn a_user_is_shown_its_token_once_and_is_out_when_deleted() {
    let member = Member::start();
    let token = member.user("vera", "viewer");
    member.request("GET", "/vms").bearer(&token).send(None).expect(200);
    let listed = member.get("/users").expect(200);
    assert!(!String::from_utf8_lossy(&listed.body).contains(token.rsplit('_').next().unwrap()));
    assert_eq!(listed.json["items"].as_array().unwrap().len(), 2);
    let taken = member.post("/users", json!({ "name": "vera", "role": "admin" }));
    assert_eq!(taken.problem().code, "name-taken");
    assert_eq!(taken.problem().errors[0].pointer, "/name");
    member.call("DELETE", "/users/vera", None).expect(204);
    assert_eq!(member.request("GET", "/vms").bearer(&token).send(None).status, 401);
    let last = member.call("DELETE", "/users/admin", None);
    assert_eq!(last.problem().code, "conflict");
}

#[test]
fn a_join_token_carries_the_clusters_fingerprint_and_is_shown_once() {
    let member = Member::start();
    let made = member.post("/tokens", json!({ "role": "host", "uses": 3 })).expect(201);
    let text = made.json["text"].as_str().unwrap();
    let token: JoinToken = text.parse().unwrap();
    assert_eq!(token.ca_fingerprint, member.authority.fingerprint());
    assert_eq!(token.members, ["127.0.0.1:7410".parse().unwrap()]);
    let state = member.state();
    let kept = state.token(token.id).unwrap();
    assert_eq!((kept.secret, kept.uses_left), (token.secret.digest(), 3));
    let listed = member.get("/tokens").expect(200);
    assert!(!String::from_utf8_lossy(&listed.body).contains(text));
    assert_eq!(listed.json["items"][0]["created_by"], "admin");

    let bad = member.post("/tokens", json!({ "role": "host", "ttl_ms": 1, "uses": 0 })).expect(422);
    let pointers: Vec<String> = bad.problem().errors.into_iter().map(|e| e.pointer).collect();
    assert_eq!(pointers, ["/ttl_ms", "/uses"]);
    let path = format!("/tokens/{}", token.id);
    member.call("DELETE", &path, None).expect(204);
    assert_eq!(member.call("DELETE", &path, None).problem().code, "not-found");
}

#[test]
fn a_repeat_that_would_show_a_secret_again_is_refused() {
    let member = Member::start();
    let create = || {
        let request = member.request("POST", "/tokens").header("idempotency-key", "k");
        request.send(Some(json!({ "role": "host" })))
    };
    create().expect(201);
    assert_eq!(create().problem().code, "conflict");
    assert_eq!(member.get("/tokens").json["items"].as_array().unwrap().len(), 1);
}

#[test]
fn plain_http_gets_no_answer() {
    let member = Member::start();
    let mut stream = TcpStream::connect(member.address).unwrap();
    stream.write_all(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    assert!(!answer.starts_with(b"HTTP"), "{}", String::from_utf8_lossy(&answer));
}

#[test]
fn a_certificate_of_another_cluster_is_not_trusted() {
    let member = Member::start();
    let other = crate::fixture::agent(&Member::start().authority);
    let error = other.get(format!("https://{}/health", member.address)).call().unwrap_err();
    assert!(error.to_string().to_lowercase().contains("certificate"), "{error}");
}

#[test]
fn a_token_for_one_host_says_so_and_is_for_a_known_host_and_one_use() {
    let member = Member::start();
    let host = member.host("h1");
    let made = member.post("/tokens", json!({ "role": "host", "host": host })).expect(201);
    assert_eq!(made.json["token"]["host"], json!(host));
    let listed = member.get("/tokens").expect(200).json;
    assert!(listed["items"].as_array().unwrap().iter().any(|token| token["host"] == json!(host)));
    let bad = json!({ "role": "member", "host": host, "uses": 2 });
    let bad = member.post("/tokens", bad).expect(422).problem();
    let pointers: Vec<&str> = bad.errors.iter().map(|error| error.pointer.as_str()).collect();
    assert_eq!(pointers, ["/role", "/uses"]);
    let unknown = json!({ "role": "host", "host": "0192ab00-0000-7000-8000-000000000009" });
    assert_eq!(member.post("/tokens", unknown).expect(404).problem().code, "not-found");
}
