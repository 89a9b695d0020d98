//! Raft's messages on their way out: small ones on the `lease` stream of the session with a member,
//! snapshots as calls with a body.

use std::time::Duration;

use novacron_protocol::wire::Class;
use novacron_protocol::wire::call::{Request, Response};
use novacron_protocol::wire::hello::Peer;
use novacron_protocol::wire::member::FromMember;
use novacron_protocol::wire::raft::Message;
use tokio::runtime::Handle as Runtime;

use crate::peers::Peers;
use crate::raft::{Outbound, SnapshotDelivery};

/// How long a snapshot may travel: 64 MiB over 2 Mbit/s.
const SNAPSHOT_TRAVEL_MAX: Duration = Duration::from_secs(300);

/// Sends over whatever session there is; Raft copes with loss.
#[derive(Debug)]
pub struct PeerOutbound {
    peers: Peers,
    runtime: Runtime,
}

impl PeerOutbound {
    pub fn new(peers: Peers, runtime: Runtime) -> Self {
        Self { peers, runtime }
    }
}

impl Outbound for PeerOutbound {
    fn send(&mut self, message: Message) -> bool {
        let Some(session) = self.peers.session(Peer::Member(message.to)) else { return false };
        // The first message of a class starts its writer, which needs a runtime around it.
        let _entered = self.runtime.enter();
        session.try_send(Class::Lease, &FromMember::Raft(message)).is_ok()
    }

    fn slowest_round_trip(&self) -> Duration {
        self.peers.slowest_member()
    }

    fn send_snapshot(&mut self, delivery: SnapshotDelivery) {
        let to = delivery.message.to;
        let Some(session) = self.peers.session(Peer::Member(to)) else { return };
        self.runtime.spawn(async move {
            let request = Request::InstallSnapshot {
                message: Box::new(delivery.message.clone()),
                state_len: delivery.state.len() as u64,
            };
            let sent = session
                .call_with_body(Class::Bulk, &request, &delivery.state[..], SNAPSHOT_TRAVEL_MAX)
                .await;
            match sent {
                Ok((Response::Done, _)) => delivery.settle(),
                Ok((answer, _)) => tracing::warn!(%to, ?answer, "snapshot not taken"),
                Err(error) => tracing::warn!(%to, %error, "snapshot not delivered"),
            }
        });
    }
}
