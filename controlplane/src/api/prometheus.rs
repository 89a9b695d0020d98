//! `/metrics`: this member's own figures in Prometheus' text format 0.0.4.

use std::collections::BTreeMap;
use std::fmt::{Display, Write as _};

use axum::extract::State;
use axum::http::StatusCode;
use novacron_controlplane_core::State as Replicated;
use novacron_protocol::Name;
use novacron_protocol::api::vm::VmStatus;
use novacron_protocol::host::Connectivity;
use novacron_transport::SessionStats;

use super::Shared;
use super::answer::Answer;
use super::cluster::count;
use super::{dwcp, view};
use crate::raft::{Durations, RaftMetrics};

/// Show this member's figures in Prometheus' text format.
#[utoipa::path(get, path = "/metrics", tag = "about", operation_id = "metrics",
    responses((status = 200, description = "Figures", body = String, content_type = "text/plain")))]
pub(crate) async fn scrape(State(api): State<Shared>) -> Answer {
    let (state, status) = (api.cluster.state(), api.cluster.status());
    let mut page = Exposition::default();
    page.gauge("novacron_raft_term", "Raft term", [("", status.term.0)]);
    page.gauge("novacron_raft_applied_index", "Last log entry applied", [("", status.applied.0)]);
    page.gauge(
        "novacron_raft_committed_index",
        "Last log entry known to be committed",
        [("", status.committed.0)],
    );
    let leads = u64::from(status.leader == Some(status.member));
    page.gauge("novacron_raft_leader", "1 on the member that leads", [("", leads)]);
    let lag = status.committed.0.saturating_sub(state.applied().0);
    page.gauge("novacron_raft_apply_lag", "Entries committed and not applied yet", [("", lag)]);
    raft(&mut page, api.cluster.raft_metrics(), api.cluster.uptime().as_secs());

    let mut hosts: BTreeMap<Connectivity, u64> = CONNECTIVITIES.map(|state| (state, 0)).into();
    state.hosts().for_each(|host| *hosts.entry(host.connectivity).or_default() += 1);
    let hosts = hosts.into_iter().map(|(key, value)| (format!("connectivity=\"{key}\""), value));
    page.gauge("novacron_hosts", "Hosts by connectivity", hosts);

    let mut vms: BTreeMap<VmStatus, u64> = VmStatus::ALL.map(|status| (status, 0)).into();
    for vm in state.vms() {
        *vms.entry(view::vm_status(vm, &state.observed(vm))).or_default() += 1;
    }
    let vms = vms.into_iter().map(|(key, value)| (format!("state=\"{key}\""), value));
    page.gauge("novacron_vms", "VMs by state", vms);

    let open = u64::from(count(state.open_operations()));
    page.gauge("novacron_operations_open", "Operations that have not ended", [("", open)]);
    let held = api.metrics.bytes() as u64;
    page.gauge("novacron_telemetry_bytes", "Memory taken by samples", [("", held)]);

    let requests = api.requests.iter();
    let requests = requests.map(|(class, value)| (format!("status=\"{class}xx\""), value));
    page.counter("novacron_api_requests_total", "API answers by class of status", requests);
    let refused = api.auditor.refusals();
    page.counter("novacron_api_refusals_total", "Logins and rights refused", [("", refused)]);
    page.dwcp(&api, &state);
    Answer::bytes(StatusCode::OK, "text/plain; version=0.0.4", page.text.into_bytes())
}

fn raft(page: &mut Exposition, raft: &RaftMetrics, uptime_s: u64) {
    let commits = "From a proposal to its being applied, on the leader";
    page.histogram("novacron_raft_commit_seconds", commits, &raft.commits);
    page.histogram("novacron_raft_sync_seconds", "Writes of the log with their sync", &raft.syncs);
    let snapshots = "Making and keeping a snapshot, beside all other work";
    page.histogram("novacron_raft_snapshot_seconds", snapshots, &raft.snapshots);
    let elections = [("", raft.elections.value())];
    page.counter("novacron_raft_elections_total", "Elections this member stood for", elections);
    let changes = [("", raft.leader_changes.value())];
    page.counter("novacron_raft_leader_changes_total", "Changes of who leads", changes);
    let refused = "Proposals and reads refused because too many waited";
    page.counter("novacron_raft_refused_total", refused, [("", raft.refused.value())]);
    if let Some(kept_at_s) = raft.snapshot_at_s() {
        let age = uptime_s.saturating_sub(kept_at_s);
        page.gauge("novacron_raft_snapshot_age_seconds", "Age of the newest snapshot", [("", age)]);
    }
}

const CONNECTIVITIES: [Connectivity; 4] = [
    Connectivity::Joining,
    Connectivity::Connected,
    Connectivity::Disconnected,
    Connectivity::Down,
];

#[derive(Debug, Default)]
struct Exposition {
    text: String,
}

impl Exposition {
    /// The transport's sessions, one sample for each peer.
    fn dwcp(&mut self, api: &Shared, state: &Replicated) {
        let sessions: Vec<(String, SessionStats)> = api
            .peers
            .sessions()
            .iter()
            .map(|session| {
                let peer = session.peer();
                let name = dwcp::peer_name(state, peer).map_or(peer.to_string(), Name::to_string);
                (format!("peer=\"{name}\""), session.stats())
            })
            .collect();
        let each = |figure: fn(&SessionStats) -> f64| {
            sessions.iter().map(move |(peer, stats)| (peer.clone(), figure(stats)))
        };
        self.gauge(
            "dwcp_streams_active",
            "Streams written to the peer",
            each(|s| s.streams as f64),
        );
        self.gauge(
            "dwcp_bandwidth_available_bytes",
            "Bytes that the path is predicted to carry for this session in the next second",
            each(|stats| stats.in_one_second.bandwidth.0 as f64 / 8.0),
        );
        let allocated = sessions.iter().flat_map(|(peer, stats)| {
            stats
                .classes
                .iter()
                .map(move |class| (format!("{peer},class=\"{}\"", class.class), class.allocated.0))
        });
        self.gauge(
            "dwcp_bandwidth_allocated_bytes",
            "Bytes that each class will most likely get of the next second",
            allocated,
        );
        self.gauge(
            "dwcp_packet_loss_rate",
            "Share of packets lost since the session began",
            each(|stats| dwcp::loss_ppm(stats) as f64 / 1e6),
        );
        self.gauge(
            "dwcp_latency_milliseconds",
            "Smoothed round trip",
            each(|stats| stats.rtt.as_secs_f64() * 1e3),
        );
        let sent = sessions.iter().flat_map(|(peer, stats)| {
            stats
                .classes
                .iter()
                .map(move |class| (format!("{peer},class=\"{}\"", class.class), class.sent_bytes))
        });
        self.counter("dwcp_sent_bytes_total", "Bytes of each class that have left", sent);
    }

    fn gauge<L: Display, V: Display>(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = (L, V)>,
    ) {
        self.family(name, "gauge", help, samples);
    }

    fn counter<L: Display, V: Display>(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = (L, V)>,
    ) {
        self.family(name, "counter", help, samples);
    }

    fn histogram(&mut self, name: &str, help: &str, durations: &Durations) {
        let seen = durations.distribution();
        let _ = writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} histogram");
        for (bound_us, count) in seen.at_most_us {
            let bound = seconds(bound_us);
            let _ = writeln!(self.text, "{name}_bucket{{le=\"{bound}\"}} {count}");
        }
        let (count, sum) = (seen.count, seconds(seen.sum_us));
        let _ = writeln!(self.text, "{name}_bucket{{le=\"+Inf\"}} {count}");
        let _ = writeln!(self.text, "{name}_sum {sum}\n{name}_count {count}");
    }

    fn family<L: Display, V: Display>(
        &mut self,
        name: &str,
        kind: &str,
        help: &str,
        samples: impl IntoIterator<Item = (L, V)>,
    ) {
        // Writing to a `String` cannot fail.
        let _ = writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} {kind}");
        for (labels, value) in samples {
            let labels = labels.to_string();
            let _ = match labels.is_empty() {
                true => writeln!(self.text, "{name} {value}"),
                false => writeln!(self.text, "{name}{{{labels}}} {value}"),
            };
        }
    }
}

fn seconds(us: u64) -> f64 {
    us as f64 / 1e6
}
