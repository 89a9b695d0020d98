//! VMs from wish to end.

use std::io::{BufRead as _, BufReader, Read as _};
use std::time::Duration;

use novacron_protocol::vm::VmState;
use serde_json::json;

use crate::fixture::Member;

#[test]
fn a_vm_is_created_placed_run_stopped_and_gone() {
    let member = Member::start();
    let (host, image) = (member.host("h1"), member.image("kernel"));
    let created = member.post("/vms", member.vm_body("web", image)).expect(202);
    let operation = created.json["operation"]["id"].as_str().unwrap();
    assert_eq!(
        created.header("location"),
        Some(format!("/api/v1/operations/{operation}").as_str())
    );
    assert_eq!(created.json["vm"]["state"], "pending");
    assert_eq!(created.json["operation"]["status"], "running");
    assert!(created.json["operation"]["reason"].as_str().unwrap().contains("no host"));
    let vm = created.json["vm"]["id"].as_str().unwrap().parse().unwrap();

    member.run_vm(vm, host, VmState::Running);
    let shown = member.get("/vms/web").expect(200);
    assert_eq!(
        (&shown.json["state"], &shown.json["host"]["name"]),
        (&json!("running"), &json!("h1"))
    );
    assert_eq!(shown.json["observed"]["kind"], "known");
    assert_eq!(shown.json["operation"], json!(null));
    assert!(shown.json["created_at"].as_str().unwrap().ends_with('Z'));
    assert_eq!(shown.header("etag").unwrap(), format!("\"{}\"", shown.json["etag"]));
    assert!(shown.header("x-novacron-index").is_some());
    assert_eq!(shown.header("x-novacron-staleness-ms"), Some("0"));
    let done = member.get(&format!("/operations/{operation}")).expect(200);
    assert_eq!(done.json["status"], "done");

    member.call("POST", "/vms/web/restart", None).expect(202);
    member.post("/vms/web/stop", json!({ "mode": "force" })).expect(202);
    member.run_vm(vm, host, VmState::Stopped);
    assert_eq!(member.get("/vms/web").json["state"], "stopped");
    let conflict = member.call("POST", "/vms/web/restart", None).expect(409);
    assert_eq!(conflict.problem().code, "conflict");
    member.call("DELETE", "/vms/web", None).expect(202);
    assert_eq!(member.get("/vms/web").json["state"], "deleting");
    let busy = member.call("DELETE", "/hosts/h1", None).expect(409);
    assert!(busy.problem().detail.contains("1 VM"), "{}", busy.problem().detail);
    member.run_vm(vm, host, VmState::Absent);
    member.get("/vms/web").expect(404);
    member.call("DELETE", "/hosts/h1", None).expect(204);
}

#[test]
fn a_stale_etag_is_412_and_the_right_one_is_taken() {
    let member = Member::start();
    let (host, image) = (member.host("h1"), member.image("kernel"));
    let vm = member.create_vm("web", image);
    let old = member.get("/vms/web").header("etag").unwrap().to_owned();
    member.run_vm(vm, host, VmState::Running);
    let act = |method: &str, path: &str, etag: &str| {
        member.request(method, path).header("if-match", etag).send(None)
    };
    for (method, path) in
        [("POST", "/vms/web/stop"), ("POST", "/vms/web/restart"), ("DELETE", "/vms/web")]
    {
        let stale = act(method, path, &old).expect(412);
        assert_eq!(stale.problem().code, "precondition-failed");
    }
    let current = member.get("/vms/web").header("etag").unwrap().to_owned();
    let stopped = act("POST", "/vms/web/stop", &current).expect(202);
    let next = stopped.header("etag").unwrap();
    assert_ne!(next, current);
    act("DELETE", "/vms/web", next).expect(202);
}

#[test]
fn a_dry_run_says_where_and_why_and_changes_nothing() {
    let member = Member::start();
    let image = member.image("kernel");
    member.host("h1");
    member.host("h2");
    member.post("/hosts/h1/cordon", json!({ "reason": "broken fan" })).expect(200);
    let before = member.state().applied();
    let dry = member.post("/vms?dry_run=true", member.vm_body("web", image)).expect(200);
    assert_eq!(dry.json["host"]["name"], "h2");
    let explanation = &dry.json["explanation"];
    assert_eq!((&explanation["feasible"], &explanation["infeasible"]), (&json!(1), &json!(1)));
    let sentences: Vec<&str> = explanation["hosts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|verdict| verdict["sentence"].as_str().unwrap())
        .collect();
    assert!(sentences[0].starts_with("host h2 scores "), "{sentences:?}");
    assert_eq!(sentences[1], "host h1 cannot take it: it is cordoned: broken fan");
    assert_eq!(member.state().vms().count(), 0);
    assert_eq!(member.state().applied(), before);

    let mut huge = member.vm_body("web", image);
    huge["spec"]["memory"] = json!(1_u64 << 40);
    let waits = member.post("/vms?dry_run=true", huge).expect(200);
    assert_eq!(waits.json["host"], json!(null));
    assert_eq!(waits.json["explanation"]["summary"], "waits: none of 2 hosts can take it");
    member.create_vm("web", image);
    let taken = member.post("/vms?dry_run=true", member.vm_body("web", image)).expect(409);
    assert_eq!(
        (taken.problem().code.as_str(), taken.problem().errors[0].pointer.as_str()),
        ("name-taken", "/name")
    );
    let explained = member.get("/vms/web/explain?limit=1").expect(200);
    assert_eq!(explained.json["summary"], "goes to host h2, best of 1");
    assert_eq!(explained.json["hosts"].as_array().unwrap().len(), 1);
}

#[test]
fn lists_are_filtered_and_paged() {
    let member = Member::start();
    let (host, image) = (member.host("h1"), member.image("kernel"));
    for n in 0..5 {
        let mut body = member.vm_body(&format!("web-{n}"), image);
        body["spec"]["labels"] = json!({ "tier": if n == 3 { "gold" } else { "tin" } });
        member.post("/vms", body).expect(202);
    }
    let vm = member.create_vm("db", image);
    member.run_vm(vm, host, VmState::Running);
    let names = |query: &str| -> Vec<String> {
        let mut names = Vec::new();
        let mut token = String::new();
        loop {
            let page = member.get(&format!("/vms?limit=2{query}{token}")).expect(200);
            let items = page.json["items"].as_array().unwrap();
            assert!(items.len() <= 2);
            names.extend(items.iter().map(|vm| vm["name"].as_str().unwrap().to_owned()));
            match page.json["next_page_token"].as_str() {
                Some(next) => token = format!("&page_token={next}"),
                None => break,
            }
        }
        names.sort();
        names
    };
    assert_eq!(names(""), ["db", "web-0", "web-1", "web-2", "web-3", "web-4"]);
    assert_eq!(names("&name_prefix=web-").len(), 5);
    assert_eq!(names("&host=h1"), ["db"]);
    assert_eq!(names(&format!("&host={host}")), ["db"]);
    assert_eq!(names("&state=running"), ["db"]);
    assert_eq!(names("&label=tier=gold"), ["web-3"]);
    assert_eq!(names("&label=tier=tin&state=pending").len(), 4);
    assert_eq!(names("&label=tier=tin&label=zone=b"), [] as [&str; 0]);
    let first = member.get("/vms?limit=2").json["next_page_token"].as_str().unwrap().to_owned();
    let other = member.get(&format!("/vms?limit=2&state=running&page_token={first}")).expect(400);
    assert_eq!(other.problem().code, "invalid-page-token");
}

#[test]
fn waiting_for_an_operation_ends_with_it_or_with_the_time() {
    let member = Member::start();
    let (host, image) = (member.host("h1"), member.image("kernel"));
    let created = member.post("/vms", member.vm_body("web", image)).expect(202);
    let path = format!("/operations/{}", created.json["operation"]["id"].as_str().unwrap());
    let vm = created.json["vm"]["id"].as_str().unwrap().parse().unwrap();
    let early = member.get(&format!("{path}?wait_ms=20")).expect(200);
    assert_eq!(early.json["status"], "running");
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| member.get(&format!("{path}?wait_ms=30000")).expect(200));
        member.run_vm(vm, host, VmState::Running);
        assert_eq!(waiting.join().unwrap().json["status"], "done");
    });
    let late = member.call("POST", &format!("{path}/cancel"), None).expect(409);
    assert!(late.problem().detail.contains("ended"));
}

#[test]
fn a_creation_that_is_cancelled_leaves_no_vm() {
    let member = Member::start();
    let image = member.image("kernel");
    let created = member.post("/vms", member.vm_body("web", image)).expect(202);
    let path = format!("/operations/{}", created.json["operation"]["id"].as_str().unwrap());
    let cancelled = member.call("POST", &format!("{path}/cancel"), None).expect(200);
    assert_eq!(cancelled.json["status"], "cancelled");
    assert_eq!(cancelled.json["reason"], "cancelled by user admin");
    member.get("/vms/web").expect(404);
    let all = member.get("/operations?status=cancelled").expect(200);
    assert_eq!(all.json["items"].as_array().unwrap().len(), 1);
}

#[test]
fn the_console_of_a_host_that_is_not_connected_here_is_503_with_a_hint() {
    let member = Member::start();
    let (host, image) = (member.host("h1"), member.image("kernel"));
    let vm = member.create_vm("web", image);
    assert_eq!(member.get("/vms/web/console").expect(409).problem().code, "conflict");
    member.run_vm(vm, host, VmState::Running);
    let problem = member.get("/vms/web/console?tail_bytes=100").expect(503).problem();
    assert_eq!(problem.code, "not-connected");
    assert!(problem.hint.is_some());
    assert_eq!(member.get("/vms/web/console?tail_bytes=0").status, 400);
}

#[test]
fn a_server_that_stops_ends_its_streams_at_once() {
    let mut member = Member::start();
    let stream = member
        .request("GET", "/events?after=0")
        .header("accept", "text/event-stream")
        .open(Vec::new());
    let mut reader = BufReader::new(stream.into_body().into_reader());
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    assert!(line.starts_with("event: ") || line.starts_with("data: "), "{line}");
    let took = member.stop_serving();
    assert!(took < Duration::from_secs(5), "{took:?}");
    let mut rest = String::new();
    reader.read_to_string(&mut rest).unwrap();
}
