//! What can be read: the cluster, hosts, metrics, events.

use std::io::{BufRead as _, BufReader};

use novacron_protocol::Timestamp;
use novacron_protocol::wire::telemetry::{Batch, HostSample, VmSample};
use serde_json::json;

use crate::fixture::Member;

#[test]
fn the_cluster_says_who_leads_and_how_far_it_is() {
    let member = Member::start();
    member.host("h1");
    let cluster = member.get("/cluster").expect(200).json;
    assert_eq!((&cluster["name"], &cluster["leader"]["name"]), (&json!("test"), &json!("one")));
    assert_eq!(cluster["counts"]["hosts_connected"], 1);
    assert_eq!(cluster["id"], json!(member.state().cluster().unwrap().id));
    let members = member.get("/members").expect(200).json;
    assert_eq!(members["items"][0]["role"], "voter");
    assert_eq!(members["items"][0]["leader"], true);
    assert_eq!(member.get("/members/one").json["id"], 1);
    for consistency in ["linearizable", "leader", "stale"] {
        member.get(&format!("/hosts?consistency={consistency}")).expect(200);
    }
    let dwcp = member.get("/dwcp/status").expect(200).json;
    assert_eq!(dwcp, json!({ "member": 1, "sessions": [] }));
}

#[test]
fn health_needs_no_token_and_metrics_do() {
    let member = Member::start();
    for path in ["/health", "/health/ready"] {
        let reply = member.request("GET", path).header("authorization", "").send(None);
        assert_eq!(reply.expect(200).json, json!({ "status": "ok" }));
    }
    assert_eq!(
        member.request("GET", "/metrics").header("authorization", "").send(None).status,
        401
    );
    member.host("h1");
    let text = String::from_utf8(member.get("/metrics").expect(200).body).unwrap();
    for line in [
        "novacron_raft_leader 1",
        "novacron_hosts{connectivity=\"connected\"} 1",
        "novacron_hosts{connectivity=\"down\"} 0",
        "novacron_vms{state=\"running\"} 0",
        "novacron_api_requests_total{status=\"4xx\"} 1",
    ] {
        assert!(text.lines().any(|found| found == line), "{line} in\n{text}");
    }
}

#[test]
fn a_host_shows_what_it_has_and_takes_a_cordon() {
    let member = Member::start();
    member.host("h1");
    let host = member.get("/hosts/h1").expect(200).json;
    assert_eq!((&host["connectivity"], &host["cordon"]), (&json!("connected"), &json!(null)));
    assert_eq!((&host["free"]["cpus"], &host["labels"]["zone"]), (&json!(8), &json!("a")));
    let cordoned = member.post("/hosts/h1/cordon", json!({ "reason": "fan" })).expect(200);
    assert_eq!(cordoned.json["cordon"], "fan");
    let free = member.call("POST", "/hosts/h1/uncordon", None).expect(200);
    assert_eq!(free.json["cordon"], json!(null));
}

#[test]
fn metrics_of_a_host_and_of_its_vms_are_read_back() {
    let member = Member::start();
    let (host, image) = (member.host("h1"), member.image("kernel"));
    let vm = member.create_vm("web", image);
    assert_eq!(member.get("/vms/web/metrics").expect(409).problem().code, "conflict");
    member.run_vm(vm, host, novacron_protocol::vm::VmState::Running);
    let now = member.clock.timestamp();
    for back in [3_u64, 2, 1] {
        let sample = VmSample {
            vm,
            cpu_milli: u32::try_from(back).unwrap(),
            memory_bytes: 1,
            disk_read_bytes_per_s: 0,
            disk_write_bytes_per_s: 0,
            net_rx_bytes_per_s: 0,
            net_tx_bytes_per_s: 0,
        };
        let at = Timestamp(now.0 - back * 60_000);
        let host_sample = HostSample { cpu_busy_permille: 7, ..HostSample::default() };
        member.metrics.push(host, Batch { at, host: host_sample, vms: vec![sample] });
    }
    let of_host = member.get("/hosts/h1/metrics").expect(200).json;
    assert_eq!(of_host["samples"].as_array().unwrap().len(), 3);
    assert_eq!(of_host["samples"][0]["cpu_busy_permille"], 7);
    let of_vm = member.get("/vms/web/metrics?since_ms=150000").expect(200).json;
    let cpus: Vec<&serde_json::Value> =
        of_vm["samples"].as_array().unwrap().iter().map(|sample| &sample["cpu_milli"]).collect();
    assert_eq!(cpus, [&json!(2), &json!(1)]);
}

#[test]
fn events_are_paged_by_log_index() {
    let member = Member::start();
    member.host("h1");
    let all = member.get("/events?after=0").expect(200).json;
    let count = all["items"].as_array().unwrap().len();
    let mut after = json!(0);
    let mut seen = 0;
    loop {
        let page = member.get(&format!("/events?after={after}&limit=1")).expect(200).json;
        seen += page["items"].as_array().unwrap().len();
        after = page["resume_after"].clone();
        if page["more"] == false {
            break;
        }
    }
    assert_eq!(seen, count);
    let newest = member.get("/events?limit=1").expect(200).json;
    assert_eq!(newest["items"][0]["kind"], "host.connected");
}

/// Reads a stream of events up to one of `kind`; gives its id and the kinds on the way.
fn read_until(member: &Member, last_event_id: Option<&str>, kind: &str) -> (String, Vec<String>) {
    let mut request =
        member.request("GET", "/events?after=0").header("accept", "text/event-stream");
    if let Some(id) = last_event_id {
        request = request.header("last-event-id", id);
    }
    let response = request.open(Vec::new());
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["content-type"], "text/event-stream");
    let (mut kinds, mut id) = (Vec::new(), String::new());
    for line in BufReader::new(response.into_body().into_reader()).lines() {
        let line = line.unwrap();
        if let Some(found) = line.strip_prefix("event: ") {
            kinds.push(found.to_owned());
        } else if let Some(found) = line.strip_prefix("id: ") {
            id = found.to_owned();
        } else if line.is_empty() && kinds.last().is_some_and(|last| last == kind) {
            break;
        }
    }
    (id, kinds)
}

#[test]
fn a_stream_of_events_goes_on_as_they_happen_and_resumes_without_gap_or_repeat() {
    let member = Member::start();
    let (id, kinds) = std::thread::scope(|scope| {
        let reader = scope.spawn(|| read_until(&member, None, "host.connected"));
        member.host("h1");
        reader.join().unwrap()
    });
    assert_eq!(
        kinds,
        ["cluster.initialised", "user.created", "token.created", "host.joined", "host.connected"]
    );
    let (_, kinds) = std::thread::scope(|scope| {
        let reader = scope.spawn(|| read_until(&member, Some(&id), "host.cordoned"));
        member.post("/hosts/h1/cordon", json!({ "reason": "fan" })).expect(200);
        reader.join().unwrap()
    });
    assert_eq!(kinds, ["host.cordoned"]);
}
