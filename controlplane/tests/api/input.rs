//! Bad input of every kind: each is answered with a problem that names it, and changes nothing.

use serde_json::{Value, json};

use crate::fixture::{Member, Reply};

fn line(what: &str, reply: &Reply) -> String {
    let problem = reply.problem();
    let errors: Vec<String> =
        problem.errors.iter().map(|error| format!("{:?}", error.pointer)).collect();
    let line = format!("{what}: {} {} {}", problem.status, problem.code, errors.join(" "));
    format!("{}\n", line.trim_end())
}

#[test]
fn bad_bodies_are_named_by_code_and_pointer() {
    let member = Member::start();
    let image = member.image("kernel");
    let before = member.state().vms().count();
    let with = |pointer: &str, value: Value| {
        let mut body = member.vm_body("web", image);
        let (parent, field) = pointer.rsplit_once('/').unwrap();
        body.pointer_mut(parent).unwrap()[field] = value;
        serde_json::to_string(&body).unwrap()
    };
    let bodies = [
        ("nothing", String::new()),
        ("not json", "{\"name\": web}".to_owned()),
        ("cut", with("/name", json!("a"))[..40].to_owned()),
        ("two values", format!("{} {{}}", with("/name", json!("a")))),
        ("not utf-8", "\u{0}".to_owned()),
        ("an array", "[]".to_owned()),
        ("unknown field", with("/color", json!("red"))),
        ("unknown field inside", with("/spec/cpu", json!(1))),
        ("wrong type", with("/spec/cpus", json!("two"))),
        ("negative", with("/spec/memory", json!(-5))),
        ("fraction", with("/spec/cpus", json!(1.5))),
        ("beyond 64 bits", with("/spec/memory", json!(1e30))),
        ("null", with("/name", Value::Null)),
        ("bad name", with("/name", json!("../../etc"))),
        ("bad label", with("/spec/labels", json!({ "a": "<script>" }))),
        ("bad digest", with("/spec/image", json!("kernel"))),
        ("unknown image", with("/spec/image", json!("0".repeat(64)))),
        ("too small", with("/spec/memory", json!(1))),
        ("too many", with("/spec/cpus", json!(100_000))),
        ("deep", with("/spec", json!(null)).replace("null", &"[".repeat(5_000))),
    ];
    let mut table = String::new();
    for (what, body) in bodies {
        let request = member.request("POST", "/vms").header("content-type", "application/json");
        table += &line(what, &request.send_bytes(body.into_bytes()));
    }
    let both = json!({ "name": "a", "spec": { "cpus": 0, "memory": 0, "image": image } });
    table += &line("two fields", &member.post("/vms", both));
    insta::assert_snapshot!(table, @r#"
    nothing: 400 malformed-json ""
    not json: 400 malformed-json "/name"
    cut: 400 malformed-json "/spec/image"
    two values: 400 malformed-json ""
    not utf-8: 400 malformed-json ""
    an array: 422 invalid-request ""
    unknown field: 422 invalid-request "/color"
    unknown field inside: 422 invalid-request "/spec/cpu"
    wrong type: 422 invalid-request "/spec/cpus"
    negative: 422 invalid-request "/spec/memory"
    fraction: 422 invalid-request "/spec/cpus"
    beyond 64 bits: 422 invalid-request "/spec/memory"
    null: 422 invalid-request "/name"
    bad name: 422 invalid-request "/name"
    bad label: 422 invalid-request "/spec/labels"
    bad digest: 422 invalid-request "/spec/image"
    unknown image: 422 invalid-request "/spec/image"
    too small: 422 invalid-request "/spec/memory"
    too many: 422 invalid-request "/spec/cpus"
    deep: 422 invalid-request "/spec/0"
    two fields: 422 invalid-request "/spec/cpus" "/spec/memory"
    "#);
    assert_eq!(member.state().vms().count(), before);
}

#[test]
fn bad_parameters_headers_and_paths_are_named() {
    let member = Member::start();
    let ask = |method: &str, path: &str| member.call(method, path, None);
    let id = "0".repeat(32);
    let mut table = String::new();
    for path in [
        "/vms?limit=0",
        "/vms?limit=99999999999999999999",
        "/vms?limit=1&limit=2",
        "/vms?page_token=abc",
        "/vms?page_token=%00%ff",
        "/vms?state=happy",
        "/vms?label=zone",
        "/vms?color=red",
        "/vms?consistency=maybe",
        "/vms?host=nowhere",
        "/vms/nowhere",
        "/vms/%ff",
        "/operations?status=late",
        "/operations/17",
        "/operations/00000000-0000-0000-0000-000000000000?wait_ms=-1",
        "/events?after=last",
        "/hosts/nowhere/metrics?since_ms=0",
        "/nowhere",
        "/vms/",
    ] {
        table += &line(&format!("GET {path}"), &ask("GET", path));
    }
    table += &line("DELETE /vms", &ask("DELETE", "/vms"));
    table += &line("PATCH /vms/x", &ask("PATCH", "/vms/x"));
    table += &line("DELETE with a query", &ask("DELETE", "/vms/x?force=true"));
    table += &line("DELETE token", &ask("DELETE", &format!("/tokens/{id}")));
    table +=
        &line("cordon without a reason", &member.post("/hosts/x/cordon", json!({ "reason": "" })));
    let header = |name: &str, value: &str| {
        let request = member.request("DELETE", "/vms/x").header(name, value);
        line(&format!("{name}: {}", &value[..value.len().min(12)]), &request.send(None))
    };
    table += &header("if-match", "17");
    table += &header("if-match", "W/\"17\"");
    table += &header("idempotency-key", &"k".repeat(129));
    let host = member.request("DELETE", "/hosts/x").header("if-match", "\"1\"");
    table += &line("if-match on a host", &host.send(None));
    let form = member.request("POST", "/users").header("content-type", "text/plain");
    table += &line("text/plain", &form.send_bytes(b"name=a".to_vec()));
    let last = member.request("GET", "/events").header("accept", "text/event-stream");
    table += &line("last-event-id: x", &last.header("last-event-id", "x").send(None));
    insta::assert_snapshot!(table, @r#"
    GET /vms?limit=0: 400 invalid-parameter "?limit"
    GET /vms?limit=99999999999999999999: 400 invalid-parameter "?limit"
    GET /vms?limit=1&limit=2: 400 invalid-parameter "?limit"
    GET /vms?page_token=abc: 400 invalid-page-token "?page_token"
    GET /vms?page_token=%00%ff: 400 invalid-page-token "?page_token"
    GET /vms?state=happy: 400 invalid-parameter "?state"
    GET /vms?label=zone: 400 invalid-parameter "?label"
    GET /vms?color=red: 400 invalid-parameter "?color"
    GET /vms?consistency=maybe: 400 invalid-parameter "?consistency"
    GET /vms?host=nowhere: 404 not-found
    GET /vms/nowhere: 404 not-found
    GET /vms/%ff: 400 invalid-parameter
    GET /operations?status=late: 400 invalid-parameter "?status"
    GET /operations/17: 404 not-found
    GET /operations/00000000-0000-0000-0000-000000000000?wait_ms=-1: 400 invalid-parameter "?wait_ms"
    GET /events?after=last: 400 invalid-parameter "?after"
    GET /hosts/nowhere/metrics?since_ms=0: 400 invalid-parameter "?since_ms"
    GET /nowhere: 404 no-such-route
    GET /vms/: 404 no-such-route
    DELETE /vms: 405 method-not-allowed
    PATCH /vms/x: 405 method-not-allowed
    DELETE with a query: 400 invalid-parameter "?force"
    DELETE token: 404 not-found
    cordon without a reason: 422 invalid-request "/reason"
    if-match: 17: 400 invalid-header "If-Match"
    if-match: W/"17": 400 invalid-header "If-Match"
    idempotency-key: kkkkkkkkkkkk: 400 invalid-header "Idempotency-Key"
    if-match on a host: 400 invalid-header "If-Match"
    text/plain: 415 unsupported-media-type
    last-event-id: x: 400 invalid-header "Last-Event-ID"
    "#);
    let allowed = ask("DELETE", "/vms");
    assert_eq!(allowed.header("allow"), Some("GET,HEAD,POST"));
}

#[test]
fn a_huge_body_is_413_with_the_limit_and_the_connection_lives() {
    let member = Member::start();
    let request = member.request("POST", "/vms").header("content-type", "application/json");
    let reply = request.send_bytes(vec![b' '; 8 << 20]).expect(413);
    assert_eq!(reply.problem().code, "body-too-large");
    assert_eq!(reply.problem().limit.unwrap().0, 1 << 20);
    member.get("/cluster").expect(200);
}

#[test]
fn a_huge_head_is_refused() {
    let member = Member::start();
    let long = "x".repeat(64 << 10);
    // The server may have closed before the client has sent it all, and so before it reads 431.
    if let Ok(reply) = member.request("GET", "/vms").header("x-long", &long).try_open(Vec::new()) {
        assert_eq!(reply.status(), 431);
    }
    member.get("/cluster").expect(200);
}

#[test]
fn a_key_used_again_is_answered_from_the_first_or_refused_for_another_request() {
    let member = Member::start();
    let image = member.image("kernel");
    let send = |body: Value| {
        member.request("POST", "/vms").header("idempotency-key", "once").send(Some(body))
    };
    let first = send(member.vm_body("web", image)).expect(202);
    let again = send(member.vm_body("web", image)).expect(202);
    assert_eq!(first.json["operation"]["id"], again.json["operation"]["id"]);
    assert_eq!(first.json["vm"]["id"], again.json["vm"]["id"]);
    assert_eq!(member.state().vms().count(), 1);
    let other = send(member.vm_body("db", image)).expect(422);
    assert_eq!(other.problem().code, "idempotency-key-reused");
    // Another user's keys are their own.
    let olga = member.user("olga", "operator");
    let request = member.request("POST", "/vms").bearer(&olga).header("idempotency-key", "once");
    request.send(Some(member.vm_body("db", image))).expect(202);
}
