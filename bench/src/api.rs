//! The members' admin API, as far as the benchmarks need it.

use std::fs;
use std::io::{BufRead as _, BufReader, Read};
use std::path::Path;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result};
use novacron_protocol::api::Page;
use novacron_protocol::api::cluster::ClusterView;
use novacron_protocol::api::event::EventView;
use novacron_protocol::api::host::{CordonHost, HostView};
use novacron_protocol::api::image::ImageView;
use novacron_protocol::api::member::{MemberRole, MemberView};
use novacron_protocol::api::token::{CreateToken, TokenCreated};
use novacron_protocol::api::vm::{CreateVm, StartChoice, VmAccepted};
use novacron_protocol::join_token::JoinRole;
use novacron_protocol::vm::VmSpec;
use novacron_protocol::{ByteCount, ImageId, Labels, Millis, OperationId, VcpuCount};
use serde::Deserialize;

use crate::http::Http;

/// Calls members by their place in the list.
#[derive(Debug, Clone)]
pub(crate) struct Api {
    http: Http,
    /// `https://address:port/api/v1` of each member.
    members: Vec<String>,
}

/// The context file that `init` writes, its endpoints aside.
#[derive(Deserialize)]
struct ContextFile {
    token: String,
    ca_pem: String,
}

/// An operation that was seen to end.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ended {
    pub(crate) operation: OperationId,
    pub(crate) at: Instant,
    pub(crate) outcome: Outcome,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    Done,
    Failed,
}

impl Api {
    /// As the admin of `context`, at members that serve at `addresses`.
    pub(crate) fn new(context: &Path, addresses: impl Iterator<Item = String>) -> Result<Self> {
        let text = fs::read_to_string(context).with_context(|| context.display().to_string())?;
        let context: ContextFile = toml::from_str(&text).context("read the admin's context")?;
        let http = Http::trusting(&context.ca_pem, &context.token)?;
        let members = addresses.map(|address| format!("https://{address}/api/v1")).collect();
        Ok(Self { http, members })
    }

    /// The cluster as member `at` sees it, without asking others.
    pub(crate) fn cluster(&self, at: usize) -> Result<ClusterView> {
        self.http.get(&format!("{}/cluster?consistency=stale", self.members[at]))
    }

    /// How many members vote.
    pub(crate) fn voters(&self) -> Result<usize> {
        let page: Page<MemberView> = self.http.get(&format!("{}/members", self.members[0]))?;
        Ok(page.items.iter().filter(|member| member.role == MemberRole::Voter).count())
    }

    pub(crate) fn image(&self, name: &str) -> Result<ImageId> {
        let page: Page<ImageView> = self.http.get(&format!("{}/images", self.members[0]))?;
        let found = page.items.iter().find(|image| image.name.as_str() == name);
        Ok(found.with_context(|| format!("no image {name}"))?.id)
    }

    pub(crate) fn token(&self, role: JoinRole, uses: u32) -> Result<String> {
        let request = CreateToken { role, ttl_ms: Millis(3_600_000), uses, host: None };
        let url = format!("{}/tokens", self.members[0]);
        Ok(self.http.post::<TokenCreated>(&url, &request)?.text)
    }

    /// Asks member `at` for a small VM that is started; gives the operation.
    pub(crate) fn create_vm(&self, at: usize, name: &str, image: ImageId) -> Result<OperationId> {
        let request = CreateVm {
            name: name.parse().context("name a VM")?,
            spec: VmSpec {
                cpus: VcpuCount(1),
                memory: ByteCount::mib(64),
                image,
                disk: None,
                labels: Labels::default(),
                host_labels: Labels::default(),
            },
            start: StartChoice::Start,
        };
        let url = format!("{}/vms", self.members[at]);
        Ok(self.http.post::<VmAccepted>(&url, &request)?.operation.id)
    }

    /// The smallest write that there is: changes whether `host` takes VMs. Returns once it is
    /// acknowledged.
    pub(crate) fn write(&self, at: usize, host: &str, number: u64) -> Result<()> {
        let url = format!("{}/hosts/{host}", self.members[at]);
        let answer: Result<HostView> = match number.is_multiple_of(2) {
            true => {
                let cordon = CordonHost { reason: format!("write {number}") };
                self.http.post(&format!("{url}/cordon"), &cordon)
            }
            false => self.http.post_empty(&format!("{url}/uncordon")),
        };
        answer.map(drop)
    }

    /// Follows the events of member `at`; each end of an operation is stamped when it is read.
    /// Ends with the member.
    pub(crate) fn follow_operations(&self, at: usize) -> Result<Receiver<Ended>> {
        let stream = self.http.open_events(&format!("{}/events", self.members[at]))?;
        let (ended_tx, ended_rx) = channel();
        thread::spawn(move || {
            for ended in operations_ended(stream) {
                if ended_tx.send(ended).is_err() {
                    return;
                }
            }
        });
        Ok(ended_rx)
    }

    pub(crate) fn count(&self) -> usize {
        self.members.len()
    }
}

/// Ends of operations in a stream of server-sent events.
fn operations_ended(stream: impl Read) -> impl Iterator<Item = Ended> {
    let lines = BufReader::new(stream).lines().map_while(Result::ok);
    let mut is_end = false;
    lines.filter_map(move |line| {
        if let Some(kind) = line.strip_prefix("event: ") {
            is_end = kind == "operation.ended";
        }
        let data = line.strip_prefix("data: ").filter(|_| is_end)?;
        let at = Instant::now();
        let event: EventView = serde_json::from_str(data).ok()?;
        let operation = event.object.id?.parse().ok()?;
        let outcome =
            if event.message.ends_with(" done") { Outcome::Done } else { Outcome::Failed };
        Some(Ended { operation, at, outcome })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_ends_of_operations_are_taken_from_a_stream() {
        let id = "0190a6e0-0000-7000-8000-000000000001";
        let event = |kind: &str, object: &str, message: &str| {
            format!(
                "event: {kind}\ndata: {{\"index\":7,\"ordinal\":0,\"at\":\"2026-01-01T00:00:00.000Z\",\
                 \"kind\":\"{kind}\",\"object\":{{\"kind\":\"{object}\",\"id\":\"{id}\"}},\
                 \"actor\":\"system\",\"message\":\"{message}\"}}\nid: 7\n\n"
            )
        };
        let stream = [
            event("vm.observed", "vm", "VM a is running"),
            ": alive\n\n".to_owned(),
            event("operation.ended", "operation", "create-vm done"),
            event("operation.ended", "operation", "create-vm failed: no host"),
        ];
        let ends: Vec<Ended> = operations_ended(stream.concat().as_bytes()).collect();
        let outcomes: Vec<Outcome> = ends.iter().map(|ended| ended.outcome).collect();
        assert_eq!(outcomes, [Outcome::Done, Outcome::Failed]);
        assert_eq!(ends[0].operation.to_string(), id);
    }
}
