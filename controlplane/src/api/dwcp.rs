//! `/dwcp/status`: the transport's sessions of this member.

use axum::extract::State;
use novacron_controlplane_core::State as Replicated;
use novacron_protocol::api::dwcp::{DwcpSession, DwcpStatus};
use novacron_protocol::wire::hello::Peer;
use novacron_transport::Session;

use super::Shared;
use super::answer::{Answer, Reply};
use super::input::Params;

/// Show this member's sessions with members and hosts.
#[utoipa::path(get, path = "/api/v1/dwcp/status", tag = "dwcp",
    responses((status = 200, description = "Its sessions", body = DwcpStatus)))]
pub(crate) async fn status(State(api): State<Shared>, mut params: Params) -> Reply {
    params.consistency()?;
    params.finish()?;
    let state = api.cluster.state();
    let sessions = api.peers.sessions();
    let status = DwcpStatus {
        member: api.cluster.status().member,
        sessions: sessions.iter().map(|session| describe(&state, session)).collect(),
    };
    Ok(Answer::ok(&status))
}

fn describe(state: &Replicated, session: &Session) -> DwcpSession {
    let (kind, id, name) = match session.peer() {
        Peer::Member(id) => ("member", id.to_string(), state.member(id).map(|peer| &peer.name)),
        Peer::Host(id) => ("host", id.to_string(), state.host(id).map(|peer| &peer.name)),
    };
    let stats = session.stats();
    let lost = u128::from(stats.lost_packets) * 1_000_000;
    let loss_ppm = lost.checked_div(u128::from(stats.sent_packets)).unwrap_or(0);
    DwcpSession {
        peer_kind: kind.to_owned(),
        peer_id: id,
        peer_name: name.map(ToString::to_string),
        remote_address: session.remote_addr(),
        version: session.version().0,
        rtt_us: u64::try_from(stats.rtt.as_micros()).unwrap_or(u64::MAX),
        sent_bytes: stats.sent_bytes,
        received_bytes: stats.received_bytes,
        sent_packets: stats.sent_packets,
        lost_packets: stats.lost_packets,
        loss_ppm: u64::try_from(loss_ppm).unwrap_or(u64::MAX),
        congestion_window_bytes: stats.congestion_window_bytes,
    }
}
