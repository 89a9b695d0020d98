//! What can be asked of the replicated state, as kept in the Raft log.
//!
//! Bounds and shapes are checked where a request enters (the API, a session), what depends on the
//! state is checked in `apply`, where every member decides the same.

use bincode::{Decode, Encode};
use novacron_protocol::codec::{self, CodecError};
use novacron_protocol::host::{Connectivity, HostInventory};
use novacron_protocol::image::ImageBoot;
use novacron_protocol::join_token::JoinRole;
use novacron_protocol::limits::COMMAND_BYTES_MAX;
use novacron_protocol::vm::{ObservedVm, StopMode, VmSpec};
use novacron_protocol::wire::join::MemberAddresses;
use novacron_protocol::{
    ByteCount, ClusterId, Digest, Generation, HostId, ImageId, LogIndex, MemberId, Name,
    OperationId, RequestId, Timestamp, TokenId, UserId, VmId,
};

use crate::user::Role;

/// Newest version of [`Command`] this build writes and reads. Variants are only ever appended;
/// a change to an existing one needs a new variant.
pub const COMMAND_VERSION: u16 = 2;

/// A command with who asked, when, and what makes a repeat of it recognisable.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Envelope {
    /// The oldest that has the command, so that members a release behind stumble over new commands
    /// only.
    pub version: u16,
    /// The proposing member's clock. `apply` never lets the state's clock go back.
    pub at: Timestamp,
    pub actor: Actor,
    /// A repeat with the same id is answered from the first; `None` for idempotent commands.
    pub request: Option<RequestKey>,
    pub command: Command,
}

/// Identity of a try-once request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct RequestKey {
    pub id: RequestId,
    /// Digest of what was asked: the same id with another digest is a mistake of the client's.
    pub fingerprint: Digest,
}

/// Who asked.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Encode, Decode)]
pub enum Actor {
    /// The control plane itself: its leader's loops.
    System,
    User {
        id: UserId,
        name: Name,
    },
    Host(HostId),
    Member(MemberId),
    /// The bearer of a join token.
    Token(TokenId),
    /// Somebody who has not proven to be anybody.
    Unknown {
        address: String,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum Command {
    /// The first command of a cluster.
    Initialise {
        cluster: ClusterId,
        name: Name,
        member: NewMember,
        admin: NewUser,
    },

    CreateUser(NewUser),
    DeleteUser {
        user: UserId,
    },

    CreateToken(NewToken),
    RevokeToken {
        token: TokenId,
    },
    /// Lets the bearer of a token in. With the key that was let in before: the same answer.
    Redeem(Redemption),
    /// Puts on record that somebody was refused.
    RecordRefusal {
        what: String,
        why: String,
    },

    /// Takes a member out; the leader's membership loop does the Raft part.
    RemoveMember {
        member: MemberId,
    },

    SetInventory {
        host: HostId,
        inventory: HostInventory,
    },
    /// Agents' connections as the leader sees them, coalesced.
    SetConnectivity {
        hosts: Vec<(HostId, Connectivity)>,
    },
    Cordon {
        host: HostId,
        reason: String,
    },
    Uncordon {
        host: HostId,
    },
    /// Refused while VMs are placed there. Revokes the host's identity.
    RemoveHost {
        host: HostId,
    },

    CreateImage(NewImage),
    /// A member has every blob of an image.
    HoldImage {
        image: ImageId,
        member: MemberId,
    },
    DeleteImage {
        image: ImageId,
    },

    CreateVm(NewVm),
    SetTarget {
        vm: VmId,
        action: VmAction,
        operation: OperationId,
        expected: Option<LogIndex>,
    },
    /// The leader's choice; validated again in `apply`.
    Place {
        vm: VmId,
        host: HostId,
    },
    /// What an agent reported, the changed VMs only.
    Observe {
        host: HostId,
        generation: Generation,
        vms: Vec<ObservedVm>,
    },

    CancelOperation {
        operation: OperationId,
    },
    /// Ends the named operations, if their deadline has passed by `at`.
    ExpireOperations {
        operations: Vec<OperationId>,
    },

    /// Since version 2. Makes a token with which one host, that is known already, comes back.
    AllowReturn {
        token: NewToken,
        host: HostId,
    },
}

#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct NewMember {
    pub id: MemberId,
    pub name: Name,
    pub addresses: MemberAddresses,
    /// BLAKE3 of the member's public key.
    pub key: Digest,
}

#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct NewUser {
    pub id: UserId,
    pub name: Name,
    pub role: Role,
    /// BLAKE3 of the bearer token's secret.
    pub secret: Digest,
}

#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct NewToken {
    pub id: TokenId,
    pub role: JoinRole,
    pub secret: Digest,
    pub expires_at: Timestamp,
    pub uses: u32,
}

#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Redemption {
    pub token: TokenId,
    pub secret: Digest,
    pub role: JoinRole,
    /// BLAKE3 of the newcomer's public key.
    pub key: Digest,
    pub name: Name,
    /// Id for a new host; unused when the key is known.
    pub host: HostId,
    /// Addresses of a new member; its id is the next free one.
    pub member: Option<MemberAddresses>,
}

#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct NewImage {
    pub name: Name,
    pub boot: ImageBoot,
    /// Bytes of all its blobs, expanded.
    pub size: ByteCount,
    /// The member that has them all.
    pub holder: MemberId,
    pub operation: OperationId,
}

#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct NewVm {
    pub id: VmId,
    pub name: Name,
    pub spec: VmSpec,
    pub start: StartPolicy,
    pub operation: OperationId,
}

/// Whether a new VM is started.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub enum StartPolicy {
    Start,
    LeaveStopped,
}

/// What a user can ask of a VM that exists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub enum VmAction {
    Start,
    Stop(StopMode),
    Restart(StopMode),
    Delete,
}

/// Bytes that are no command this release knows.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeCommandError {
    #[error("a command of version {version}; this release knows up to {COMMAND_VERSION}")]
    TooNew { version: u16 },
    #[error(transparent)]
    Codec(#[from] CodecError),
}

impl Command {
    /// The version that brought it.
    const fn version(&self) -> u16 {
        match self {
            Self::AllowReturn { .. } => 2,
            _ => 1,
        }
    }
}

impl Envelope {
    /// A command of the control plane itself.
    pub fn system(at: Timestamp, command: Command) -> Self {
        Self::from_actor(at, Actor::System, command)
    }

    /// A command on behalf of `actor`.
    pub fn from_actor(at: Timestamp, actor: Actor, command: Command) -> Self {
        Self { version: command.version(), at, actor, request: None, command }
    }

    /// The same, recognisable when it comes again.
    #[must_use]
    pub fn once(mut self, key: RequestKey) -> Self {
        self.request = Some(key);
        self
    }

    pub fn encode(&self) -> Result<Vec<u8>, CodecError> {
        let bytes = codec::encode(self)?;
        match bytes.len() {
            len if len > COMMAND_BYTES_MAX => {
                Err(CodecError::TooLong { len, max: COMMAND_BYTES_MAX })
            }
            _ => Ok(bytes),
        }
    }

    /// Reads a command. One of a newer release is told apart from one that is damaged: the version
    /// is the first field for all time.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeCommandError> {
        let version: u16 = codec::decode_prefix(bytes, COMMAND_BYTES_MAX)?;
        if version > COMMAND_VERSION {
            return Err(DecodeCommandError::TooNew { version });
        }
        Ok(codec::decode(bytes, COMMAND_BYTES_MAX)?)
    }
}

impl std::fmt::Display for Actor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::System => f.write_str("system"),
            Self::User { name, .. } => write!(f, "user {name}"),
            Self::Host(id) => write!(f, "host {id}"),
            Self::Member(id) => write!(f, "member {id}"),
            Self::Token(id) => write!(f, "token {id}"),
            Self::Unknown { address } => write!(f, "somebody at {address}"),
        }
    }
}
