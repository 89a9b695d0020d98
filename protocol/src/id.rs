//! Names for things that must not be mistaken for one another.
//!
//! Ids are made by whoever creates the thing (uuid v7, so they sort by age) and never re-used.
//! Counters (`Generation`, `LogIndex`, `Term`) only grow.

use std::fmt;
use std::str::FromStr;

use bincode::{Decode, Encode};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::Digest;

/// Text that is not an id of the wanted kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a {kind} id ({expected})")]
pub struct IdError {
    pub kind: &'static str,
    pub text: String,
    pub expected: &'static str,
}

macro_rules! uuid_id {
    ($($(#[$doc:meta])* $name:ident = $kind:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        #[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(value_type = String, format = "uuid"))]
        pub struct $name([u8; 16]);

        impl $name {
            pub const fn from_uuid(uuid: Uuid) -> Self {
                Self(uuid.into_bytes())
            }

            pub const fn as_uuid(self) -> Uuid {
                Uuid::from_bytes(self.0)
            }

            /// The id's sixteen bytes, for keys and hashes.
            pub const fn as_bytes(&self) -> &[u8; 16] {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.as_uuid().as_hyphenated().fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($kind, ":{}"), self)
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                Uuid::try_parse(text).map(Self::from_uuid).map_err(|_| IdError {
                    kind: $kind,
                    text: text.chars().take(64).collect(),
                    expected: "a UUID",
                })
            }
        }

        impl TryFrom<String> for $name {
            type Error = IdError;

            fn try_from(text: String) -> Result<Self, IdError> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> Self {
                id.to_string()
            }
        }
    )*};
}

uuid_id! {
    /// One NovaCron cluster, made at `init`.
    ClusterId = "cluster";
    /// A hypervisor machine, made when its agent joins.
    HostId = "host";
    /// A virtual machine; also the UUID of its libvirt domain.
    VmId = "vm";
    /// A long-running request.
    OperationId = "operation";
    /// A join token; public, unlike its secret.
    TokenId = "token";
    /// Somebody who may call the API.
    UserId = "user";
    /// One try-once request to the replicated state; a repeat is answered from the first.
    RequestId = "request";
}

macro_rules! counter {
    ($($(#[$doc:meta])* $name:ident = $kind:literal;)*) => {$(
        $(#[$doc])*
        #[derive(
            Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode, Serialize, Deserialize,
        )]
        #[serde(transparent)]
        #[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(value_type = u64))]
        pub struct $name(pub u64);

        impl $name {
            /// The next one. Saturates: at a million a second that takes 500,000 years.
            #[must_use]
            pub const fn next(self) -> Self {
                Self(self.0.saturating_add(1))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl FromStr for $name {
            type Err = IdError;

            fn from_str(text: &str) -> Result<Self, IdError> {
                text.parse().map(Self).map_err(|_| IdError {
                    kind: $kind,
                    text: text.chars().take(64).collect(),
                    expected: "a number",
                })
            }
        }
    )*};
}

counter! {
    /// Number of a host's desired set; an agent refuses a lower one than it has seen.
    Generation = "generation";
    /// Position in the Raft log; also the version of the state after it and the cursor of events.
    LogIndex = "log index";
    /// Raft term.
    Term = "term";
    /// A control-plane server; never 0, which Raft keeps for "nobody".
    MemberId = "member";
}

/// An image: the digest of its manifest, so an id names its content.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode, Serialize, Deserialize,
)]
#[serde(transparent)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(value_type = String))]
pub struct ImageId(pub Digest);

impl fmt::Display for ImageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for ImageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "image:{}", self.0)
    }
}

impl FromStr for ImageId {
    type Err = crate::digest::DigestError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}
