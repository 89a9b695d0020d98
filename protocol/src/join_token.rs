//! The text a new host or member joins with.
//!
//! `novacron1.` followed by URL-safe base64 of the encoded [`JoinToken`]. It carries all a machine
//! needs to find the cluster, to know that it is the right one, and to be let in once.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bincode::{Decode, Encode};
use serde::{Deserialize, Serialize};

use crate::codec;
use crate::limits::{HELLO_BYTES_MAX, MEMBERS_MAX};
use crate::{ClusterId, Digest, TokenId};

const PREFIX: &str = "novacron1.";

/// What the bearer of a token may become.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum JoinRole {
    Host,
    Member,
}

/// 32 random bytes that prove possession of a token. Never printed by `Debug`.
#[derive(Clone, Copy, PartialEq, Eq, Encode, Decode)]
pub struct Secret(pub [u8; 32]);

impl Secret {
    /// What the replicated state keeps of a secret. The secret has 256 random bits, so a plain
    /// hash of it cannot be searched.
    pub fn digest(&self) -> Digest {
        Digest::of(&self.0)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// A join token in the clear.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct JoinToken {
    pub cluster: ClusterId,
    pub role: JoinRole,
    pub id: TokenId,
    pub secret: Secret,
    /// SHA-256 of the cluster CA's certificate (DER).
    pub ca_fingerprint: [u8; 32],
    /// QUIC addresses of members at the time the token was made.
    pub members: Vec<SocketAddr>,
}

/// Text that is not a join token.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a join token ({0}); make one with `novacron token create`")]
pub struct JoinTokenError(&'static str);

impl fmt::Display for JoinToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bytes = codec::encode(self).map_err(|_| fmt::Error)?;
        write!(f, "{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes))
    }
}

impl FromStr for JoinToken {
    type Err = JoinTokenError;

    fn from_str(text: &str) -> Result<Self, JoinTokenError> {
        let body = text
            .trim()
            .strip_prefix(PREFIX)
            .ok_or(JoinTokenError("it does not begin with `novacron1.`"))?;
        let bytes =
            URL_SAFE_NO_PAD.decode(body).map_err(|_| JoinTokenError("it was cut or changed"))?;
        let token: Self = codec::decode(&bytes, HELLO_BYTES_MAX)
            .map_err(|_| JoinTokenError("it was cut or changed"))?;
        if !(1..=MEMBERS_MAX).contains(&token.members.len()) {
            return Err(JoinTokenError("it names no member"));
        }
        Ok(token)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use uuid::Uuid;

    fn token() -> JoinToken {
        JoinToken {
            cluster: ClusterId::from_uuid(Uuid::from_u128(1)),
            role: JoinRole::Host,
            id: TokenId::from_uuid(Uuid::from_u128(2)),
            secret: Secret([7; 32]),
            ca_fingerprint: [9; 32],
            members: vec!["[::1]:7410".parse().unwrap(), "127.0.0.1:7410".parse().unwrap()],
        }
    }

    #[test]
    fn a_token_survives_being_copied_with_white_space() {
        let text = token().to_string();
        assert_eq!(format!("  {text}\n").parse(), Ok(token()));
    }

    #[test]
    fn a_secret_is_not_printed_by_debug() {
        assert!(!format!("{:?}", token()).contains('7'.to_string().repeat(2).as_str()));
    }

    proptest! {
        #[test]
        fn a_cut_or_hostile_token_is_refused(cut in 0_usize..200, noise in ".{0,200}") {
            let text = token().to_string();
            let cut = cut.min(text.len() - 1);
            prop_assert!(text[..cut].parse::<JoinToken>().is_err());
            let _ = format!("{PREFIX}{noise}").parse::<JoinToken>();
        }
    }
}
