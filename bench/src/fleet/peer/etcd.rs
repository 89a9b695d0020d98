//! A cluster of three etcd with its default timings, written to through its HTTP gateway.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use novacron_tests::wait;
use serde::Deserialize;
use serde_json::{Value, json};

use super::super::failover::Quorum;
use super::super::{Bench, say, text};
use super::obtain;
use crate::http::Http;
use crate::machine::free_address;
use crate::program::Program;

/// Runs until it is dropped.
#[derive(Debug)]
pub(crate) struct Etcd {
    pub(crate) version: String,
    members: Vec<Program>,
    clients: Vec<SocketAddr>,
    http: Http,
}

/// `POST /v3/maintenance/status`; numbers of 64 bits are strings there.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    header: Header,
    /// Left out when it is zero, which is nobody.
    #[serde(default)]
    leader: String,
    raft_applied_index: String,
}

#[derive(Deserialize)]
struct Header {
    member_id: String,
}

impl Etcd {
    /// `None` where there is no etcd to be had.
    pub(crate) fn start(bench: &Bench) -> Result<Option<Self>> {
        let Some((program, version)) = obtain(&bench.binaries.target, "etcd-server", "etcd") else {
            return Ok(None);
        };
        say("starting 3 etcd");
        let dir = bench.dir("etcd")?;
        let address = |_| free_address();
        let clients = (0..MEMBERS).map(address).collect::<Result<Vec<_>>>()?;
        let peers = (0..MEMBERS).map(address).collect::<Result<Vec<_>>>()?;
        let named = |(at, peer): (usize, &SocketAddr)| format!("e{at}=http://{peer}");
        let all = peers.iter().enumerate().map(named).collect::<Vec<_>>().join(",");
        let mut members = Vec::new();
        for at in 0..MEMBERS {
            let name = format!("e{at}");
            let (client, peer) =
                (format!("http://{}", clients[at]), format!("http://{}", peers[at]));
            let data = text(dir.join(&name));
            let arguments = [
                &*text(&program),
                "--name",
                &name,
                "--data-dir",
                &data,
                "--listen-client-urls",
                &client,
                "--advertise-client-urls",
                &client,
                "--listen-peer-urls",
                &peer,
                "--initial-advertise-peer-urls",
                &peer,
                "--initial-cluster",
                &all,
                "--initial-cluster-state",
                "new",
                "--logger",
                "zap",
                "--log-level",
                "error",
            ];
            let argv = arguments.map(str::to_owned);
            members.push(Program::start(&name, &argv, &[], &dir.join(format!("{name}.log")))?);
        }
        let etcd = Self { version, members, clients, http: Http::plain() };
        etcd.wait_even()?;
        Ok(Some(etcd))
    }

    pub(crate) fn members(&self) -> &[Program] {
        &self.members
    }

    /// Where its members take requests.
    pub(crate) fn clients(&self) -> &[SocketAddr] {
        &self.clients
    }

    fn status(&self, at: usize) -> Result<Status> {
        let url = format!("http://{}/v3/maintenance/status", self.clients[at]);
        self.http.post(&url, &json!({}))
    }

    /// Waits until every member knows a leader and has applied all that any has applied by now.
    fn wait_even(&self) -> Result<()> {
        let applied = |status: &Status| status.raft_applied_index.parse::<u64>().unwrap_or(0);
        let now = |at| self.status(at).map_or(0, |status| applied(&status));
        let newest = (0..MEMBERS).map(now).max().unwrap_or(0).max(1);
        wait::for_true("etcd's members to be even", LIMIT, || {
            let even = |at| {
                let status = self.status(at)?;
                Ok(!matches!(&*status.leader, "" | "0") && applied(&status) >= newest)
            };
            Ok((0..MEMBERS).map(even).collect::<Result<Vec<bool>>>()?.into_iter().all(|even| even))
        })
    }
}

impl Quorum for Etcd {
    fn leader(&self) -> Result<usize> {
        let leads = |at: &usize| {
            self.status(*at).is_ok_and(|status| status.leader == status.header.member_id)
        };
        (0..MEMBERS).find(leads).context("no etcd leads")
    }

    fn program(&mut self, at: usize) -> &mut Program {
        &mut self.members[at]
    }

    fn wait_even(&self) -> Result<()> {
        Self::wait_even(self)
    }

    fn writer(&self, at: usize) -> Box<dyn Fn(u64) -> Result<()> + Send> {
        let (http, url) = (self.http.clone(), format!("http://{}/v3/kv/put", self.clients[at]));
        Box::new(move |number| {
            let put = json!({
                "key": STANDARD.encode("bench"),
                "value": STANDARD.encode(format!("write {number}")),
            });
            http.post::<Value>(&url, &put).map(drop)
        })
    }

    fn pids(&self) -> Vec<u32> {
        self.members.iter().filter_map(|member| member.pid().ok()).collect()
    }
}

const MEMBERS: usize = 3;
const LIMIT: Duration = Duration::from_secs(60);
