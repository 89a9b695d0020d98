//! VMs as people read them.

use novacron_protocol::Name;
use novacron_protocol::api::vm::{
    Explanation, HostVerdict, ObservedView, VmDryRun, VmStatus, VmView,
};

use crate::invocation::Invocation;
use crate::output::age;
use crate::output::sanitize::one_line;
use crate::output::table::{Cell, Fields, Table, Tone};
use crate::resolve;

fn tone(status: VmStatus) -> Tone {
    match status {
        VmStatus::Running => Tone::Good,
        VmStatus::Failed => Tone::Bad,
        VmStatus::Unknown | VmStatus::Pending => Tone::Warn,
        VmStatus::Stopped => Tone::Dim,
        VmStatus::Placed
        | VmStatus::Preparing
        | VmStatus::Paused
        | VmStatus::Stopping
        | VmStatus::Deleting => Tone::Plain,
    }
}

/// Why it is as it is, where somebody said so.
fn reason(vm: &VmView) -> Option<&str> {
    match &vm.observed {
        ObservedView::Known { reason, .. } => reason.as_deref(),
        ObservedView::Absent | ObservedView::Unknown { .. } => None,
    }
}

fn host(vm: &VmView) -> Option<&Name> {
    vm.host.as_ref().map(|host| &host.name)
}

pub(super) fn list(invocation: &Invocation, vms: &[VmView]) -> String {
    let mut table =
        Table::new(&["NAME", "STATE", "HOST", ">CPUS", ">MEMORY", ">DISK", ">AGE", "ID"]);
    let ids: Vec<String> = vms.iter().map(|vm| vm.id.to_string()).collect();
    for (vm, id) in vms.iter().zip(resolve::short_ids(&ids)) {
        table.row(vec![
            Cell::new(&vm.name),
            Cell::toned(vm.state, tone(vm.state)),
            Cell::or_dash(host(vm)),
            Cell::new(vm.spec.cpus),
            Cell::new(vm.spec.memory),
            Cell::or_dash(vm.spec.disk),
            Cell::new(age::since(vm.created_at, invocation.now)),
            Cell::dim(id),
        ]);
    }
    invocation.output.table_or(&table, "no VMs; `novacron vm create NAME --image IMAGE` makes one")
}

pub(super) fn show(invocation: &Invocation, vm: &VmView) -> String {
    let mut fields = Fields::default();
    let seen = match &vm.observed {
        ObservedView::Absent => "nothing on any host".to_owned(),
        ObservedView::Known { state, at, .. } => {
            format!("{state}, {} ago", age::since(*at, invocation.now))
        }
        ObservedView::Unknown { since, last } => {
            let last = last.map_or("never seen".to_owned(), |state| format!("last {state}"));
            format!("not heard for {}, {last}", age::since(*since, invocation.now))
        }
    };
    fields
        .push("name", Cell::new(&vm.name))
        .push("id", Cell::new(vm.id))
        .push("state", Cell::toned(vm.state, tone(vm.state)))
        .push("reason", Cell::or_dash(reason(vm)))
        .push("should be", Cell::new(vm.target))
        .push("seen", Cell::new(seen))
        .push("host", Cell::or_dash(host(vm)))
        .push("cpus", Cell::new(vm.spec.cpus))
        .push("memory", Cell::new(vm.spec.memory))
        .push("disk", Cell::new(vm.spec.disk.map_or("as the image".to_owned(), |d| d.to_string())))
        .push("image", Cell::new(vm.spec.image))
        .push("labels", Cell::or_dash(Some(&vm.spec.labels)))
        .push("host labels", Cell::or_dash(Some(&vm.spec.host_labels)))
        .push("created", Cell::new(vm.created_at));
    if let Some(operation) = &vm.operation {
        fields.push("operation", Cell::new(format!("{} {}", operation.kind, operation.id)));
    }
    invocation.output.fields(&fields)
}

/// How a VM is, in a sentence.
pub(super) fn sentence(vm: &VmView) -> String {
    match (&vm.host, vm.state) {
        (Some(host), state) => format!("{} is {state} on {}", vm.name, host.name),
        (None, state) => format!("{} is {state}", vm.name),
    }
}

pub(super) fn explain(invocation: &Invocation, name: &Name, explanation: &Explanation) -> String {
    let summary = one_line(&explanation.summary);
    format!("{name}: {summary}\n\n{}", verdicts(invocation, explanation))
}

pub(super) fn dry_run(invocation: &Invocation, name: &Name, run: &VmDryRun) -> String {
    let summary = one_line(&run.explanation.summary);
    format!("{name} (dry run): {summary}\n\n{}", verdicts(invocation, &run.explanation))
}

/// Each host with its score, and below it what speaks for or against it.
fn verdicts(invocation: &Invocation, explanation: &Explanation) -> String {
    let mut table = Table::new(&["HOST", ">SCORE", "VERDICT"]);
    for verdict in &explanation.hosts {
        let score = match verdict.score {
            Some(score) => Cell::toned(score, Tone::Good),
            None => Cell::toned("no", Tone::Bad),
        };
        table.row(vec![Cell::new(&verdict.host.name), score, Cell::new(&verdict.sentence)]);
        for reason in reasons(verdict) {
            table.row(vec![Cell::new(""), Cell::new(""), Cell::dim(format!("  {reason}"))]);
        }
    }
    let all = explanation.feasible + explanation.infeasible;
    let shown = explanation.hosts.len();
    let counts = format!("{} of {all} hosts could take it", explanation.feasible);
    let more =
        if (shown as u64) < u64::from(all) { format!("; {shown} shown") } else { String::new() };
    format!("{}{counts}{more}\n", invocation.output.table_or(&table, "no hosts have joined"))
}

/// What the verdict's sentence does not say already.
fn reasons(verdict: &HostVerdict) -> Vec<String> {
    let is_new = |text: &str| !verdict.sentence.contains(text);
    let parts = verdict.parts.iter().filter(|part| is_new(&part.text));
    let parts = parts
        .map(|part| format!("+ {} {} x {}: {}", part.name, part.permille, part.weight, part.text));
    let against = verdict.against.iter().filter(|reason| is_new(reason));
    parts.chain(against.map(|reason| format!("- {reason}"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::fixture::invocation;
    use serde_json::json;

    fn vm(name: &str, state: &str, host: Option<&str>, id: u32) -> VmView {
        let host_ref = host.map(|name| json!({ "id": format!("0192ab{id:02}-0000-7000-8000-000000000000"), "name": name }));
        serde_json::from_value(json!({
            "id": format!("0192ab{id:02}-0000-7000-8000-000000000000"),
            "name": name,
            "spec": { "cpus": 2, "memory": 536_870_912_u64, "image": "ab".repeat(32), "labels": { "tier": "web" } },
            "target": "running",
            "host": host_ref,
            "observed": { "kind": "known", "state": "failed", "at": "2026-11-21T08:39:01.000Z", "reason": "no space left" },
            "state": state,
            "operation": null,
            "created_at": "2026-11-21T08:37:00.000Z",
            "etag": 7,
            "newer_field": true,
        }))
        .unwrap()
    }

    #[test]
    fn a_list_has_states_sizes_and_ages() {
        let vms = [vm("web1", "running", Some("h1"), 1), vm("db", "pending", None, 2)];
        insta::assert_snapshot!(list(&invocation(), &vms), @r"
        NAME  STATE    HOST  CPUS   MEMORY  DISK  AGE  ID
        web1  running  h1       2  512 MiB     -   3m  0192ab01
        db    pending  -        2  512 MiB     -   3m  0192ab02
        ");
    }

    #[test]
    fn a_vm_is_shown_with_the_reason_for_its_state() {
        insta::assert_snapshot!(show(&invocation(), &vm("web1", "failed", Some("h1"), 1)), @r"
        name:         web1
        id:           0192ab01-0000-7000-8000-000000000000
        state:        failed
        reason:       no space left
        should be:    running
        seen:         failed, 1m ago
        host:         h1
        cpus:         2
        memory:       512 MiB
        disk:         as the image
        image:        abababababababababababababababababababababababababababababababab
        labels:       tier=web
        host labels:  -
        created:      2026-11-21T08:37:00.000Z
        ");
        assert_eq!(sentence(&vm("web1", "running", Some("h1"), 1)), "web1 is running on h1");
    }

    #[test]
    fn an_explanation_has_reasons_for_and_against_each_host() {
        let host =
            |name: &str| json!({ "id": "0192ab00-0000-7000-8000-000000000009", "name": name });
        let explanation: Explanation = serde_json::from_value(json!({
            "placed_on": host("h2"),
            "summary": "h2 has the most room",
            "hosts": [
                { "host": host("h2"), "score": 730, "sentence": "fits with half its memory free",
                  "parts": [{ "name": "memory", "permille": 500, "weight": 2, "text": "8 GiB of 16 GiB free" }] },
                { "host": host("h1"), "score": null, "sentence": "cannot take it",
                  "against": ["it is cordoned: new disks", "it lacks the label zone=x"] },
            ],
            "feasible": 1, "infeasible": 4,
        }))
        .unwrap();
        let name: Name = "web1".parse().unwrap();
        insta::assert_snapshot!(explain(&invocation(), &name, &explanation), @r"
        web1: h2 has the most room

        HOST  SCORE  VERDICT
        h2      730  fits with half its memory free
                       + memory 500 x 2: 8 GiB of 16 GiB free
        h1       no  cannot take it
                       - it is cordoned: new disks
                       - it lacks the label zone=x
        1 of 5 hosts could take it; 2 shown
        ");
    }
}
