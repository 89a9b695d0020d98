//! `novacron operation`: long-running requests, each of which ends.

use clap::{Subcommand, ValueEnum};
use novacron_protocol::api::operation::{OperationStatus, OperationView};

use crate::client::Answer;
use crate::failure::Failure;
use crate::invocation::Invocation;
use crate::output::age;
use crate::output::table::{Cell, Fields, Table, Tone};
use crate::{resolve, wait};

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// List operations, newest first
    List {
        /// Only those in this state
        #[arg(long)]
        status: Option<Status>,
    },
    /// Show one operation
    Show {
        /// Id of the operation, or its beginning
        operation: String,
    },
    /// Wait until an operation has ended; fails when it failed
    Wait {
        /// Id of the operation, or its beginning
        operation: String,
    },
    /// Call an operation off; what it has done so far stays
    Cancel {
        /// Id of the operation, or its beginning
        operation: String,
    },
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Status {
    Running,
    Done,
    Failed,
    Cancelled,
}

pub(crate) fn run(invocation: &Invocation, verb: Verb) -> Result<(), Failure> {
    let client = invocation.client()?;
    match verb {
        Verb::List { status } => {
            let query = match status {
                None => "",
                Some(Status::Running) => "?status=running",
                Some(Status::Done) => "?status=done",
                Some(Status::Failed) => "?status=failed",
                Some(Status::Cancelled) => "?status=cancelled",
            };
            let operations = client.list::<OperationView>(&format!("/operations{query}"))?;
            invocation.output.show(&operations.value, || Ok(list(invocation, &operations.view)))
        }
        Verb::Show { operation } => {
            let operation = resolve::find::<OperationView>(&client, &operation)?;
            invocation.output.show(&operation.value, || Ok(show(invocation, &operation.view)))
        }
        Verb::Wait { operation } => {
            let operation = resolve::find::<OperationView>(&client, &operation)?;
            let ended = wait::until_end(&client, operation)?;
            wait::finish(invocation, &ended, |view| Ok(show(invocation, view)))
        }
        Verb::Cancel { operation } => {
            let operation = resolve::find::<OperationView>(&client, &operation)?;
            let target = format!("/operations/{}/cancel", operation.view.id);
            let cancelled: Answer<OperationView> = client.post_empty(&target)?;
            invocation.output.show(&cancelled.value, || Ok(show(invocation, &cancelled.view)))
        }
    }
}

pub(crate) fn tone(status: OperationStatus) -> Tone {
    match status {
        OperationStatus::Running => Tone::Plain,
        OperationStatus::Done => Tone::Good,
        OperationStatus::Failed => Tone::Bad,
        OperationStatus::Cancelled => Tone::Warn,
    }
}

/// What an operation is about, by name while it has one.
fn subject(operation: &OperationView) -> &str {
    operation.subject.name.as_deref().unwrap_or(&operation.subject.id)
}

fn list(invocation: &Invocation, operations: &[OperationView]) -> String {
    let mut table = Table::new(&["ID", "KIND", "OF", "STATUS", "BY", ">AGE", "REASON"]);
    let ids: Vec<String> = operations.iter().map(|operation| operation.id.to_string()).collect();
    for (operation, id) in operations.iter().zip(resolve::short_ids(&ids)) {
        table.row(vec![
            Cell::new(id),
            Cell::new(&operation.kind),
            Cell::new(subject(operation)),
            Cell::toned(operation.status, tone(operation.status)),
            Cell::new(&operation.actor),
            Cell::new(age::since(operation.created_at, invocation.now)),
            Cell::or_dash(operation.reason.as_ref()),
        ]);
    }
    invocation.output.table_or(&table, "no operations")
}

fn show(invocation: &Invocation, operation: &OperationView) -> String {
    let mut fields = Fields::default();
    fields
        .push("id", Cell::new(operation.id))
        .push("kind", Cell::new(&operation.kind))
        .push("of", Cell::new(format!("{} {}", operation.subject.kind, subject(operation))))
        .push("status", Cell::toned(operation.status, tone(operation.status)))
        .push("reason", Cell::or_dash(operation.reason.as_ref()))
        .push("by", Cell::new(&operation.actor))
        .push("created", Cell::new(operation.created_at));
    match operation.finished_at {
        Some(at) => fields.push("finished", Cell::new(at)),
        None => fields.push("ends at", Cell::new(format!("{} at the latest", operation.deadline))),
    };
    invocation.output.fields(&fields)
}
