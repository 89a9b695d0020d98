//! Join tokens as the state keeps them: without their secret.

use bincode::{Decode, Encode};
use novacron_protocol::join_token::JoinRole;
use novacron_protocol::{Digest, Name, Timestamp, TokenId};

#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub struct Token {
    pub id: TokenId,
    pub role: JoinRole,
    pub secret: Digest,
    pub created_at: Timestamp,
    pub created_by: Option<Name>,
    pub expires_at: Timestamp,
    pub uses_left: u32,
}

impl Token {
    pub fn is_expired(&self, now: Timestamp) -> bool {
        now >= self.expires_at
    }
}
