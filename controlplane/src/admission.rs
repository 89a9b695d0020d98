//! Letting in newcomers that bring a join token.

use std::sync::Arc;
use std::time::Duration;

use novacron_controlplane_core::command::Redemption;
use novacron_controlplane_core::member::MemberRole;
use novacron_controlplane_core::outcome::{Outcome, Refusal, RefusalCode};
use novacron_controlplane_core::{Actor, Command, Envelope, State};
use novacron_daemon::Clock;
use novacron_protocol::join_token::JoinRole;
use novacron_protocol::wire::join::{
    HostWelcome, JoinAnswer, JoinRefusal, JoinRequest, MemberAddress, MemberWelcome,
};
use novacron_protocol::{HostId, MemberId};
use novacron_transport::authority::key_digest;
use novacron_transport::{ClusterAuthority, JoinExchange};
use uuid::Uuid;

use crate::audit::Auditor;
use crate::cluster::{Cluster, ClusterError, Consistency};

/// Decides on newcomers and signs their certificates.
#[derive(Debug, Clone)]
pub struct Admission {
    cluster: Cluster,
    authority: Arc<ClusterAuthority>,
    certificate_life: Duration,
    auditor: Auditor,
    clock: Clock,
}

impl Admission {
    pub fn new(
        cluster: Cluster,
        authority: Arc<ClusterAuthority>,
        certificate_life: Duration,
        auditor: Auditor,
        clock: Clock,
    ) -> Self {
        Self { cluster, authority, certificate_life, auditor, clock }
    }

    /// Answers one newcomer.
    pub async fn handle(&self, exchange: JoinExchange) {
        let (request, from) = (exchange.request().clone(), exchange.remote_addr());
        let answer = match self.admit(&request, from.to_string()).await {
            Ok(answer) => answer,
            Err(refusal) => {
                let actor = Actor::Unknown { address: from.ip().to_string() };
                self.auditor.record(
                    actor,
                    &format!("join of {}", request.name),
                    refusal.to_string(),
                );
                JoinAnswer::Refused(refusal)
            }
        };
        // One that has its answer may be gone before it says so; one that has not asks again.
        if let Err(error) = exchange.answer(&answer).await {
            tracing::debug!(name = %request.name, %from, %error, "a newcomer hung up");
        }
    }

    /// A new certificate for a host that has one already.
    pub fn renew_host(&self, csr: &[u8], host: HostId) -> Result<Vec<u8>, String> {
        if self.cluster.state().host(host).is_none() {
            return Err("this host was removed".to_owned());
        }
        self.authority
            .sign_host(csr, host, self.certificate_life)
            .map_err(|error| error.to_string())
    }

    /// A new certificate for a member: this one's own, or another's that asks.
    pub fn renew_member(&self, csr: &[u8], member: MemberId) -> Result<Vec<u8>, String> {
        let state = self.cluster.state();
        let known = state.member(member).ok_or("this member was removed")?;
        let ips = [known.addresses.cluster.ip(), known.addresses.api.ip()];
        self.authority
            .sign_member(csr, member, &ips, self.certificate_life)
            .map_err(|error| error.to_string())
    }

    async fn admit(&self, request: &JoinRequest, from: String) -> Result<JoinAnswer, JoinRefusal> {
        let key =
            key_digest(&request.csr).map_err(|error| JoinRefusal::BadRequest(error.to_string()))?;
        if (request.role == JoinRole::Member) != request.member.is_some() {
            let message = "a member says where it listens, a host does not";
            return Err(JoinRefusal::BadRequest(message.to_owned()));
        }
        let redemption = Redemption {
            token: request.token,
            secret: request.secret.digest(),
            role: request.role,
            key,
            name: request.name.clone(),
            host: HostId::from_uuid(Uuid::now_v7()),
            member: request.member,
        };
        self.check(&redemption).await?;
        let command = Command::Redeem(redemption);
        let actor = Actor::Unknown { address: from };
        let envelope = Envelope::from_actor(self.clock.timestamp(), actor, command);
        let written = self.cluster.propose(envelope).await.map_err(|error| match error {
            ClusterError::Unavailable { reason, .. } => JoinRefusal::Unavailable(reason),
            error @ ClusterError::Busy { .. } => JoinRefusal::Unavailable(error.to_string()),
            other => JoinRefusal::Unavailable(other.to_string()),
        })?;
        let state = self.cluster.state();
        match written.applied.map_err(|refusal| refused_newcomer(refusal, request))? {
            Outcome::Host(host) => self.welcome_host(&request.csr, host, &state),
            Outcome::Member(member) => self.welcome_member(request, member, &state),
            other => Err(JoinRefusal::Rejected(format!("unexpected outcome {other:?}"))),
        }
    }

    /// Turns away at the door who has no good token: a refusal must not cost a replicated command.
    async fn check(&self, redemption: &Redemption) -> Result<(), JoinRefusal> {
        let now = self.clock.timestamp();
        if self.cluster.state().check_redemption(redemption, now).is_ok() {
            return Ok(());
        }
        // The token may have been made at another member just now.
        let view = self.cluster.read(Consistency::Linearizable).await;
        let view = view.map_err(|error| JoinRefusal::Unavailable(error.to_string()))?;
        view.state.check_redemption(redemption, now).map_err(refusal_to_wire)
    }

    fn welcome_host(
        &self,
        csr: &[u8],
        host: HostId,
        state: &State,
    ) -> Result<JoinAnswer, JoinRefusal> {
        let certificate = self
            .authority
            .sign_host(csr, host, self.certificate_life)
            .map_err(|error| JoinRefusal::BadRequest(error.to_string()))?;
        tracing::info!(%host, "host let in");
        Ok(JoinAnswer::Host(HostWelcome {
            cluster: self.authority.cluster(),
            host,
            certificate,
            ca: self.authority.certificate().to_vec(),
            members: addresses(state),
        }))
    }

    fn welcome_member(
        &self,
        request: &JoinRequest,
        member: MemberId,
        state: &State,
    ) -> Result<JoinAnswer, JoinRefusal> {
        let listens = request.member.ok_or_else(|| JoinRefusal::BadRequest("no address".into()))?;
        let ips = [listens.cluster.ip(), listens.api.ip()];
        let certificate = self
            .authority
            .sign_member(&request.csr, member, &ips, self.certificate_life)
            .map_err(|error| JoinRefusal::BadRequest(error.to_string()))?;
        tracing::info!(%member, "member let in");
        Ok(JoinAnswer::Member(MemberWelcome {
            cluster: self.authority.cluster(),
            member,
            certificate,
            ca: self.authority.certificate().to_vec(),
            ca_key: self.authority.key().to_vec(),
            members: addresses(state).into_iter().filter(|other| other.id != member).collect(),
        }))
    }
}

/// Where the members of `state` are dialled; those on their way out are left out.
pub fn addresses(state: &State) -> Vec<MemberAddress> {
    state
        .members()
        .filter(|member| member.role != MemberRole::Leaving)
        .map(|member| MemberAddress { id: member.id, cluster: member.addresses.cluster })
        .collect()
}

/// A host whose name is known may be that host, back after a long time.
fn refused_newcomer(refusal: Refusal, request: &JoinRequest) -> JoinRefusal {
    if refusal.code == RefusalCode::NameTaken && request.role == JoinRole::Host {
        return JoinRefusal::Rejected(format!(
            "{refusal}, or let that very host come back: \
             novacron token create --role host --host {}",
            request.name
        ));
    }
    refusal_to_wire(refusal)
}

fn refusal_to_wire(refusal: Refusal) -> JoinRefusal {
    match refusal.code {
        RefusalCode::TokenUnknown => JoinRefusal::UnknownToken,
        RefusalCode::TokenExpired => JoinRefusal::Expired,
        RefusalCode::TokenUsedUp => JoinRefusal::UsedUp,
        RefusalCode::TokenWrongRole => JoinRefusal::WrongRole,
        _ => JoinRefusal::Rejected(refusal.message),
    }
}
