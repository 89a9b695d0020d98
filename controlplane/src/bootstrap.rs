//! How a member comes to be: as the first of a new cluster, or by joining one.
//!
//! The identity file is written last: a directory without one is unfinished, and whatever is in it
//! may be made anew.

use std::fs::{self, DirBuilder, Permissions};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use novacron_controlplane_core::command::{NewMember, NewUser};
use novacron_controlplane_core::user::Role;
use novacron_controlplane_core::{Actor, Command, Envelope, State};
use novacron_daemon::Clock;
use novacron_protocol::join_token::{JoinRole, JoinToken};
use novacron_protocol::limits::MEMBERS_MAX;
use novacron_protocol::record::{self, RecordError};
use novacron_protocol::wire::hello::Peer;
use novacron_protocol::wire::join::{JoinAnswer, JoinRefusal, JoinRequest, MemberAddress};
use novacron_protocol::wire::raft::{Configuration, SnapshotMeta};
use novacron_protocol::{ClusterId, LogIndex, MemberId, Name, Term, UserId};
use novacron_transport::authority::{AuthorityError, key_digest};
use novacron_transport::identity::IdentityError;
use novacron_transport::{ClusterAuthority, Identity, JoinError, KeyRequest};
use uuid::Uuid;

use crate::api::bearer::BearerToken;
use crate::config::{Config, ConfigProblem};
use crate::files;
use crate::raft::{HardState, SegmentStore, StoreError, StoredSnapshot};

/// A first member begins with one snapshot: the state after the first command.
const FIRST_INDEX: LogIndex = LogIndex(1);
const FIRST_TERM: Term = Term(1);
/// Format of the file with the members to dial first.
const CONTACTS_FORMAT: u16 = 1;

/// Why a member could not be made.
#[derive(Debug, thiserror::Error)]
pub enum BootstrapError {
    #[error("{0} holds a member already; use another data_dir, or remove it to start over")]
    Exists(PathBuf),
    #[error("{path}: {source}")]
    File { path: PathBuf, source: std::io::Error },
    #[error(transparent)]
    Config(#[from] ConfigProblem),
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    #[error(transparent)]
    Identity(#[from] IdentityError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Join(#[from] JoinError),
    #[error("the cluster refused: {0}")]
    Refused(#[from] JoinRefusal),
    #[error("{0}")]
    Unexpected(String),
}

/// What `init` has made.
#[derive(Debug)]
pub struct NewCluster {
    pub cluster: ClusterId,
    /// The admin's token, shown once.
    pub admin: BearerToken,
    /// The CLI context file that holds it.
    pub context: PathBuf,
}

/// Makes a new cluster whose first member keeps its things in `config.data_dir`.
pub fn init(config: &Config, name: Name, clock: &Clock) -> Result<NewCluster, BootstrapError> {
    let addresses = config.addresses()?;
    let dir = prepare(&config.data_dir)?;
    let cluster = ClusterId::from_uuid(Uuid::now_v7());
    let member = MemberId(1);
    let authority = ClusterAuthority::create(cluster)?;
    let request = KeyRequest::generate()?;
    let ips = [addresses.cluster.ip(), addresses.api.ip()];
    let certificate =
        authority.sign_member(request.csr(), member, &ips, config.certificate_life())?;
    let key = key_digest(request.csr())?;
    let identity = request.into_identity(&certificate, authority.certificate())?;

    let admin = BearerToken::generate(UserId::from_uuid(Uuid::now_v7()));
    let user = NewUser {
        id: admin.user,
        name: "admin".parse().expect("admin is a name"),
        role: Role::Admin,
        secret: admin.secret.digest(),
    };
    let member = NewMember { id: member, name: config.member_name()?, addresses, key };
    let command = Command::Initialise { cluster, name, member, admin: user };
    let envelope = Envelope::from_actor(clock.timestamp(), Actor::System, command);
    write_first_snapshot(&dir, &envelope)?;

    authority.save(&dir)?;
    let context = dir.join("admin.toml");
    let endpoint = format!("https://{}", addresses.api);
    write_context(&context, &endpoint, &admin, &authority.certificate_pem())?;
    identity.save(&dir)?;
    Ok(NewCluster { cluster, admin, context })
}

/// Joins the cluster of `token` as a further member.
pub async fn join(config: &Config, token: &JoinToken) -> Result<MemberId, BootstrapError> {
    if token.role != JoinRole::Member {
        return Err(BootstrapError::Refused(JoinRefusal::WrongRole));
    }
    let dir = prepare(&config.data_dir)?;
    let request = KeyRequest::load_or_generate(&dir)?;
    let join = JoinRequest {
        token: token.id,
        secret: token.secret,
        role: JoinRole::Member,
        csr: request.csr().to_vec(),
        name: config.member_name()?,
        member: Some(config.addresses()?),
    };
    let welcome = match novacron_transport::join::join_any(token, &join).await? {
        JoinAnswer::Member(welcome) => welcome,
        JoinAnswer::Refused(refusal) => return Err(refusal.into()),
        JoinAnswer::Host(_) => {
            return Err(BootstrapError::Unexpected("the cluster answered as to a host".into()));
        }
    };
    let identity = request.into_identity(&welcome.certificate, &welcome.ca)?;
    if identity.peer() != Peer::Member(welcome.member) {
        return Err(BootstrapError::Unexpected("the certificate is for somebody else".into()));
    }
    SegmentStore::create(&log_path(&dir), &StoredSnapshot::default(), HardState::default())?;
    ClusterAuthority::from_parts(&welcome.ca, &welcome.ca_key)?.save(&dir)?;
    save_contacts(&dir, &welcome.members)?;
    identity.save(&dir)?;
    Ok(welcome.member)
}

/// Where the log of the member in `dir` is.
pub fn log_path(dir: &Path) -> PathBuf {
    dir.join("log")
}

/// The members to dial before the state is known; empty for a first member.
pub fn contacts(dir: &Path) -> Result<Vec<MemberAddress>, BootstrapError> {
    let path = contacts_path(dir);
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(BootstrapError::File { path, source }),
    };
    let path = path.display();
    record::open(CONTACTS_FORMAT, &bytes).map_err(|error| {
        BootstrapError::Unexpected(match error {
            RecordError::Version { .. } => format!("cannot read {path}: {error}"),
            damage => {
                format!("{path} is damaged ({damage}); move the directory away and join again")
            }
        })
    })
}

fn save_contacts(dir: &Path, members: &[MemberAddress]) -> Result<(), BootstrapError> {
    let members: Vec<MemberAddress> = members.iter().copied().take(MEMBERS_MAX).collect();
    let bytes = record::seal(CONTACTS_FORMAT, &members).map_err(unexpected)?;
    write_file(&contacts_path(dir), &bytes)
}

fn contacts_path(dir: &Path) -> PathBuf {
    dir.join("contacts")
}

/// The data directory, private, with nothing of an unfinished attempt but the key of a join.
fn prepare(dir: &Path) -> Result<PathBuf, BootstrapError> {
    let file = |source| BootstrapError::File { path: dir.to_owned(), source };
    DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(file)?;
    fs::set_permissions(dir, Permissions::from_mode(0o700)).map_err(file)?;
    match Identity::load(dir) {
        Err(IdentityError::Missing(_)) => {}
        _ => return Err(BootstrapError::Exists(dir.to_owned())),
    }
    match fs::remove_dir_all(log_path(dir)) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(file(error)),
        _ => Ok(dir.to_owned()),
    }
}

/// The log of a first member begins with a snapshot: the state after the first command.
fn write_first_snapshot(dir: &Path, envelope: &Envelope) -> Result<(), BootstrapError> {
    let mut state = State::default();
    state.apply(FIRST_INDEX, envelope).map_err(unexpected)?;
    let configuration = Configuration { voters: vec![MemberId(1)], ..Configuration::default() };
    let snapshot = StoredSnapshot {
        meta: SnapshotMeta { index: FIRST_INDEX, term: FIRST_TERM, configuration },
        state: state.to_snapshot().map_err(unexpected)?.into(),
    };
    let hard_state = HardState { term: FIRST_TERM, vote: None, commit: FIRST_INDEX };
    SegmentStore::create(&log_path(dir), &snapshot, hard_state)?;
    Ok(())
}

fn write_context(
    path: &Path,
    endpoint: &str,
    admin: &BearerToken,
    ca_pem: &str,
) -> Result<(), BootstrapError> {
    let text = format!(
        "# How `novacron` reaches this cluster as its admin. Keep it secret.\n\
         endpoints = [\"{endpoint}\"]\ntoken = \"{admin}\"\nca_pem = \"\"\"\n{ca_pem}\"\"\"\n"
    );
    write_file(path, text.as_bytes())
}

fn write_file(path: &Path, bytes: &[u8]) -> Result<(), BootstrapError> {
    let file = |source| BootstrapError::File { path: path.to_owned(), source };
    files::replace(path, bytes).map_err(file)
}

fn unexpected(error: impl std::fmt::Display) -> BootstrapError {
    BootstrapError::Unexpected(error.to_string())
}
