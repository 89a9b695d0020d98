//! Becoming a host of a cluster: token and key request in, identity and members out.

use novacron_protocol::join_token::{JoinRole, JoinToken};
use novacron_protocol::wire::hello::Peer;
use novacron_protocol::wire::join::{HostWelcome, JoinAnswer, JoinRefusal, JoinRequest};
use novacron_protocol::{ClusterId, HostId, Name};
use novacron_transport::identity::IdentityError;
use novacron_transport::join::join_any;
use novacron_transport::{Identity, JoinError, KeyRequest};

use crate::config::Config;
use crate::members::{MembersError, MembersFile};
use crate::vm_files::make_dir;

/// What a host became.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Joined {
    pub cluster: ClusterId,
    pub host: HostId,
    pub name: Name,
}

/// Why a host did not join.
#[derive(Debug, thiserror::Error)]
pub enum EnrolError {
    #[error(
        "this host has joined already, as {host}; to let it in again, make a token for it with \
         `novacron token create --role host --host {host}` and join with `--again`"
    )]
    Already { host: String },
    #[error("this host is of another cluster than the token")]
    OtherCluster,
    #[error(
        "the token made this host {theirs}, and it was {ours}; nothing is changed here. Remove \
         {theirs}, and make a token with `novacron token create --role host --host {ours}`"
    )]
    OtherHost { ours: Peer, theirs: Peer },
    #[error("the token is for a member; make one with `novacron token create --role host`")]
    WrongRole,
    #[error("{0}")]
    Config(String),
    #[error("the cluster refused: {0}")]
    Refused(#[from] JoinRefusal),
    #[error("the cluster gave an answer that is none")]
    WrongAnswer,
    #[error(transparent)]
    Join(#[from] JoinError),
    #[error(transparent)]
    Identity(#[from] IdentityError),
    #[error(transparent)]
    Members(#[from] MembersError),
    #[error("cannot make the data directory: {0}")]
    Io(#[from] std::io::Error),
}

/// Whether a host that has joined already may join.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Entry {
    First,
    /// With a token that is made for this one host. It gets a new certificate and stays who it is.
    Again,
}

/// Joins the cluster of `token`. A join that was cut off may be done again: it uses the same key.
pub async fn join(config: &Config, token: &JoinToken, entry: Entry) -> Result<Joined, EnrolError> {
    let dir = &config.data_dir;
    if token.role != JoinRole::Host {
        return Err(EnrolError::WrongRole);
    }
    make_dir(dir)?;
    let before = Identity::load(dir).ok();
    check_before(before.as_ref(), token, entry)?;
    let key = KeyRequest::load_or_generate(dir)?;
    let name = config.host_name().map_err(EnrolError::Config)?;
    let request = JoinRequest {
        token: token.id,
        secret: token.secret,
        role: JoinRole::Host,
        csr: key.csr().to_vec(),
        name: name.clone(),
        member: None,
    };
    let welcome = match join_any(token, &request).await? {
        JoinAnswer::Host(welcome) if welcome.cluster == token.cluster => welcome,
        JoinAnswer::Refused(refusal) => return Err(refusal.into()),
        JoinAnswer::Host(_) | JoinAnswer::Member(_) => return Err(EnrolError::WrongAnswer),
    };
    let HostWelcome { cluster, host, certificate, ca, members } = welcome;
    let (ours, theirs) = (before.as_ref().map(Identity::peer), Peer::Host(host));
    if let Some(ours) = ours.filter(|ours| *ours != theirs) {
        return Err(EnrolError::OtherHost { ours, theirs });
    }
    let identity = key.into_identity(&certificate, &ca)?;
    // The identity last: with it, the host counts as joined.
    MembersFile::create(dir, &members)?;
    identity.save(dir)?;
    Ok(Joined { cluster, host, name })
}

/// Whether a host that has the identity `before` may ask with `token`.
fn check_before(
    before: Option<&Identity>,
    token: &JoinToken,
    entry: Entry,
) -> Result<(), EnrolError> {
    let Some(before) = before else { return Ok(()) };
    let Peer::Host(host) = before.peer() else { return Err(EnrolError::WrongRole) };
    match entry {
        Entry::First => Err(EnrolError::Already { host: host.to_string() }),
        Entry::Again if before.cluster() != token.cluster => Err(EnrolError::OtherCluster),
        Entry::Again => Ok(()),
    }
}
