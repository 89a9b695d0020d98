//! `/tokens`: join tokens.

use std::net::SocketAddr;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use novacron_controlplane_core::command::{Command, NewToken};
use novacron_controlplane_core::member::MemberRole;
use novacron_controlplane_core::{Outcome, State as Replicated};
use novacron_protocol::TokenId;
use novacron_protocol::api::token::{
    CreateToken, TOKEN_TTL_MAX, TOKEN_TTL_MIN, TOKEN_USES_MAX, TokenCreated, TokenView,
};
use novacron_protocol::api::{Page, ProblemCode};
use novacron_protocol::join_token::{JoinRole, JoinToken};

use super::access::Caller;
use super::answer::{Answer, Reply};
use super::failure::Failure;
use super::input::{Json, Params};
use super::page::PageRequest;
use super::user::shown_once;
use super::vm::unexpected;
use super::{Shared, find, random, view};

/// List the join tokens, without their secrets.
#[utoipa::path(get, path = "/api/v1/tokens", tag = "tokens",
    responses((status = 200, description = "A page of join tokens", body = Page<TokenView>)))]
pub(crate) async fn list(State(api): State<Shared>, mut params: Params) -> Reply {
    let consistency = params.consistency()?;
    let page: PageRequest<TokenId> = PageRequest::take(&mut params, "tokens".to_owned())?;
    params.finish()?;
    let read = api.read(consistency).await?;
    let now = api.clock.timestamp();
    let tokens = read.state.tokens().filter(|token| page.after.is_none_or(|at| token.id > at));
    let page = page.cut(tokens, |token| token.id, |token| view::token(&read.state, token, now));
    Ok(Answer::ok(&page).read_from(&read))
}

/// Make a join token. Its text is shown this once.
#[utoipa::path(post, path = "/api/v1/tokens", tag = "tokens",
    request_body = CreateToken,
    responses((status = 201, description = "The token", body = TokenCreated)))]
pub(crate) async fn create(
    State(api): State<Shared>,
    caller: Caller,
    params: Params,
    Json(request): Json<CreateToken>,
) -> Reply {
    params.finish()?;
    check(&request)?;
    let now = api.clock.timestamp();
    let (id, secret) = (TokenId::from_uuid(random::uuid(now)), random::secret());
    let token = NewToken {
        id,
        role: request.role,
        secret: secret.digest(),
        expires_at: now + request.ttl_ms,
        uses: request.uses,
    };
    let command = match request.host {
        Some(host) => Command::AllowReturn { token, host },
        None => Command::CreateToken(token),
    };
    let change = api.change(&caller, command).await?;
    match change.outcome {
        Outcome::Token(made) if made == id => {}
        Outcome::Token(_) => return Err(shown_once("token")),
        outcome => return Err(unexpected(&outcome)),
    }
    let state = &change.state;
    let (token, cluster) = state
        .token(id)
        .zip(state.cluster())
        .ok_or_else(|| Failure::new(ProblemCode::Conflict, "the token was revoked already"))?;
    let text = JoinToken {
        cluster: cluster.id,
        role: request.role,
        id,
        secret,
        ca_fingerprint: api.ca_fingerprint,
        members: addresses(state),
    };
    let body = TokenCreated { token: view::token(state, token, now), text: text.to_string() };
    Ok(Answer::json(StatusCode::CREATED, &body).after(state))
}

/// Where newcomers find the cluster.
fn addresses(state: &Replicated) -> Vec<SocketAddr> {
    let settled = |role| matches!(role, MemberRole::Learner | MemberRole::Voter);
    let members = state.members().filter(|member| settled(member.role));
    members.map(|member| member.addresses.cluster).collect()
}

fn check(request: &CreateToken) -> Result<(), Failure> {
    let mut errors = Vec::new();
    if !(TOKEN_TTL_MIN..=TOKEN_TTL_MAX).contains(&request.ttl_ms) {
        let message = format!("must be {} to {}", TOKEN_TTL_MIN.0, TOKEN_TTL_MAX.0);
        errors.push(("/ttl_ms", message));
    }
    if !(1..=TOKEN_USES_MAX).contains(&request.uses) {
        errors.push(("/uses", format!("must be 1 to {TOKEN_USES_MAX}")));
    }
    if request.host.is_some() && request.role != JoinRole::Host {
        errors.push(("/role", "must be host where one host is named".to_owned()));
    }
    if request.host.is_some() && request.uses != 1 {
        errors.push(("/uses", "must be 1 where one host is named".to_owned()));
    }
    let Some((pointer, message)) = errors.first() else { return Ok(()) };
    let failure = Failure::new(ProblemCode::InvalidRequest, format!("{pointer}: {message}"));
    Err(errors
        .into_iter()
        .fold(failure, |failure, (pointer, message)| failure.on(pointer, message)))
}

/// Revoke a join token. Who joined with it stays.
#[utoipa::path(delete, path = "/api/v1/tokens/{token}", tag = "tokens",
    params(("token" = TokenId, Path, description = "Id")),
    responses((status = 204, description = "It is revoked")))]
pub(crate) async fn revoke(
    State(api): State<Shared>,
    caller: Caller,
    Path(token): Path<String>,
    params: Params,
) -> Reply {
    params.finish()?;
    let token = find::token(&token)?;
    let change = api.change(&caller, Command::RevokeToken { token }).await?;
    Ok(Answer::empty().after(&change.state))
}
