//! `/dwcp/status`: the transport's sessions of this member.

use std::time::Duration;

use axum::extract::State;
use novacron_controlplane_core::State as Replicated;
use novacron_protocol::Name;
use novacron_protocol::api::dwcp::{DwcpClass, DwcpPrediction, DwcpSession, DwcpStatus};
use novacron_protocol::wire::hello::Peer;
use novacron_transport::{ClassStats, Prediction, Session, SessionStats, Way};

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

/// What the peer of a session is called, if the state knows it.
pub(super) fn peer_name(state: &Replicated, peer: Peer) -> Option<&Name> {
    match peer {
        Peer::Member(id) => state.member(id).map(|member| &member.name),
        Peer::Host(id) => state.host(id).map(|host| &host.name),
    }
}

fn describe(state: &Replicated, session: &Session) -> DwcpSession {
    let (kind, id) = match session.peer() {
        Peer::Member(id) => ("member", id.to_string()),
        Peer::Host(id) => ("host", id.to_string()),
    };
    let name = peer_name(state, session.peer());
    let stats = session.stats();
    DwcpSession {
        peer_kind: kind.to_owned(),
        peer_id: id,
        peer_name: name.map(ToString::to_string),
        remote_address: session.remote_addr(),
        way: match stats.way {
            Way::Udp => "udp".to_owned(),
            Way::Tunnel => "tcp".to_owned(),
        },
        version: session.version().0,
        rtt_us: micros(stats.rtt),
        rtt_min_us: micros(stats.rtt_min),
        mtu_bytes: stats.mtu_bytes,
        sent_bytes: stats.sent_bytes,
        received_bytes: stats.received_bytes,
        sent_packets: stats.sent_packets,
        lost_packets: stats.lost_packets,
        loss_ppm: loss_ppm(&stats),
        congestion_window_bytes: stats.congestion_window_bytes,
        bandwidth_bps: stats.bandwidth.0,
        pacing_rate_bps: stats.pacing_rate.0,
        goodput_bps: stats.goodput.0,
        predictions: vec![
            describe_prediction(1, &stats.in_one_second),
            describe_prediction(5, &stats.in_five_seconds),
        ],
        congestion: stats.congestion.name().to_owned(),
        congestion_reason: stats.congestion.to_string(),
        streams: stats.streams as u64,
        classes: stats.classes.iter().map(describe_class).collect(),
    }
}

fn describe_prediction(ahead_s: u64, prediction: &Prediction) -> DwcpPrediction {
    DwcpPrediction {
        ahead_s,
        bandwidth_bps: prediction.bandwidth.0,
        low_bps: prediction.low.0,
        high_bps: Some(prediction.high.0).filter(|high| *high < u64::MAX),
        reason: prediction.reason.to_string(),
    }
}

fn describe_class(stats: &ClassStats) -> DwcpClass {
    DwcpClass {
        class: stats.class.to_string(),
        sent_bytes: stats.sent_bytes,
        queued_bytes: stats.queued_bytes,
        allocated_bytes: stats.allocated.0,
        sent_because: stats.reason.map(|reason| reason.to_string()),
        held_because: stats.hold.to_string(),
    }
}

/// Lost of a million packets sent.
pub(super) fn loss_ppm(stats: &SessionStats) -> u64 {
    let lost = u128::from(stats.lost_packets) * 1_000_000;
    let ppm = lost.checked_div(u128::from(stats.sent_packets)).unwrap_or(0);
    u64::try_from(ppm).unwrap_or(u64::MAX)
}

fn micros(span: Duration) -> u64 {
    u64::try_from(span.as_micros()).unwrap_or(u64::MAX)
}
