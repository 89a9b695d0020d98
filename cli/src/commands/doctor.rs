//! `novacron doctor`: everything between this machine and a healthy cluster, in plain words.
//!
//! Looks at one thing after the other and goes on after a failure, so that one run tells all there
//! is to tell. Reads only: nothing in the cluster changes, and no refusal is provoked.

mod verdict;

use std::time::Duration;

use novacron_protocol::Timestamp;
use novacron_protocol::api::ProblemCode;
use novacron_protocol::api::cluster::ClusterView;
use novacron_protocol::api::host::HostView;
use novacron_protocol::api::image::ImageView;
use novacron_protocol::api::member::MemberView;
use novacron_protocol::api::user::UserView;
use serde_json::Value;

use crate::client::{Call, Client, ClientError};
use crate::clock;
use crate::context::{self, Context, Endpoint, Privacy};
use crate::failure::Failure;
use crate::invocation::Invocation;
use verdict::{Report, Verdict};

pub(super) const AFTER_HELP: &str = "\
Checks the context file, each endpoint with its TLS, clock and release, your token and role, the
leader, the members, the hosts and the images. Ends with 1 when a check fails.";

/// How long one question is tried again: a doctor that waits tells nothing.
const PATIENCE: Duration = Duration::from_secs(3);

/// How an endpoint took our call.
#[derive(Debug)]
enum Contact {
    /// It told what it sees.
    Seen(Box<ClusterView>),
    /// It is there, and refused.
    Refused,
    Silent,
}

pub(crate) fn run(invocation: &Invocation) -> Result<(), Failure> {
    let mut report = Report::default();
    examine(invocation, &mut report);
    invocation.output.show(&report.to_value(), || Ok(report.render(invocation.output.colour)))?;
    if report.has_failed() { Err(Failure::silent()) } else { Ok(()) }
}

fn examine(invocation: &Invocation, report: &mut Report) {
    let Some(context) = examine_context(invocation, report) else { return };
    let client = Client::new(&context).with_patience(PATIENCE);
    let mut seen = Vec::new();
    let mut is_reached = false;
    for endpoint in &context.endpoints {
        let contact = examine_endpoint(&client, endpoint, report);
        is_reached |= !matches!(contact, Contact::Silent);
        if let Contact::Seen(cluster) = contact {
            seen.push(*cluster);
        }
    }
    if !is_reached || !examine_token(&client, &context, report) || seen.is_empty() {
        return;
    }
    let seen: Vec<&ClusterView> = seen.iter().collect();
    report.push(verdict::leader(&seen));
    let members = ask::<MemberView>(&client, "members", report);
    if let Some(members) = &members {
        report.extend(verdict::members(members));
        report.push(verdict::coverage(members, &context.endpoints));
    }
    let hosts = ask::<HostView>(&client, "hosts", report);
    if let Some(hosts) = &hosts {
        report.extend(verdict::hosts(hosts));
    }
    if let Some(images) = ask::<ImageView>(&client, "images", report) {
        report.push(verdict::images(&images));
    }
    report.push(verdict::releases(&seen, hosts.as_deref().unwrap_or_default()));
}

/// A whole list as far as a member knows it; works without a leader too.
fn ask<T: serde::de::DeserializeOwned>(
    client: &Client,
    what: &'static str,
    report: &mut Report,
) -> Option<Vec<T>> {
    match client.list::<T>(&format!("/{what}?consistency=stale")) {
        Ok(answer) => Some(answer.view),
        Err(error) => {
            report.push(Verdict::fail(what, format!("cannot list the {what}: {error}"), None));
            None
        }
    }
}

fn examine_context(invocation: &Invocation, report: &mut Report) -> Option<Context> {
    let failed = |failure: Failure| Verdict::failure("context", failure);
    let path = match invocation.context_path() {
        Ok(path) => path,
        Err(failure) => {
            report.push(failed(failure));
            return None;
        }
    };
    let context = match invocation.context() {
        Ok(context) => context,
        Err(failure) => {
            report.push(failed(failure));
            return None;
        }
    };
    let shown = path.display();
    report.push(match context::permissions(&path) {
        Ok((_, Privacy::OwnerOnly)) => {
            let count = context.endpoints.len();
            Verdict::ok("context", format!("{shown} is private and lists {count} endpoint(s)"))
        }
        Ok((mode, Privacy::Shared)) => Verdict::warn(
            "context",
            format!("{shown} has mode {mode:04o}: others can read the token"),
            format!("chmod 600 {shown}"),
        ),
        Err(error) => Verdict::fail("context", format!("cannot look at {shown}: {error}"), None),
    });
    Some(context)
}

fn examine_endpoint(client: &Client, endpoint: &Endpoint, report: &mut Report) -> Contact {
    let call = Call::get("/cluster?consistency=stale");
    let answer = client.only(endpoint).call(&call).and_then(|reply| {
        let date = reply.date;
        Ok((date, reply.json::<ClusterView>()?.view))
    });
    match answer {
        Ok((date, cluster)) => {
            let ahead_ms = date.map_or(0, |date| difference_ms(date, clock::wall()));
            report.push(verdict::endpoint(endpoint, &cluster, ahead_ms));
            Contact::Seen(Box::new(cluster))
        }
        // It is there and speaks TLS; what it thinks of the token is another check's question.
        Err(error) if error.is(ProblemCode::Unauthenticated) => {
            report.push(Verdict::ok("endpoint", format!("{endpoint} answers")));
            Contact::Refused
        }
        Err(ClientError::Unreachable { faults }) => {
            for fault in faults {
                let hint = Some(fault.reason.hint());
                report.push(Verdict::fail("endpoint", fault.to_string(), hint));
            }
            Contact::Silent
        }
        Err(error) => {
            report.push(Verdict::failure("endpoint", error.into()));
            Contact::Refused
        }
    }
}

/// How far `a` is ahead of `b`.
fn difference_ms(a: Timestamp, b: Timestamp) -> i64 {
    let signed = |at: Timestamp| i64::try_from(at.0).unwrap_or(i64::MAX);
    signed(a) - signed(b)
}

/// Whether the token is let in.
fn examine_token(client: &Client, context: &Context, report: &mut Report) -> bool {
    if let Err(error) = client.get::<Value>("/hosts?limit=1&consistency=stale") {
        report.push(Verdict::failure("token", error.into()));
        return false;
    }
    let users = client.list::<UserView>("/users?consistency=stale");
    let own = |users: &[UserView]| {
        let id = context.token.user()?;
        let user = users.iter().find(|user| user.id == id)?;
        Some(format!("the token is that of {}, {}", user.name, user.role))
    };
    let known = users.ok().and_then(|users| own(&users.view));
    let text = known.unwrap_or_else(|| "the token is let in, with a role below admin".to_owned());
    report.push(Verdict::ok("token", text));
    true
}
