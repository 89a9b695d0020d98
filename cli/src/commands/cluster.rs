//! `novacron cluster`: the first thing to look at.

use std::time::Duration;

use clap::Subcommand;
use novacron_protocol::api::ProblemCode;
use novacron_protocol::api::cluster::{ClusterCounts, ClusterView};
use novacron_protocol::api::member::{MemberRole, MemberView};
use serde_json::json;

use crate::client::{Answer, Client, ClientError};
use crate::context::{self, Endpoint};
use crate::failure::Failure;
use crate::invocation::Invocation;
use crate::output::table::{Cell, Fields, Tone};
use crate::output::{self, age};

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Show how the cluster is, on one screen
    Status,
    /// List the members' API endpoints, one a line
    #[command(after_help = "The context file that `init` writes names the first member only.
With --save the command finds another member when that one is lost.")]
    Endpoints {
        /// Add those that are missing to the context file
        #[arg(long)]
        save: bool,
    },
}

pub(crate) fn run(invocation: &Invocation, verb: Verb) -> Result<(), Failure> {
    match verb {
        Verb::Status => run_status(invocation),
        Verb::Endpoints { save } => run_endpoints(invocation, save),
    }
}

fn run_endpoints(invocation: &Invocation, save: bool) -> Result<(), Failure> {
    let members = invocation.client()?.list::<MemberView>("/members")?;
    let endpoints = endpoints(&members.view);
    let list: String = endpoints.iter().map(|endpoint| format!("{endpoint}\n")).collect();
    invocation.output.show(&json!(list.lines().collect::<Vec<_>>()), || Ok(list.clone()))?;
    if save {
        let path = invocation.context_path()?;
        let added = context::endpoints::add(&path, &endpoints)?;
        output::note(&format!("{} endpoint(s) added to {}", added.len(), path.display()));
    }
    Ok(())
}

/// Where clients reach the members; not one that is on its way in or out.
pub(crate) fn endpoints(members: &[MemberView]) -> Vec<Endpoint> {
    let settled = members
        .iter()
        .filter(|member| matches!(member.role, MemberRole::Voter | MemberRole::Learner));
    settled.map(|member| Endpoint::of(member.api_address)).collect()
}

fn run_status(invocation: &Invocation) -> Result<(), Failure> {
    let client = invocation.client()?.with_patience(Duration::ZERO);
    let (cluster, members) = match view(&client, "") {
        // The first screen must come up above all when there is no leader.
        Err(error) if error.is(ProblemCode::Unavailable) => {
            output::note(&format!("{error}; this is what one member knows"));
            view(&client, "?consistency=stale")?
        }
        answer => answer?,
    };
    let value = {
        let mut value = cluster.value;
        value["members"] = members.value;
        value
    };
    invocation.output.show(&value, || Ok(status(invocation, &cluster.view, &members.view)))
}

fn view(
    client: &Client,
    query: &str,
) -> Result<(Answer<ClusterView>, Answer<Vec<MemberView>>), ClientError> {
    let cluster = client.get(&format!("/cluster{query}"))?;
    Ok((cluster, client.list(&format!("/members{query}"))?))
}

fn status(invocation: &Invocation, cluster: &ClusterView, members: &[MemberView]) -> String {
    let mut fields = Fields::default();
    let leader = match &cluster.leader {
        Some(leader) => Cell::toned(format!("{} (term {})", leader.name, cluster.term), Tone::Good),
        None => Cell::toned("none: nothing can be changed now", Tone::Bad),
    };
    let counts = cluster.counts;
    let created = age::since(cluster.created_at, invocation.now);
    let log = format!(
        "{} committed, {} applied on {}",
        cluster.committed, cluster.applied, cluster.member.name
    );
    fields
        .push("cluster", Cell::new(format!("{}, {created} old, {}", cluster.name, cluster.id)))
        .push("leader", leader)
        .push("members", member_cell(&counts, members))
        .push("hosts", out_of(counts.hosts_connected, counts.hosts, "connected"))
        .push("VMs", out_of(counts.vms_running, counts.vms, "running"))
        .push("images", Cell::new(counts.images))
        .push("operations", Cell::new(format!("{} open", counts.operations_open)))
        .push("log", Cell::new(log))
        .push("release", Cell::new(&cluster.version));
    invocation.output.fields(&fields)
}

/// `2 of 3 voters (m1, m2; m3 is learner), survives the loss of 0`.
fn member_cell(counts: &ClusterCounts, members: &[MemberView]) -> Cell {
    let name = |member: &MemberView| match member.role {
        MemberRole::Voter => member.name.to_string(),
        role => format!("{} is {role}", member.name),
    };
    let names: Vec<String> = members.iter().map(name).collect();
    let spare = counts.voters.saturating_sub(1) / 2;
    let text = format!(
        "{} of {} vote ({}); the loss of {spare} is survived",
        counts.voters,
        counts.members,
        names.join(", ")
    );
    Cell::toned(text, if counts.voters == counts.members { Tone::Good } else { Tone::Warn })
}

fn out_of(count: u32, all: u32, what: &str) -> Cell {
    let tone = if count == all { Tone::Good } else { Tone::Warn };
    match all {
        0 => Cell::dim("none"),
        _ => Cell::toned(format!("{count} of {all} {what}"), tone),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::fixture::invocation;

    #[test]
    fn the_first_screen_tells_leader_members_hosts_and_vms() {
        let cluster: ClusterView = serde_json::from_value(json!({
            "id": "0192ab00-0000-7000-8000-000000000001", "name": "lab",
            "created_at": "2026-11-20T08:40:01.000Z",
            "leader": { "id": 2, "name": "m2" }, "term": 4, "member": { "id": 1, "name": "m1" },
            "committed": 120, "applied": 119,
            "counts": { "members": 3, "voters": 2, "hosts": 3, "hosts_connected": 3, "vms": 6,
                        "vms_running": 5, "images": 1, "operations_open": 0 },
            "version": "0.1.0",
        }))
        .unwrap();
        let member = |id: u32, role: &str| -> MemberView {
            serde_json::from_value(json!({
                "id": id, "name": format!("m{id}"), "role": role, "leader": id == 2,
                "cluster_address": "10.0.0.1:7410", "api_address": "10.0.0.1:7411",
                "joined_at": "2026-11-20T08:40:01.000Z",
            }))
            .unwrap()
        };
        let members = [member(1, "voter"), member(2, "voter"), member(3, "learner")];
        insta::assert_snapshot!(status(&invocation(), &cluster, &members), @r"
        cluster:     lab, 1d old, 0192ab00-0000-7000-8000-000000000001
        leader:      m2 (term 4)
        members:     2 of 3 vote (m1, m2, m3 is learner); the loss of 0 is survived
        hosts:       3 of 3 connected
        VMs:         5 of 6 running
        images:      1
        operations:  0 open
        log:         120 committed, 119 applied on m1
        release:     0.1.0
        ");
        let urls: Vec<String> =
            endpoints(&[member(1, "voter"), member(2, "leaving"), member(3, "learner")])
                .iter()
                .map(ToString::to_string)
                .collect();
        assert_eq!(urls, ["https://10.0.0.1:7411"; 2], "one on its way out is not dialled");
        let lost = ClusterView { leader: None, ..cluster };
        assert!(status(&invocation(), &lost, &members).contains("leader:      none"));
    }
}
