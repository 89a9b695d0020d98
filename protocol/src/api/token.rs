//! Join tokens.

use serde::{Deserialize, Serialize};

use crate::api::time::UtcTime;
use crate::join_token::JoinRole;
use crate::{HostId, Millis, Name, TokenId};

/// `POST /tokens`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CreateToken {
    pub role: JoinRole,
    /// Its life in milliseconds, 1 s to 30 days.
    #[serde(default = "default_ttl")]
    pub ttl_ms: Millis,
    /// How many may join with it, 1 to 10,000.
    #[serde(default = "default_uses")]
    pub uses: u32,
    /// The one host, known already, that comes back with it: under its id, with a new certificate.
    /// Its certificates from before are refused then. Good for one use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<HostId>,
}

/// Shortest and longest life of a token. Beyond a month a forgotten token is a danger.
pub const TOKEN_TTL_MIN: Millis = Millis(1_000);
pub const TOKEN_TTL_MAX: Millis = Millis(30 * 24 * 3_600 * 1_000);
/// Most uses of one token: as many as there may be hosts.
pub const TOKEN_USES_MAX: u32 = 10_000;

const fn default_ttl() -> Millis {
    Millis(3_600 * 1_000)
}

const fn default_uses() -> u32 {
    1
}

/// `201` to `POST /tokens`. The only time the token's text is shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TokenCreated {
    pub token: TokenView,
    /// What the newcomer joins with.
    pub text: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct TokenView {
    pub id: TokenId,
    pub role: JoinRole,
    pub created_at: UtcTime,
    /// The user who made it.
    pub created_by: Option<Name>,
    pub expires_at: UtcTime,
    pub uses_left: u32,
    /// The one host that comes back with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<HostId>,
    /// Whether somebody may still join with it.
    pub valid: bool,
}
