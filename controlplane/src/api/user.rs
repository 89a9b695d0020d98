//! `/users`: who may call the API.

use axum::extract::{Path, State};
use axum::http::StatusCode;
use novacron_controlplane_core::Outcome;
use novacron_controlplane_core::command::{Command, NewUser};
use novacron_controlplane_core::user::Role;
use novacron_protocol::UserId;
use novacron_protocol::api::user::{CreateUser, UserCreated, UserRole, UserView};
use novacron_protocol::api::{Page, ProblemCode};

use super::access::Caller;
use super::answer::{Answer, Reply};
use super::bearer::BearerToken;
use super::failure::Failure;
use super::input::{Json, Params};
use super::page::PageRequest;
use super::vm::unexpected;
use super::{Shared, find, random, view};
use crate::cluster::Consistency;

/// List the users.
#[utoipa::path(get, path = "/api/v1/users", tag = "users",
    responses((status = 200, description = "A page of users", body = Page<UserView>)))]
pub(crate) async fn list(State(api): State<Shared>, mut params: Params) -> Reply {
    let consistency = params.consistency()?;
    let page: PageRequest<UserId> = PageRequest::take(&mut params, "users".to_owned())?;
    params.finish()?;
    let read = api.read(consistency).await?;
    let users = read.state.users().filter(|user| page.after.is_none_or(|after| user.id > after));
    let page = page.cut(users, |user| user.id, view::user);
    Ok(Answer::ok(&page).read_from(&read))
}

/// Make a user. Its bearer token is shown this once.
#[utoipa::path(post, path = "/api/v1/users", tag = "users",
    request_body = CreateUser,
    responses((status = 201, description = "The user and its token", body = UserCreated)))]
pub(crate) async fn create(
    State(api): State<Shared>,
    caller: Caller,
    params: Params,
    Json(request): Json<CreateUser>,
) -> Reply {
    params.finish()?;
    let id = UserId::from_uuid(random::uuid(api.clock.timestamp()));
    let token = BearerToken::generate(id);
    let command = Command::CreateUser(NewUser {
        id,
        name: request.name,
        role: match request.role {
            UserRole::Viewer => Role::Viewer,
            UserRole::Operator => Role::Operator,
            UserRole::Admin => Role::Admin,
        },
        secret: token.secret.digest(),
    });
    let change = api.change(&caller, command).await?;
    match change.outcome {
        Outcome::User(made) if made == id => {}
        Outcome::User(_) => return Err(shown_once("user")),
        outcome => return Err(unexpected(&outcome)),
    }
    let user = change.state.user(id).ok_or_else(|| find::missing("user", id))?;
    let body = UserCreated { user: view::user(user), token: token.to_string() };
    Ok(Answer::json(StatusCode::CREATED, &body).after(&change.state))
}

/// A repeat of a request whose first answer had a secret that nobody keeps.
pub(crate) fn shown_once(what: &str) -> Failure {
    let detail = format!("the {what} was made by an earlier request with this Idempotency-Key");
    Failure::new(ProblemCode::Conflict, detail)
        .hint("its secret is shown only once; if that answer was lost, delete it and make another")
}

/// Delete a user. Its token ends at once.
#[utoipa::path(delete, path = "/api/v1/users/{user}", tag = "users",
    params(("user" = String, Path, description = "Id or name")),
    responses((status = 204, description = "It is deleted")))]
pub(crate) async fn delete(
    State(api): State<Shared>,
    caller: Caller,
    Path(user): Path<String>,
    params: Params,
) -> Reply {
    params.finish()?;
    let read = api.read(Consistency::Linearizable).await?;
    let user = find::user(&read.state, &user)?.id;
    let change = api.change(&caller, Command::DeleteUser { user }).await?;
    Ok(Answer::empty().after(&change.state))
}
