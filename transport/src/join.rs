//! A newcomer's only exchange: token and key request in, certificate out.

use std::net::SocketAddr;

use novacron_protocol::join_token::JoinToken;
use novacron_protocol::wire::join::{JoinAnswer, JoinRequest};

/// Why a join got no answer. (A refusal is an answer.)
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JoinError {
    /// Try another member, or again.
    #[error("cannot reach {addr}: {detail}")]
    Unreachable { addr: SocketAddr, detail: String },
    /// Whoever answers there is not the cluster that the token is for. Do not try again.
    #[error("{addr} is not the token's cluster: {detail}")]
    WrongCluster { addr: SocketAddr, detail: String },
    #[error("{addr} broke the protocol: {detail}")]
    Violation { addr: SocketAddr, detail: String },
}

/// A newcomer that waits for its answer.
#[derive(Debug)]
pub struct JoinExchange;

#[expect(unused_variables, reason = "signatures first")]
impl JoinExchange {
    pub fn request(&self) -> &JoinRequest {
        unimplemented!()
    }

    pub fn remote_addr(&self) -> SocketAddr {
        unimplemented!()
    }

    pub async fn answer(self, answer: &JoinAnswer) -> Result<(), JoinError> {
        unimplemented!()
    }
}

/// Asks the member at `addr`, which must show a certificate of the CA that the token pins.
#[expect(unused_variables, reason = "signatures first")]
pub async fn join(
    addr: SocketAddr,
    token: &JoinToken,
    request: &JoinRequest,
) -> Result<JoinAnswer, JoinError> {
    unimplemented!()
}

/// Asks the token's members in turn until one answers other than `Unavailable`.
#[expect(unused_variables, reason = "signatures first")]
pub async fn join_any(token: &JoinToken, request: &JoinRequest) -> Result<JoinAnswer, JoinError> {
    unimplemented!()
}
