//! `novacron dwcp`: the sessions between a member and its peers.

use clap::Subcommand;
use novacron_protocol::api::dwcp::{DwcpSession, DwcpStatus};
use novacron_protocol::{Bitrate, ByteCount};

use crate::failure::Failure;
use crate::invocation::Invocation;
use crate::output::table::{Cell, Table, Tone};

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Show the sessions of the member that answers
    ///
    /// Rates and counts are of the member's direction: what it sends. With a peer's name or id, its
    /// classes are shown too, and why each sends or waits.
    Status {
        /// Name or id of a host or member
        peer: Option<String>,
    },
}

pub(crate) fn run(invocation: &Invocation, verb: Verb) -> Result<(), Failure> {
    let Verb::Status { peer } = verb;
    let answer = invocation.client()?.get::<DwcpStatus>("/dwcp/status")?;
    match peer {
        None => invocation.output.show(&answer.value, || Ok(sessions(invocation, &answer.view))),
        Some(peer) => {
            let position = answer.view.sessions.iter().position(|session| is(session, &peer));
            let position = position.ok_or_else(|| {
                Failure::new(format!("the member that answered has no session with {peer}")).hint(
                    "`novacron dwcp status` lists its sessions; hosts have one with each member",
                )
            })?;
            let session = &answer.view.sessions[position];
            let value = &answer.value["sessions"][position];
            invocation.output.show(value, || Ok(classes(invocation, session)))
        }
    }
}

fn is(session: &DwcpSession, peer: &str) -> bool {
    session.peer_name.as_deref() == Some(peer) || session.peer_id == peer
}

fn sessions(invocation: &Invocation, status: &DwcpStatus) -> String {
    let mut table = Table::new(&[
        "PEER",
        "KIND",
        "WAY",
        ">RTT",
        ">LOSS",
        ">BANDWIDTH",
        ">GOODPUT",
        ">SENT",
        ">RECEIVED",
        "CONGESTION",
    ]);
    for session in &status.sessions {
        let way = if session.way == "udp" { Tone::Plain } else { Tone::Warn };
        table.row(vec![
            Cell::new(session.peer_name.as_deref().unwrap_or(&session.peer_id)),
            Cell::new(&session.peer_kind),
            Cell::toned(&session.way, way),
            Cell::new(milliseconds(session.rtt_us)),
            Cell::new(format!("{:.2} %", session.loss_ppm as f64 / 1e4)),
            Cell::or_dash((session.bandwidth_bps > 0).then_some(Bitrate(session.bandwidth_bps))),
            Cell::new(Bitrate(session.goodput_bps)),
            Cell::new(ByteCount(session.sent_bytes)),
            Cell::new(ByteCount(session.received_bytes)),
            Cell::new(&session.congestion),
        ]);
    }
    invocation.output.table_or(&table, "this member has no sessions")
}

fn classes(invocation: &Invocation, session: &DwcpSession) -> String {
    let mut table = Table::new(&["CLASS", ">SENT", ">QUEUED", "SENT BECAUSE", "NOW"]);
    for class in &session.classes {
        table.row(vec![
            Cell::new(&class.class),
            Cell::new(ByteCount(class.sent_bytes)),
            Cell::new(ByteCount(class.queued_bytes)),
            Cell::or_dash(class.sent_because.as_deref()),
            Cell::new(&class.held_because),
        ]);
    }
    let peer = session.peer_name.as_deref().unwrap_or(&session.peer_id);
    let mut ahead = String::new();
    for prediction in &session.predictions {
        let band = match prediction.high_bps {
            Some(high) => format!("{} to {}", Bitrate(prediction.low_bps), Bitrate(high)),
            None => format!("{} and more", Bitrate(prediction.low_bps)),
        };
        let (rate, reason) = (Bitrate(prediction.bandwidth_bps), &prediction.reason);
        ahead += &format!("in {} s {rate} ({band}): {reason}\n", prediction.ahead_s);
    }
    format!(
        "{peer} at {} over {}, round trip {}, {} without queues\n{}; window {}, packets of {} bytes\n{ahead}\n{}",
        session.remote_address,
        session.way,
        milliseconds(session.rtt_us),
        milliseconds(session.rtt_min_us),
        session.congestion_reason,
        ByteCount(session.congestion_window_bytes),
        session.mtu_bytes,
        invocation.output.table_or(&table, "")
    )
}

fn milliseconds(us: u64) -> String {
    format!("{:.1} ms", us as f64 / 1e3)
}

#[cfg(test)]
mod tests {
    use novacron_protocol::MemberId;
    use novacron_protocol::api::dwcp::{DwcpClass, DwcpPrediction};

    use super::*;
    use crate::commands::fixture::invocation;

    fn session() -> DwcpSession {
        let class =
            |class: &str, sent_bytes, sent_because: Option<&str>, held_because: &str| DwcpClass {
                class: class.to_owned(),
                sent_bytes,
                queued_bytes: 0,
                allocated_bytes: 0,
                sent_because: sent_because.map(str::to_owned),
                held_because: held_because.to_owned(),
            };
        DwcpSession {
            peer_kind: "host".to_owned(),
            peer_id: "01a1fd89-eb5f-7000-8000-000000000001".to_owned(),
            peer_name: Some("h1".to_owned()),
            remote_address: ([10, 0, 0, 7], 4_433).into(),
            way: "tcp".to_owned(),
            version: 1,
            rtt_us: 151_200,
            rtt_min_us: 150_000,
            mtu_bytes: 1_472,
            sent_bytes: 3 << 30,
            received_bytes: 12 << 20,
            sent_packets: 2_200_000,
            lost_packets: 22_000,
            loss_ppm: 10_000,
            congestion_window_bytes: 1_900_000,
            bandwidth_bps: 96_000_000,
            pacing_rate_bps: 97_000_000,
            goodput_bps: 94_000_000,
            predictions: vec![DwcpPrediction {
                ahead_s: 1,
                bandwidth_bps: 95_000_000,
                low_bps: 88_000_000,
                high_bps: Some(99_000_000),
                reason: "the last second goes on".to_owned(),
            }],
            congestion: "steady".to_owned(),
            congestion_reason: "steady: 96 Mbit/s, queue 1.2 ms".to_owned(),
            streams: 3,
            classes: vec![
                class("lease", 4_096, Some("it is urgent and goes first"), "nothing to send"),
                class("bulk", 3 << 30, Some("no other class can use the link"), "it waits"),
            ],
        }
    }

    #[test]
    fn sessions_are_a_line_each() {
        let member = MemberId(1);
        let status = DwcpStatus { member, sessions: vec![session()] };
        insta::assert_snapshot!(sessions(&invocation(), &status));
    }

    #[test]
    fn one_session_shows_its_classes_and_why_they_send_or_wait() {
        insta::assert_snapshot!(classes(&invocation(), &session()));
    }
}
