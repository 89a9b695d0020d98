//! What the doctor thinks of what it saw. Pure: from answers to verdicts.

use std::collections::BTreeSet;

use novacron_protocol::api::cluster::ClusterView;
use novacron_protocol::api::host::HostView;
use novacron_protocol::api::image::ImageView;
use novacron_protocol::api::member::{MemberRole, MemberView};
use novacron_protocol::host::Connectivity;
use serde_json::{Value, json};

use crate::commands::cluster;
use crate::context::Endpoint;
use crate::failure::Failure;
use crate::output::sanitize::one_line;
use crate::output::table::{Colour, Tone};

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Verdict {
    check: &'static str,
    grade: Grade,
    text: String,
    hint: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Grade {
    Ok,
    Warn,
    Fail,
}

/// All verdicts, in the order in which the things depend on one another.
#[derive(Debug, Default)]
pub(super) struct Report {
    verdicts: Vec<Verdict>,
}

/// Difference of clocks above which logs and certificates become confusing.
const CLOCK_APART_MAX_MS: u64 = 5_000;
/// Most names that a sentence lists.
const NAMES_MAX: usize = 5;

impl Grade {
    fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "fail",
        }
    }

    fn tone(self) -> Tone {
        match self {
            Self::Ok => Tone::Good,
            Self::Warn => Tone::Warn,
            Self::Fail => Tone::Bad,
        }
    }
}

impl Verdict {
    pub(super) fn ok(check: &'static str, text: impl Into<String>) -> Self {
        Self { check, grade: Grade::Ok, text: text.into(), hint: None }
    }

    pub(super) fn warn(check: &'static str, text: String, hint: impl Into<String>) -> Self {
        Self { check, grade: Grade::Warn, text, hint: Some(hint.into()) }
    }

    pub(super) fn fail(check: &'static str, text: String, hint: Option<&str>) -> Self {
        Self { check, grade: Grade::Fail, text, hint: hint.map(str::to_owned) }
    }

    pub(super) fn failure(check: &'static str, failure: Failure) -> Self {
        let hint = failure.hint_text().map(str::to_owned);
        Self { check, grade: Grade::Fail, text: failure.to_string(), hint }
    }

    fn render(&self, colour: Colour) -> String {
        let grade = self.grade.tone().paint(&format!("{:<4}", self.grade.as_str()), colour);
        let line = format!("{grade}  {:<9} {}\n", self.check, one_line(&self.text));
        match &self.hint {
            Some(hint) => format!("{line}      {:<9} hint: {}\n", "", one_line(hint)),
            None => line,
        }
    }
}

impl Report {
    pub(super) fn push(&mut self, verdict: Verdict) {
        self.verdicts.push(verdict);
    }

    pub(super) fn extend(&mut self, verdicts: Vec<Verdict>) {
        self.verdicts.extend(verdicts);
    }

    pub(super) fn has_failed(&self) -> bool {
        self.verdicts.iter().any(|verdict| verdict.grade == Grade::Fail)
    }

    pub(super) fn to_value(&self) -> Value {
        let value = |verdict: &Verdict| {
            json!({
                "check": verdict.check,
                "grade": verdict.grade.as_str(),
                "text": verdict.text,
                "hint": verdict.hint,
            })
        };
        self.verdicts.iter().map(value).collect()
    }

    pub(super) fn render(&self, colour: Colour) -> String {
        let lines: String = self.verdicts.iter().map(|verdict| verdict.render(colour)).collect();
        let count = |grade| self.verdicts.iter().filter(|verdict| verdict.grade == grade).count();
        let summary = match (count(Grade::Fail), count(Grade::Warn)) {
            (0, 0) => "everything is well".to_owned(),
            (0, warnings) => format!("it works; worth a look: {warnings}"),
            (failures, warnings) => format!("failed: {failures}, worth a look: {warnings}"),
        };
        format!("{lines}\n{summary}\n")
    }
}

/// `a, b, c and 4 more`.
fn names(names: impl IntoIterator<Item = String>) -> String {
    let names: Vec<String> = names.into_iter().collect();
    let shown = names.iter().take(NAMES_MAX).cloned().collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(NAMES_MAX) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

pub(super) fn endpoint(endpoint: &Endpoint, cluster: &ClusterView, ahead_ms: i64) -> Verdict {
    let member = &cluster.member.name;
    if ahead_ms.unsigned_abs() > CLOCK_APART_MAX_MS {
        let seconds = ahead_ms.unsigned_abs() / 1000;
        let way = if ahead_ms > 0 { "ahead of" } else { "behind" };
        return Verdict::warn(
            "endpoint",
            format!("{endpoint} is {member}, whose clock is {seconds} s {way} this machine's"),
            "let NTP set both: certificates and ages depend on it",
        );
    }
    let text = format!("{endpoint} is {member} of {}, release {}", cluster.name, cluster.version);
    Verdict::ok("endpoint", text)
}

/// One leader that all who answered agree on.
pub(super) fn leader(clusters: &[&ClusterView]) -> Verdict {
    let ids: BTreeSet<_> = clusters.iter().map(|cluster| cluster.id).collect();
    if ids.len() > 1 {
        return Verdict::fail(
            "leader",
            "the endpoints are of different clusters".to_owned(),
            Some("keep one cluster's endpoints in one context file"),
        );
    }
    let known: Vec<_> = clusters.iter().filter_map(|cluster| cluster.leader.as_ref()).collect();
    let Some(first) = known.first() else {
        return Verdict::fail(
            "leader",
            "no member that answers knows a leader: nothing can be changed".to_owned(),
            Some("a majority of the members must run and reach each other over UDP"),
        );
    };
    let agree = known.len() == clusters.len() && known.iter().all(|leader| leader.id == first.id);
    match agree {
        true => Verdict::ok("leader", format!("{} leads, as all who answer say", first.name)),
        false => Verdict::warn(
            "leader",
            format!("{} leads, but not all who answer know it", first.name),
            "an election may be under way: look again in a few seconds",
        ),
    }
}

pub(super) fn members(members: &[MemberView]) -> Vec<Verdict> {
    let voters = members.iter().filter(|member| member.role == MemberRole::Voter).count();
    let others = members.iter().filter(|member| member.role != MemberRole::Voter);
    let others: Vec<String> =
        others.map(|member| format!("{} is {}", member.name, member.role)).collect();
    let mut verdicts = Vec::new();
    if others.is_empty() {
        verdicts.push(Verdict::ok("members", format!("all {voters} members vote")));
    } else {
        let text = format!("{voters} of {} members vote; {}", members.len(), names(others));
        let hint = "a learner votes once it has caught up: is its novacron-controlplane running?";
        verdicts.push(Verdict::warn("members", text, hint));
    }
    if voters < 3 {
        let text = format!("with {voters} voter(s) no loss of a member is survived");
        let hint = "`novacron token create --role member`, and join two more";
        verdicts.push(Verdict::warn("members", text, hint));
    }
    verdicts
}

/// Whether the context file has an endpoint for every member, to go on with when one is lost.
pub(super) fn coverage(members: &[MemberView], endpoints: &[Endpoint]) -> Verdict {
    let all = cluster::endpoints(members);
    if endpoints.len() >= all.len() || all.iter().all(|endpoint| endpoints.contains(endpoint)) {
        return Verdict::ok("failover", "the context file has an endpoint for each member");
    }
    Verdict::warn(
        "failover",
        format!("the context file has {} endpoint(s) for {} members", endpoints.len(), all.len()),
        "`novacron cluster endpoints --save` adds those that are missing",
    )
}

pub(super) fn hosts(hosts: &[HostView]) -> Vec<Verdict> {
    if hosts.is_empty() {
        let hint = "`novacron token create --role host`, then `novacron-agent join` on the host";
        return vec![Verdict::warn("hosts", "no host has joined".to_owned(), hint)];
    }
    let in_state = |wanted: &[Connectivity], name: &dyn Fn(&HostView) -> String| -> Vec<String> {
        hosts.iter().filter(|host| wanted.contains(&host.connectivity)).map(name).collect()
    };
    let mut verdicts = Vec::new();
    let down = in_state(&[Connectivity::Down], &|host| host.name.to_string());
    let silent = in_state(&[Connectivity::Joining, Connectivity::Disconnected], &|host| {
        format!("{} ({})", host.name, host.connectivity)
    });
    if !down.is_empty() {
        let text = format!("{} of {} hosts are down: {}", down.len(), hosts.len(), names(down));
        verdicts.push(Verdict::fail("hosts", text, Some("bring them back, or remove them")));
    }
    if !silent.is_empty() {
        let text = format!(
            "{} of {} hosts are not heard: {}; their VMs may well run on",
            silent.len(),
            hosts.len(),
            names(silent)
        );
        let hint = "is novacron-agent running there, and can it reach the members over UDP?";
        verdicts.push(Verdict::warn("hosts", text, hint));
    }
    if verdicts.is_empty() {
        verdicts.push(Verdict::ok("hosts", format!("all {} hosts are connected", hosts.len())));
    }
    let cordoned = hosts.iter().filter(|host| host.cordon.is_some());
    let cordoned: Vec<String> = cordoned.map(|host| host.name.to_string()).collect();
    if cordoned.len() == hosts.len() {
        let text = "every host is cordoned: new VMs have no place".to_owned();
        verdicts.push(Verdict::warn("hosts", text, "`novacron host uncordon NAME`"));
    }
    verdicts
}

pub(super) fn images(images: &[ImageView]) -> Verdict {
    let unsafe_ones = images.iter().filter(|image| !image.safe);
    let unsafe_ones: Vec<String> = unsafe_ones.map(|image| image.name.to_string()).collect();
    match (images.len(), unsafe_ones.len()) {
        (0, _) => Verdict::ok("images", "there are none"),
        (all, 0) => Verdict::ok("images", format!("a majority of members holds each of {all}")),
        (all, count) => Verdict::warn(
            "images",
            format!("no majority of members holds {count} of {all}: {}", names(unsafe_ones)),
            "members copy them from each other: look again, and at their disk space",
        ),
    }
}

/// Whether members, agents and this command are of one release.
pub(super) fn releases(clusters: &[&ClusterView], hosts: &[HostView]) -> Verdict {
    let own = env!("CARGO_PKG_VERSION");
    let members = clusters.iter().map(|cluster| cluster.version.clone());
    let agents = hosts.iter().filter_map(|host| host.agent_version.clone());
    let others: BTreeSet<String> = members.chain(agents).filter(|version| version != own).collect();
    match others.is_empty() {
        true => Verdict::ok("releases", format!("everything is of release {own}")),
        false => Verdict::warn(
            "releases",
            format!("this command is of release {own}, others are of {}", names(others)),
            "an upgrade may be under way; neighbouring releases work together",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cluster(leader: Option<u32>, version: &str) -> ClusterView {
        serde_json::from_value(json!({
            "id": "0192ab00-0000-7000-8000-000000000001", "name": "lab",
            "created_at": "2026-11-20T08:40:01.000Z",
            "leader": leader.map(|id| json!({ "id": id, "name": format!("m{id}") })),
            "term": 4, "member": { "id": 1, "name": "m1" }, "committed": 120, "applied": 119,
            "counts": { "members": 3, "voters": 2, "hosts": 3, "hosts_connected": 3, "vms": 6,
                        "vms_running": 5, "images": 1, "operations_open": 0 },
            "version": version,
        }))
        .unwrap()
    }

    fn member(id: u32, role: &str) -> MemberView {
        serde_json::from_value(json!({
            "id": id, "name": format!("m{id}"), "role": role, "leader": id == 1,
            "cluster_address": "10.0.0.1:7410", "api_address": format!("10.0.0.{id}:7411"),
            "joined_at": "2026-11-20T08:40:01.000Z",
        }))
        .unwrap()
    }

    fn host(id: u32, connectivity: &str, cordon: Option<&str>) -> HostView {
        let amounts = json!({ "cpus": 1, "memory": 1, "disk": 1 });
        serde_json::from_value(json!({
            "id": format!("0192ab00-0000-7000-8000-0000000000{id:02}"), "name": format!("h{id}"),
            "connectivity": connectivity, "connectivity_since": "2026-11-21T08:37:00.000Z",
            "cordon": cordon, "agent_version": "0.0.9", "hypervisor": null, "capacity": null,
            "allocated": amounts, "free": amounts, "labels": {}, "vms": 0,
            "joined_at": "2026-11-20T08:37:00.000Z", "etag": 1,
        }))
        .unwrap()
    }

    fn render(verdicts: Vec<Verdict>) -> String {
        let mut report = Report::default();
        report.extend(verdicts);
        report.render(Colour::Never)
    }

    #[test]
    fn a_healthy_cluster_reads_so() {
        let own = cluster(Some(1), env!("CARGO_PKG_VERSION"));
        let url: Endpoint = "https://10.0.0.1:7411".parse().unwrap();
        let three = [member(1, "voter"), member(2, "voter"), member(3, "voter")];
        let mut verdicts = vec![endpoint(&url, &own, -900), leader(&[&own, &own])];
        verdicts.extend(members(&three));
        verdicts.push(releases(&[&own], &[]));
        assert!(verdicts.iter().all(|verdict| verdict.grade == Grade::Ok), "{verdicts:?}");
        assert!(render(verdicts).ends_with("\neverything is well\n"));
    }

    #[test]
    fn every_trouble_has_words_and_a_hint() {
        let own = cluster(Some(1), "0.0.8");
        let lost = cluster(None, "0.0.8");
        let url: Endpoint = "https://10.0.0.1:7411".parse().unwrap();
        let two = [member(1, "voter"), member(2, "learner")];
        let mut verdicts = vec![
            endpoint(&url, &own, 61_000),
            endpoint(&url, &own, -7_000),
            leader(&[&own, &lost]),
            leader(&[&lost]),
            coverage(&two, std::slice::from_ref(&url)),
            releases(&[&own], &[host(1, "connected", None)]),
        ];
        verdicts.extend(members(&two));
        verdicts.extend(hosts(&[]));
        verdicts.extend(hosts(&[
            host(1, "down", Some("x")),
            host(2, "disconnected", Some("x")),
            host(3, "joining", Some("x")),
        ]));
        assert!(verdicts.iter().all(|verdict| verdict.hint.is_some()), "{verdicts:?}");
        let text = render(verdicts).replace(env!("CARGO_PKG_VERSION"), "[release]");
        insta::assert_snapshot!(text, @r#"
        warn  endpoint  https://10.0.0.1:7411 is m1, whose clock is 61 s ahead of this machine's
                        hint: let NTP set both: certificates and ages depend on it
        warn  endpoint  https://10.0.0.1:7411 is m1, whose clock is 7 s behind this machine's
                        hint: let NTP set both: certificates and ages depend on it
        warn  leader    m1 leads, but not all who answer know it
                        hint: an election may be under way: look again in a few seconds
        fail  leader    no member that answers knows a leader: nothing can be changed
                        hint: a majority of the members must run and reach each other over UDP
        warn  failover  the context file has 1 endpoint(s) for 2 members
                        hint: `novacron cluster endpoints --save` adds those that are missing
        warn  releases  this command is of release [release], others are of 0.0.8, 0.0.9
                        hint: an upgrade may be under way; neighbouring releases work together
        warn  members   1 of 2 members vote; m2 is learner
                        hint: a learner votes once it has caught up: is its novacron-controlplane running?
        warn  members   with 1 voter(s) no loss of a member is survived
                        hint: `novacron token create --role member`, and join two more
        warn  hosts     no host has joined
                        hint: `novacron token create --role host`, then `novacron-agent join` on the host
        fail  hosts     1 of 3 hosts are down: h1
                        hint: bring them back, or remove them
        warn  hosts     2 of 3 hosts are not heard: h2 (disconnected), h3 (joining); their VMs may well run on
                        hint: is novacron-agent running there, and can it reach the members over UDP?
        warn  hosts     every host is cordoned: new VMs have no place
                        hint: `novacron host uncordon NAME`

        failed: 2, worth a look: 10
        "#);
    }

    #[test]
    fn only_a_failure_fails() {
        let mut report = Report::default();
        report.push(Verdict::warn("x", String::new(), ""));
        assert!(!report.has_failed());
        report.push(Verdict::fail("x", String::new(), None));
        assert!(report.has_failed());
        assert_eq!(report.to_value()[1]["grade"], "fail");
    }

    #[test]
    fn long_lists_of_names_are_cut() {
        let many = (1..=7).map(|id| format!("h{id}"));
        assert_eq!(names(many), "h1, h2, h3, h4, h5 and 2 more");
    }
}
