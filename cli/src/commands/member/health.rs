//! `novacron member health`: each member's own word on its log, asked of itself.
//!
//! A member that does not answer is told with why, and so is one that is behind: how many entries it
//! lacks of those that any member knows to be committed. Works without a leader.

use std::time::{Duration, Instant};

use novacron_protocol::LogIndex;
use novacron_protocol::api::cluster::ClusterView;
use novacron_protocol::api::member::MemberView;
use serde_json::{Value, json};

use crate::client::{Call, Client, Reply};
use crate::context::Endpoint;
use crate::failure::Failure;
use crate::invocation::Invocation;
use crate::output::table::{Cell, Table, Tone};

/// How long one member may take: who asks for health does not want to wait for the sick.
const PATIENCE: Duration = Duration::from_secs(2);
/// A member may lack so many entries and still be called even: they are on their way.
const BEHIND_MAX: u64 = 1_000;

/// What became of asking one member.
struct Checkup {
    member: MemberView,
    answer: Result<(ClusterView, Duration), String>,
}

pub(super) fn run(invocation: &Invocation, client: &Client) -> Result<(), Failure> {
    let members = client.list::<MemberView>("/members?consistency=stale")?.view;
    let checkups: Vec<Checkup> =
        members.into_iter().map(|member| examine(client, member)).collect();
    let seen = checkups.iter().filter_map(|checkup| checkup.answer.as_ref().ok());
    let committed = seen.map(|(view, _)| view.committed).max().unwrap_or(LogIndex(0));
    let value = Value::Array(checkups.iter().map(|one| one.to_value(committed)).collect());
    invocation.output.show(&value, || Ok(table(invocation, &checkups, committed)))?;
    let is_well = checkups.iter().all(|checkup| checkup.is_well(committed));
    if is_well { Ok(()) } else { Err(Failure::silent()) }
}

fn examine(client: &Client, member: MemberView) -> Checkup {
    let began = Instant::now();
    let answer = format!("https://{}", member.api_address)
        .parse::<Endpoint>()
        .and_then(|endpoint| {
            let client = client.only(&endpoint).with_patience(PATIENCE);
            let reply = client.call(&Call::get("/cluster?consistency=stale"));
            reply.and_then(Reply::json).map_err(|error| error.to_string())
        })
        .map(|answer| (answer.view, began.elapsed()));
    Checkup { member, answer }
}

impl Checkup {
    fn behind(&self, committed: LogIndex) -> Option<u64> {
        let (view, _) = self.answer.as_ref().ok()?;
        Some(committed.0.saturating_sub(view.applied.0))
    }

    fn is_well(&self, committed: LogIndex) -> bool {
        let has_leader = self.answer.as_ref().is_ok_and(|(view, _)| view.leader.is_some());
        has_leader && self.behind(committed).is_some_and(|behind| behind <= BEHIND_MAX)
    }

    fn to_value(&self, committed: LogIndex) -> Value {
        let view = self.answer.as_ref().ok().map(|(view, _)| view);
        json!({
            "member": { "id": self.member.id, "name": self.member.name },
            "role": self.member.role,
            "healthy": self.is_well(committed),
            "leader": view.and_then(|view| view.leader.as_ref()),
            "term": view.map(|view| view.term),
            "applied": view.map(|view| view.applied),
            "behind": self.behind(committed),
            "version": view.map(|view| &view.version),
            "error": self.answer.as_ref().err(),
        })
    }
}

fn table(invocation: &Invocation, checkups: &[Checkup], committed: LogIndex) -> String {
    let mut table =
        Table::new(&[">ID", "NAME", "ROLE", "HEALTH", "FOLLOWS", ">TERM", ">APPLIED", ">BEHIND"]);
    for checkup in checkups {
        let view = checkup.answer.as_ref().ok().map(|(view, _)| view);
        let leader = view.and_then(|view| view.leader.as_ref());
        let health = match &checkup.answer {
            Err(_) => Cell::toned("silent", Tone::Bad),
            Ok(_) if leader.is_none() => Cell::toned("no leader", Tone::Bad),
            Ok(_) if checkup.is_well(committed) => Cell::toned("well", Tone::Good),
            Ok(_) => Cell::toned("behind", Tone::Warn),
        };
        table.row(vec![
            Cell::new(checkup.member.id),
            Cell::new(&checkup.member.name),
            Cell::new(checkup.member.role),
            health,
            Cell::or_dash(leader.map(|leader| &leader.name)),
            Cell::or_dash(view.map(|view| view.term)),
            Cell::or_dash(view.map(|view| view.applied)),
            Cell::or_dash(checkup.behind(committed)),
        ]);
    }
    invocation.output.table_or(&table, "no members")
}
