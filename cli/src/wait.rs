//! Long work: see an operation through to its end, or leave it with `--detach`.

use std::time::Duration;

use novacron_protocol::api::operation::{OperationStatus, OperationView};
use serde_json::Value;

use crate::client::{Answer, Call, Client};
use crate::failure::Failure;
use crate::interrupt::Parting;
use crate::invocation::Invocation;
use crate::progress::Progress;

/// How a command that starts long work ends.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct Detach {
    /// Print the operation's id and do not wait for its end
    #[arg(long)]
    detach: bool,
}

/// How long one long poll waits, so that what an operation waits for is seen to change.
const POLL_WAIT: Duration = Duration::from_secs(2);

/// Waits for the end of `operation`, unless detached, and prints it; `done` is for people.
pub(crate) fn conclude(
    invocation: &Invocation,
    client: &Client,
    operation: Answer<OperationView>,
    detach: Detach,
    done: impl FnOnce(&OperationView) -> Result<String, Failure>,
) -> Result<(), Failure> {
    if detach.detach {
        let id = operation.view.id;
        return invocation.output.show(&operation.value, || Ok(format!("{id}\n")));
    }
    let ended = until_end(client, operation)?;
    finish(invocation, &ended, done)
}

/// Prints an operation that has ended; one that was not done is a failure.
pub(crate) fn finish(
    invocation: &Invocation,
    ended: &Answer<OperationView>,
    done: impl FnOnce(&OperationView) -> Result<String, Failure>,
) -> Result<(), Failure> {
    let view = &ended.view;
    if view.status == OperationStatus::Done {
        return invocation.output.show(&ended.value, || done(view));
    }
    invocation.output.show(&ended.value, || Ok(String::new()))?;
    let reason = view.reason.as_deref().unwrap_or("no reason is given");
    let ending = match view.status {
        OperationStatus::Cancelled => "was cancelled",
        _ => "failed",
    };
    let failure = Failure::new(format!("{} {ending}: {reason}", title(view)));
    Err(match (view.subject.kind.as_str(), view.subject.name.as_deref()) {
        ("vm", Some(name)) if view.kind == "create-vm" => {
            failure.hint(format!("`novacron vm explain {name}` shows what each host says to it"))
        }
        ("vm", Some(name)) => failure.hint(format!("`novacron vm show {name}` shows how it is")),
        _ => failure.hint(format!("`novacron operation show {}` shows the whole", view.id)),
    })
}

/// Long polls until the operation has ended.
pub(crate) fn until_end(
    client: &Client,
    mut operation: Answer<OperationView>,
) -> Result<Answer<OperationView>, Failure> {
    let id = operation.view.id;
    let _parting = Parting::say(format!(
        "operation {id} goes on; `novacron operation wait {id}` waits for its end, \
         `novacron operation cancel {id}` calls it off"
    ));
    let progress = Progress::start();
    while operation.view.status == OperationStatus::Running {
        progress.set(title(&operation.view), operation.view.reason.clone().unwrap_or_default());
        let target = format!("/operations/{id}?wait_ms={}", POLL_WAIT.as_millis());
        operation = client.call(&Call::get(&target).waiting(POLL_WAIT))?.json()?;
    }
    Ok(operation)
}

/// The operation in an answer that is about something else as well.
pub(crate) fn part(value: &Value, view: OperationView) -> Answer<OperationView> {
    Answer { value: value["operation"].clone(), view }
}

/// `create-vm web1`.
fn title(view: &OperationView) -> String {
    format!("{} {}", view.kind, view.subject.name.as_deref().unwrap_or(&view.subject.id))
}
