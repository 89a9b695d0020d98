//! Whole commands against fake members: what they ask for, in which order, and what they print.

use std::collections::BTreeSet;
use std::fs;
use std::sync::Mutex;

use novacron_protocol::Digest;
use novacron_protocol::api::{Problem, ProblemCode};
use novacron_protocol::image::Manifest;
use serde_json::{Value, json};

use super::fixture::run;
use crate::client::fake::{FakeAuthority, FakeMember, Reaction, Request};

const VM: &str = "0192ab00-0000-7000-8000-000000000001";
const HOST: &str = "0192ab00-0000-7000-8000-000000000009";
const OPERATION: &str = "0192ab00-0000-7000-8000-0000000000aa";

fn operation(kind: &str, subject: &str, status: &str) -> Value {
    json!({
        "id": OPERATION, "kind": kind, "subject": { "kind": subject, "id": VM, "name": "web1" },
        "actor": "user ann", "status": status,
        "reason": (status == "failed").then_some("no host has the label zone=x"),
        "created_at": "2026-11-21T08:40:00.000Z", "deadline": "2026-11-21T08:55:00.000Z",
        "finished_at": null,
    })
}

fn vm(state: &str) -> Value {
    json!({
        "id": VM, "name": "web1",
        "spec": { "cpus": 1, "memory": 536_870_912, "image": "ab".repeat(32) },
        "target": "running",
        "host": { "id": "0192ab00-0000-7000-8000-000000000009", "name": "h1" },
        "observed": { "kind": "absent" }, "state": state, "operation": null,
        "created_at": "2026-11-21T08:40:00.000Z", "etag": 7,
    })
}

fn image(id: &str, name: &str) -> Value {
    json!({
        "id": id, "name": name, "size": 1, "files": [], "cmdline": "", "holders": [1],
        "safe": true, "created_at": "2026-11-21T08:40:00.000Z", "etag": 3,
    })
}

fn not_found() -> Reaction {
    Reaction::problem(&Problem::new(ProblemCode::NotFound, "there is no such thing"))
}

/// `METHOD target` of each request.
fn asked(member: &FakeMember) -> Vec<String> {
    let line = |request: &Request| format!("{} {}", request.method, &request.target[7..]);
    member.requests().iter().map(line).collect()
}

/// A member where creating web1 from the image `tiny` ends as `ending`.
fn creating(authority: &FakeAuthority, ending: &'static str) -> FakeMember {
    authority.member(move |number, request| match (request.method.as_str(), &request.target[7..]) {
        ("GET", "/images/tiny") => Reaction::json(200, &image(&"ab".repeat(32), "tiny")),
        ("POST", "/vms") => {
            let operation = operation("create-vm", "vm", "running");
            Reaction::json(202, &json!({ "operation": operation, "vm": vm("pending") }))
        }
        ("GET", target) if target.starts_with("/operations/") => {
            let status = if number < 4 { "running" } else { ending };
            Reaction::json(200, &operation("create-vm", "vm", status))
        }
        ("GET", _) => Reaction::json(200, &vm("running")),
        _ => not_found(),
    })
}

#[test]
fn creating_a_vm_resolves_the_image_and_waits_for_the_operation() {
    let authority = FakeAuthority::new();
    let member = creating(&authority, "done");
    let line = "vm create web1 --image tiny --memory 1GiB --disk 2GiB --label a=b --label c=d";
    let (text, outcome) = run(&authority, &[&member], line);
    assert_eq!(outcome, Ok(()));
    assert!(text.starts_with("web1 is running on h1 ("), "{text}");
    assert_eq!(
        asked(&member),
        [
            "GET /images/tiny".to_owned(),
            "POST /vms".to_owned(),
            format!("GET /operations/{OPERATION}?wait_ms=2000"),
            format!("GET /operations/{OPERATION}?wait_ms=2000"),
            format!("GET /operations/{OPERATION}?wait_ms=2000"),
            format!("GET /vms/{VM}"),
        ]
    );
    let body = member.requests()[1].json();
    assert_eq!(
        body,
        json!({
            "name": "web1", "start": "start",
            "spec": {
                "cpus": 1, "memory": 1_u64 << 30, "image": "ab".repeat(32), "disk": 2_u64 << 30,
                "labels": { "a": "b", "c": "d" }, "host_labels": {},
            },
        })
    );
}

#[test]
fn a_failed_operation_fails_the_command_and_json_still_has_the_operation() {
    let authority = FakeAuthority::new();
    let member = creating(&authority, "failed");
    let (text, outcome) = run(&authority, &[&member], "vm create web1 --image tiny -o json");
    let value: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(value["status"], "failed");
    insta::assert_snapshot!(outcome.unwrap_err().render(str::to_owned).unwrap(), @r"
    error: create-vm web1 failed: no host has the label zone=x
    hint: `novacron vm explain web1` shows what each host says to it
    ");
}

#[test]
fn detached_the_id_of_the_operation_is_all_that_is_printed() {
    let authority = FakeAuthority::new();
    let member = creating(&authority, "done");
    let (text, outcome) = run(&authority, &[&member], "vm create web1 --image tiny --detach");
    assert_eq!((text, outcome), (format!("{OPERATION}\n"), Ok(())));
    assert_eq!(asked(&member).len(), 2);
}

#[test]
fn a_vm_is_found_by_the_beginning_of_its_id() {
    let authority = FakeAuthority::new();
    let member = authority.member(|_, request| match &request.target[7..] {
        "/vms?limit=1000" => Reaction::json(200, &json!({ "items": [vm("running")] })),
        _ => not_found(),
    });
    let (text, outcome) = run(&authority, &[&member], "vm show 0192ab -o yaml");
    assert_eq!(outcome, Ok(()));
    assert!(text.contains("\nname: web1\n") && text.contains(&format!("\nid: {VM}\n")), "{text}");
    assert_eq!(asked(&member), ["GET /vms/0192ab", "GET /vms?limit=1000"]);
}

#[test]
fn a_deleted_vm_is_told_as_deleted() {
    let authority = FakeAuthority::new();
    let member = authority.member(|number, request| match request.method.as_str() {
        "DELETE" => {
            let operation = operation("delete-vm", "vm", "done");
            Reaction::json(202, &json!({ "operation": operation, "vm": vm("deleting") }))
        }
        _ if number == 0 => Reaction::json(200, &vm("running")),
        _ => not_found(),
    });
    let (text, outcome) = run(&authority, &[&member], "vm delete web1");
    assert_eq!(outcome, Ok(()));
    assert!(text.starts_with("web1 is deleted ("), "{text}");
}

#[test]
fn the_bytes_of_a_console_pass_as_they_are_where_no_terminal_obeys_them() {
    let authority = FakeAuthority::new();
    let member = authority.member(|number, _| match number {
        0 => Reaction::json(200, &vm("running")),
        _ => Reaction::Answer { status: 200, headers: Vec::new(), body: b"\x1b[1mok\r\n".into() },
    });
    let (text, outcome) = run(&authority, &[&member], "vm console web1 --tail 4KiB --raw");
    assert_eq!((text.as_str(), outcome), ("\x1b[1mok\r\n", Ok(())));
    assert_eq!(asked(&member)[1], format!("GET /vms/{VM}/console?tail_bytes=4096"));
}

#[test]
fn a_listing_of_events_reads_every_page_after_an_index() {
    let authority = FakeAuthority::new();
    let event = |index: u64| {
        json!({
            "index": index, "ordinal": 0, "at": "2026-11-21T08:39:01.000Z", "kind": "vm.created",
            "object": { "kind": "vm", "id": VM }, "actor": "user ann", "message": "web1",
        })
    };
    let member = authority.member(move |number, _| {
        let page = json!({ "items": [event(8 + number as u64)], "resume_after": 8 + number,
                           "more": number == 0 });
        Reaction::json(200, &page)
    });
    let (text, outcome) = run(&authority, &[&member], "event list --after 7");
    assert_eq!(outcome, Ok(()));
    insta::assert_snapshot!(text, @r"
    INDEX  AGE  EVENT       BY        MESSAGE
        8   1m  vm.created  user ann  web1
        9   1m  vm.created  user ann  web1
    ");
    assert_eq!(
        asked(&member),
        ["GET /events?after=7&limit=1000", "GET /events?after=8&limit=1000"]
    );
}

#[test]
fn a_token_is_printed_alone() {
    let authority = FakeAuthority::new();
    let member = authority.member(|_, _| {
        let token = json!({
            "id": VM, "role": "host", "created_at": "2026-11-21T08:40:00.000Z", "created_by": null,
            "expires_at": "2026-11-21T09:40:00.000Z", "uses_left": 3, "valid": true,
        });
        Reaction::json(201, &json!({ "token": token, "text": "novacron1.abc" }))
    });
    let (text, outcome) = run(&authority, &[&member], "token create --role host --ttl 2h --uses 3");
    assert_eq!((text.as_str(), outcome), ("novacron1.abc\n", Ok(())));
    let body = member.requests()[0].json();
    assert_eq!(body, json!({ "role": "host", "ttl_ms": 7_200_000, "uses": 3 }));
}

#[test]
fn a_token_for_a_host_to_come_back_names_that_host() {
    let authority = FakeAuthority::new();
    let host = json!({
        "id": HOST, "name": "h7", "connectivity": "disconnected",
        "connectivity_since": "2026-11-01T08:40:00.000Z", "cordon": null, "agent_version": null,
        "hypervisor": null, "capacity": null,
        "allocated": { "cpus": 0, "memory": 0, "disk": 0 },
        "free": { "cpus": 0, "memory": 0, "disk": 0 }, "labels": {}, "vms": 3,
        "joined_at": "2026-10-01T08:40:00.000Z", "etag": 7,
    });
    let member = authority.member(move |_, request| match request.method.as_str() {
        "GET" => Reaction::json(200, &host),
        _ => {
            let token = json!({
                "id": VM, "role": "host", "created_at": "2026-11-21T08:40:00.000Z",
                "created_by": null, "expires_at": "2026-11-21T09:40:00.000Z", "uses_left": 1,
                "host": HOST, "valid": true,
            });
            Reaction::json(201, &json!({ "token": token, "text": "novacron1.abc" }))
        }
    });
    let (text, outcome) = run(&authority, &[&member], "token create --role host --host h7");
    assert_eq!((text.as_str(), outcome), ("novacron1.abc\n", Ok(())));
    let requests = member.requests();
    assert_eq!(requests.last().unwrap().json()["host"], HOST);
}

/// A member that keeps blobs and checks them, and fails on the upload number `fails_at`.
fn storing(
    authority: &FakeAuthority,
    known: BTreeSet<Digest>,
    fails_at: Option<usize>,
) -> (FakeMember, std::sync::Arc<Mutex<BTreeSet<Digest>>>) {
    let blobs = std::sync::Arc::new(Mutex::new(known));
    let store = blobs.clone();
    let uploads = Mutex::new(0);
    let member = authority.member(move |_, request| {
        let target = &request.target[7..];
        match (request.method.as_str(), target) {
            ("POST", "/blobs/missing") => {
                let asked: Vec<Digest> =
                    serde_json::from_value(request.json()["digests"].clone()).unwrap();
                let blobs = store.lock().unwrap();
                let missing: Vec<_> =
                    asked.iter().filter(|digest| !blobs.contains(digest)).collect();
                Reaction::json(200, &json!({ "missing": missing }))
            }
            ("PUT", target) => {
                let mut uploads = uploads.lock().unwrap();
                *uploads += 1;
                if fails_at.is_some_and(|at| *uploads >= at) {
                    return Reaction::HangUp;
                }
                let content = zstd::decode_all(&request.body[..]).unwrap();
                let digest: Digest = target.strip_prefix("/blobs/").unwrap().parse().unwrap();
                assert_eq!(Digest::of(&content), digest);
                assert_eq!(request.header("content-type"), Some("application/zstd"));
                assert!(store.lock().unwrap().insert(digest), "sent though it was there");
                Reaction::json(201, &json!({ "digest": digest, "size": content.len() }))
            }
            ("POST", "/images") => {
                let body = request.json();
                let manifest: Digest = serde_json::from_value(body["manifest"].clone()).unwrap();
                assert!(store.lock().unwrap().contains(&manifest), "named before it was sent");
                let operation = operation("import-image", "image", "done");
                let image = image(&manifest.to_string(), "tiny");
                Reaction::json(202, &json!({ "operation": operation, "image": image }))
            }
            _ => not_found(),
        }
    });
    (member, blobs)
}

/// A file of three whole chunks, two of them alike, and an odd rest.
fn disk(dir: &std::path::Path) -> (String, Vec<u8>) {
    let mut content = vec![7; 2 << 20];
    content.extend((0..(1 << 20) + 77).map(|at: u32| (at % 251) as u8));
    let path = dir.join("disk.img");
    fs::write(&path, &content).unwrap();
    (path.to_str().unwrap().to_owned(), content)
}

#[test]
fn an_import_sends_each_different_blob_once_and_then_names_the_image() {
    let authority = FakeAuthority::new();
    let dir = tempfile::tempdir().unwrap();
    let (path, content) = disk(dir.path());
    let (member, blobs) = storing(&authority, BTreeSet::new(), None);
    let (text, outcome) = run(&authority, &[&member], &format!("image import tiny --disk {path}"));
    assert_eq!(outcome, Ok(()));
    assert!(text.starts_with("image tiny has 3.0 MiB ("), "{text}");
    assert_eq!(blobs.lock().unwrap().len(), 4, "three different chunks and the manifest");
    let last = member.requests().pop().unwrap().json();
    let manifest: Digest = serde_json::from_value(last["manifest"].clone()).unwrap();
    let put = member
        .requests()
        .into_iter()
        .find(|request| request.target == format!("/api/v1/blobs/{manifest}"));
    let manifest = Manifest::open(&zstd::decode_all(&put.unwrap().body[..]).unwrap()).unwrap();
    assert_eq!(manifest.files[0].file.digest, Digest::of(&content));
}

#[test]
fn an_import_repeated_sends_only_what_is_missing() {
    let authority = FakeAuthority::new();
    let dir = tempfile::tempdir().unwrap();
    let (path, content) = disk(dir.path());
    let line = format!("image import tiny --disk {path}");
    // The store of the fake panics on a blob that it has, so this member must be sent two.
    let there = BTreeSet::from([Digest::of(&content[..1 << 20])]);
    let (member, blobs) = storing(&authority, there, None);
    assert_eq!(run(&authority, &[&member], &line).1, Ok(()));
    assert_eq!(blobs.lock().unwrap().len(), 4);
    assert_eq!(run(&authority, &[&member], &line).1, Ok(()));
    let puts = member.requests().iter().filter(|request| request.method == "PUT").count();
    assert_eq!(puts, 3, "two chunks and the manifest, and nothing the second time");
}

#[test]
fn when_the_member_fails_an_import_begins_anew_at_the_next() {
    let authority = FakeAuthority::new();
    let dir = tempfile::tempdir().unwrap();
    let (path, _) = disk(dir.path());
    let (failing, _) = storing(&authority, BTreeSet::new(), Some(2));
    let (member, blobs) = storing(&authority, BTreeSet::new(), None);
    let line = format!("image import tiny --disk {path}");
    assert_eq!(run(&authority, &[&failing, &member], &line).1, Ok(()));
    assert_eq!(blobs.lock().unwrap().len(), 4);
}

#[test]
fn an_image_that_is_there_already_is_no_failure() {
    let authority = FakeAuthority::new();
    let dir = tempfile::tempdir().unwrap();
    let (path, _) = disk(dir.path());
    let line = format!("image import tiny --disk {path}");
    let (first, _) = storing(&authority, BTreeSet::new(), None);
    run(&authority, &[&first], &line).1.unwrap();
    let manifest = first.requests().pop().unwrap().json()["manifest"].clone();
    let id = manifest.as_str().unwrap().to_owned();
    let member = authority.member(move |number, _| match number {
        0 => Reaction::json(200, &image(&id, "tiny")),
        _ => Reaction::json(200, &json!({ "items": [] })),
    });
    let (text, outcome) = run(&authority, &[&member], &line);
    assert_eq!((text.as_str(), outcome), ("image tiny was imported before\n", Ok(())));
}

#[test]
fn a_name_that_is_taken_is_told_before_anything_is_sent() {
    let authority = FakeAuthority::new();
    let dir = tempfile::tempdir().unwrap();
    let (path, _) = disk(dir.path());
    let member = authority.member(|_, _| Reaction::json(200, &image(&"cd".repeat(32), "tiny")));
    let line = format!("image import tiny --disk {path}");
    let failure = run(&authority, &[&member], &line).1.unwrap_err();
    assert_eq!(failure.to_string(), "the name tiny is taken by an image of other content");
    assert_eq!(asked(&member), ["GET /images/tiny"]);
}

#[test]
fn the_doctor_goes_on_after_an_endpoint_that_is_not_there() {
    let authority = FakeAuthority::new();
    let member = authority.member(|_, request| {
        let target = &request.target[7..];
        let list = |items: Value| Reaction::json(200, &json!({ "items": items }));
        match target.split('?').next().unwrap_or_default() {
            "/cluster" => Reaction::json(
                200,
                &json!({
                    "id": VM, "name": "lab", "created_at": "2026-11-21T08:40:00.000Z",
                    "leader": { "id": 1, "name": "m1" }, "term": 1,
                    "member": { "id": 1, "name": "m1" }, "committed": 1, "applied": 1,
                    "counts": { "members": 1, "voters": 1, "hosts": 0, "hosts_connected": 0,
                                "vms": 0, "vms_running": 0, "images": 0, "operations_open": 0 },
                    "version": env!("CARGO_PKG_VERSION"),
                }),
            ),
            "/users" => Reaction::problem(&Problem::new(ProblemCode::Forbidden, "no")),
            _ => list(json!([])),
        }
    });
    let gone = FakeMember { endpoint: FakeAuthority::nobody(), requests: Default::default() };
    let (text, outcome) = run(&authority, &[&gone, &member], "doctor");
    let text = text.replace(&gone.endpoint.to_string(), "[gone]");
    let grades: Vec<&str> = text.lines().filter_map(|line| line.split("  ").next()).collect();
    assert!(text.contains("fail  endpoint  [gone]: connection refused"), "{text}");
    assert!(text.contains("ok    leader    m1 leads"), "{text}");
    assert!(text.contains("warn  hosts     no host has joined"), "{text}");
    assert!(grades.contains(&"ok") && outcome.unwrap_err().exit_code() == 1);
    let (json, _) = run(&authority, &[&member], "doctor -o json");
    let value: Value = serde_json::from_str(&json).unwrap();
    assert_eq!(value[0]["check"], "context");
    assert_eq!(value[0]["grade"], "ok");
}
