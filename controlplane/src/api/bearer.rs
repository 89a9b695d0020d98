//! The text a user proves itself with: `nc_<user id>_<secret>`.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use novacron_protocol::UserId;
use novacron_protocol::join_token::Secret;
use uuid::Uuid;

use super::random;

/// A bearer token in the clear: the user's id as 32 hexadecimal digits and a secret of 256 random
/// bits as URL-safe base64. The state keeps the secret's digest only. `Debug` does not print it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BearerToken {
    pub user: UserId,
    pub secret: Secret,
}

/// Text that is not a bearer token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a bearer token of this program")]
pub struct BearerTokenError;

const PREFIX: &str = "nc_";
const USER_DIGITS: usize = 32;

impl BearerToken {
    /// A new secret for `user`.
    pub fn generate(user: UserId) -> Self {
        Self { user, secret: random::secret() }
    }
}

impl fmt::Display for BearerToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let secret = URL_SAFE_NO_PAD.encode(self.secret.0);
        write!(f, "{PREFIX}{}_{secret}", self.user.as_uuid().simple())
    }
}

impl FromStr for BearerToken {
    type Err = BearerTokenError;

    fn from_str(text: &str) -> Result<Self, BearerTokenError> {
        let body = text.strip_prefix(PREFIX).ok_or(BearerTokenError)?;
        let (user, secret) = body.split_once('_').ok_or(BearerTokenError)?;
        if user.len() != USER_DIGITS {
            return Err(BearerTokenError);
        }
        let user = Uuid::try_parse(user).map_err(|_| BearerTokenError)?;
        let mut bytes = [0; 32];
        let len = URL_SAFE_NO_PAD.decode_slice(secret, &mut bytes).map_err(|_| BearerTokenError)?;
        match len {
            32 => Ok(Self { user: UserId::from_uuid(user), secret: Secret(bytes) }),
            _ => Err(BearerTokenError),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn token() -> BearerToken {
        BearerToken { user: UserId::from_uuid(Uuid::from_u128(7)), secret: Secret([200; 32]) }
    }

    #[test]
    fn a_token_reads_back_and_is_not_printed_by_debug() {
        let text = token().to_string();
        assert!(text.starts_with("nc_00000000000000000000000000000007_"), "{text}");
        assert_eq!(text.parse(), Ok(token()));
        assert!(!format!("{:?}", token()).contains("200"));
    }

    proptest! {
        #[test]
        fn cut_or_hostile_text_is_refused(cut in 0_usize..78, noise in "\\PC{0,90}") {
            let text = token().to_string();
            prop_assert!(text[..cut.min(text.len() - 1)].parse::<BearerToken>().is_err());
            let _ = noise.parse::<BearerToken>();
            let _ = format!("nc_00000000000000000000000000000007_{noise}").parse::<BearerToken>();
        }
    }
}
