//! `novacron event`: what happened, oldest first.

use std::time::Duration;

use clap::Subcommand;
use novacron_protocol::LogIndex;
use novacron_protocol::api::event::{EventPage, EventView};
use novacron_protocol::limits::{PAGE_LIMIT_DEFAULT, PAGE_LIMIT_MAX};
use serde_json::Value;

use crate::client::events::{Cursor, follow};
use crate::client::{Answer, Client, PATIENCE};
use crate::failure::Failure;
use crate::invocation::Invocation;
use crate::output::sanitize::one_line;
use crate::output::{age, table::Cell, table::Table};

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Print events, the newest unless told where to begin
    #[command(after_help = "Examples:
  novacron event list
  novacron event list --follow
  novacron event list --after 1042 -o json

With --follow, -o json prints one event a line. Following goes on over the loss of a member, without
a gap and without a repeat.")]
    List {
        /// Stay, and print events as they happen
        #[arg(short, long)]
        follow: bool,
        /// Begin after this log index, and print all since
        #[arg(long, value_name = "INDEX")]
        after: Option<LogIndex>,
        /// How many of the newest to begin with
        #[arg(long, value_name = "COUNT", default_value_t = PAGE_LIMIT_DEFAULT, conflicts_with = "after",
              value_parser = clap::value_parser!(u32).range(1..=i64::from(PAGE_LIMIT_MAX)))]
        limit: u32,
    },
}

/// How long following tries to reach a lost cluster again: time enough to restart all its members.
const FOLLOW_PATIENCE: Duration = Duration::from_secs(300);

pub(crate) fn run(invocation: &Invocation, verb: Verb) -> Result<(), Failure> {
    let Verb::List { follow: stay, after, limit } = verb;
    let patience = if stay { FOLLOW_PATIENCE } else { PATIENCE };
    let client = invocation.client()?.with_patience(patience);
    let first = match after {
        Some(index) => all_after(&client, index)?,
        None => client.get::<EventPage>(&format!("/events?limit={limit}"))?,
    };
    if !stay {
        let items = first.value["items"].clone();
        return invocation.output.show(&items, || Ok(table(invocation, &first.view.items)));
    }
    for (value, view) in items(&first) {
        invocation.output.item(value, || line(view))?;
    }
    let cursor = Cursor::after(first.view.resume_after);
    follow(&client, cursor, |value, view| invocation.output.item(value, || line(view)))
}

/// Every event after `index`, page by page; the cluster keeps a bounded number.
fn all_after(client: &Client, index: LogIndex) -> Result<Answer<EventPage>, Failure> {
    let page = |after: LogIndex| {
        client.get::<EventPage>(&format!("/events?after={after}&limit={PAGE_LIMIT_MAX}"))
    };
    let mut all = page(index)?;
    while all.view.more {
        let mut next = page(all.view.resume_after)?;
        if next.view.resume_after <= all.view.resume_after {
            return Err(Failure::new("the member repeats its events"));
        }
        if let (Value::Array(items), Value::Array(more)) =
            (&mut all.value["items"], next.value["items"].take())
        {
            items.extend(more);
        }
        all.view.items.append(&mut next.view.items);
        (all.view.resume_after, all.view.more) = (next.view.resume_after, next.view.more);
    }
    Ok(all)
}

fn items(page: &Answer<EventPage>) -> impl Iterator<Item = (&Value, &EventView)> {
    page.value["items"].as_array().into_iter().flatten().zip(&page.view.items)
}

/// What an event is about: `vm 0192ab00`. The message has its name.
fn object(event: &EventView) -> String {
    match &event.object.id {
        Some(id) => format!("{} {}", event.object.kind, id.chars().take(18).collect::<String>()),
        None => event.object.kind.clone(),
    }
}

fn table(invocation: &Invocation, events: &[EventView]) -> String {
    let mut table = Table::new(&[">INDEX", ">AGE", "EVENT", "BY", "MESSAGE"]);
    for event in events {
        table.row(vec![
            Cell::new(event.index),
            Cell::new(age::since(event.at, invocation.now)),
            Cell::new(&event.kind),
            Cell::new(&event.actor),
            Cell::new(&event.message),
        ]);
    }
    invocation.output.table_or(&table, "no events")
}

/// One event on a line of its own, for a stream whose widths are not known beforehand.
fn line(event: &EventView) -> String {
    let message = match event.message.as_str() {
        "" => object(event),
        message => message.to_owned(),
    };
    format!(
        "{}  {:>8}  {:<20}  {}  ({})\n",
        age::time_of_day(event.at),
        event.index.0,
        one_line(&event.kind),
        one_line(&message),
        one_line(&event.actor),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_streamed_event_is_one_harmless_line() {
        let event: EventView = serde_json::from_value(json!({
            "index": 42, "ordinal": 0, "at": "2026-11-21T08:40:01.000Z", "kind": "vm.observed",
            "object": { "kind": "vm", "id": "0192ab00-0000-7000-8000-000000000001" },
            "actor": "host h1", "message": "web1 failed: \u{1b}[2J\nno space",
        }))
        .unwrap();
        assert_eq!(
            line(&event),
            "08:40:01        42  vm.observed           web1 failed: \\x1b[2J no space  (host h1)\n"
        );
        let silent = EventView { message: String::new(), ..event };
        assert!(line(&silent).contains("vm 0192ab00-0000-7000"));
    }
}
