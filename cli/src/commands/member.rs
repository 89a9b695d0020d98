//! `novacron member`: the servers of the control plane.

mod health;

use clap::Subcommand;
use novacron_protocol::api::member::{MemberRole, MemberView};

use crate::failure::Failure;
use crate::invocation::Invocation;
use crate::output::{age, table::Cell, table::Table, table::Tone};
use crate::resolve;

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// List members
    List,
    /// Ask each member itself how it is, and how far its log is behind
    ///
    /// Ends with 1 when one is silent, knows no leader, or is far behind.
    Health,
    /// Take a member out of the control plane
    ///
    /// The others go on without it, and it is not let in again with its present identity.
    Remove {
        /// Number or name of the member
        member: String,
    },
}

pub(crate) fn run(invocation: &Invocation, verb: Verb) -> Result<(), Failure> {
    let client = invocation.client()?;
    match verb {
        Verb::List => {
            let members = client.list::<MemberView>("/members")?;
            invocation.output.show(&members.value, || Ok(list(invocation, &members.view)))
        }
        Verb::Health => health::run(invocation, &client),
        Verb::Remove { member } => {
            let member = resolve::find::<MemberView>(&client, &member)?;
            client.delete(&format!("/members/{}", member.view.id))?;
            invocation
                .output
                .show(&member.value, || Ok(format!("member {} is removed\n", member.view.name)))
        }
    }
}

fn list(invocation: &Invocation, members: &[MemberView]) -> String {
    let mut table =
        Table::new(&[">ID", "NAME", "ROLE", "LEADER", "API", "CLUSTER ADDRESS", ">AGE"]);
    for member in members {
        let role = match member.role {
            MemberRole::Voter => Tone::Good,
            MemberRole::Joining | MemberRole::Learner | MemberRole::Leaving => Tone::Warn,
        };
        table.row(vec![
            Cell::new(member.id),
            Cell::new(&member.name),
            Cell::toned(member.role, role),
            Cell::or_dash(member.leader.then_some("leader")),
            Cell::new(member.api_address),
            Cell::new(member.cluster_address),
            Cell::new(age::since(member.joined_at, invocation.now)),
        ]);
    }
    invocation.output.table_or(&table, "no members")
}
