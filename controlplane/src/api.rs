//! The admin API: HTTPS and JSON under `/api/v1`.
//!
//! ```text
//! server (TLS, limits) -> exchange (request id, problems) -> access (who, may they; the body)
//!     -> routes -> one handler per route -> Cluster::{read, propose}
//! ```
//! A handler reads one [`View`] of the state and answers from it, or proposes one command and
//! answers from the state after it. Everything wrong is answered with a problem (RFC 9457), whose
//! code is stable. Every route names the role it needs where it is declared, in [`routes`].

mod access;
mod answer;
mod blob;
mod body;
mod cluster;
mod dwcp;
mod event;
mod exchange;
mod explanation;
mod failure;
mod find;
mod guard;
mod host;
mod image;
mod input;
mod member;
mod metrics;
mod operation;
mod page;
mod prometheus;
mod random;
mod routes;
mod token;
mod user;
mod view;
mod vm;

pub mod bearer;
pub mod openapi;
pub mod server;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use novacron_controlplane_core::command::{Command, Envelope};
use novacron_controlplane_core::{Outcome, State};
use novacron_protocol::LogIndex;
use novacron_protocol::api::ProblemCode;

use crate::audit::Auditor;
use crate::blobs::BlobStore;
use crate::clock::Clock;
use crate::cluster::{Cluster, ClusterError, Consistency, View};
use crate::peers::Peers;
use crate::telemetry::MetricStore;
use access::Caller;
use exchange::RequestCounts;
use failure::Failure;
use guard::Guard;

pub use bearer::BearerToken;
pub use server::serve;

/// The handles that the API works with.
#[derive(Debug, Clone)]
pub struct ApiContext {
    pub cluster: Cluster,
    pub peers: Peers,
    pub blobs: BlobStore,
    pub metrics: MetricStore,
    pub auditor: Auditor,
    pub clock: Clock,
    /// SHA-256 of the cluster CA's certificate; goes into join tokens.
    pub ca_fingerprint: [u8; 32],
}

/// The whole API as one service, to be served by [`serve`].
pub fn router(context: ApiContext) -> Router {
    routes::build(&Arc::new(Api::new(context)))
}

/// What handlers share.
#[derive(Debug)]
pub(crate) struct Api {
    cluster: Cluster,
    peers: Peers,
    blobs: BlobStore,
    metrics: MetricStore,
    auditor: Auditor,
    clock: Clock,
    ca_fingerprint: [u8; 32],
    guard: Guard,
    requests: RequestCounts,
}

/// How every handler gets at it.
pub(crate) type Shared = Arc<Api>;

/// A command that was done.
#[derive(Debug)]
pub(crate) struct Change {
    pub(crate) outcome: Outcome,
    /// This member's state after it.
    pub(crate) state: State,
}

/// How long an answer waits for this member to apply what the leader has applied; after that it
/// is given from what this member knows. Catching up takes one heartbeat, some 100 ms.
const CATCH_UP: Duration = Duration::from_secs(2);

impl Api {
    fn new(context: ApiContext) -> Self {
        Self {
            guard: Guard::new(context.clock),
            requests: RequestCounts::default(),
            cluster: context.cluster,
            peers: context.peers,
            blobs: context.blobs,
            metrics: context.metrics,
            auditor: context.auditor,
            clock: context.clock,
            ca_fingerprint: context.ca_fingerprint,
        }
    }

    pub(crate) async fn read(&self, consistency: Consistency) -> Result<View, Failure> {
        self.cluster.read(consistency).await.map_err(|error| self.explain_leader(error))
    }

    /// Does a command on behalf of `caller`.
    pub(crate) async fn change(
        &self,
        caller: &Caller,
        command: Command,
    ) -> Result<Change, Failure> {
        let mut envelope =
            Envelope::from_actor(self.clock.timestamp(), caller.actor.clone(), command);
        envelope.request = caller.request;
        let written = self.cluster.propose(envelope).await?;
        let outcome = written.applied?;
        Ok(Change { outcome, state: self.state_at(written.index).await })
    }

    /// This member's state once it has applied `index`, if that is soon.
    async fn state_at(&self, index: LogIndex) -> State {
        let mut states = self.cluster.watch();
        let reached = states.wait_for(|state| state.applied() >= index);
        let _ = tokio::time::timeout(CATCH_UP, reached).await;
        self.cluster.state()
    }

    /// Says where the leader is, to a client that insists on it.
    fn explain_leader(&self, error: ClusterError) -> Failure {
        let ClusterError::NotLeader { leader } = error else { return error.into() };
        let state = self.cluster.state();
        let hint = match leader.and_then(|id| state.member(id)) {
            Some(leader) => format!("ask member {} at {}", leader.name, leader.addresses.api),
            None => "no leader is known; try again".to_owned(),
        };
        Failure::new(ProblemCode::NotLeader, "this member is not the leader").hint(hint)
    }
}
