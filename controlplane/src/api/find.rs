//! From the text in a path to the thing it names: an id, or else a whole name.

use std::fmt::Display;
use std::str::FromStr;

use novacron_controlplane_core::State;
use novacron_controlplane_core::host::Host;
use novacron_controlplane_core::image::Image;
use novacron_controlplane_core::member::Member;
use novacron_controlplane_core::operation::Operation;
use novacron_controlplane_core::user::User;
use novacron_controlplane_core::vm::Vm;
use novacron_protocol::TokenId;
use novacron_protocol::api::ProblemCode;

use super::failure::Failure;
use super::input::short;

pub(crate) fn vm<'a>(state: &'a State, text: &str) -> Result<&'a Vm, Failure> {
    by_id_or_name(text, |id| state.vm(id), |name| state.vm_by_name(&name)).or_missing("VM", text)
}

pub(crate) fn host<'a>(state: &'a State, text: &str) -> Result<&'a Host, Failure> {
    by_id_or_name(text, |id| state.host(id), |name| state.host_by_name(&name))
        .or_missing("host", text)
}

pub(crate) fn image<'a>(state: &'a State, text: &str) -> Result<&'a Image, Failure> {
    by_id_or_name(text, |id| state.image(id), |name| state.image_by_name(&name))
        .or_missing("image", text)
}

pub(crate) fn member<'a>(state: &'a State, text: &str) -> Result<&'a Member, Failure> {
    let by_name = |name| state.members().find(|member| member.name == name);
    by_id_or_name(text, |id| state.member(id), by_name).or_missing("member", text)
}

pub(crate) fn user<'a>(state: &'a State, text: &str) -> Result<&'a User, Failure> {
    let by_name = |name| state.users().find(|user| user.name == name);
    by_id_or_name(text, |id| state.user(id), by_name).or_missing("user", text)
}

pub(crate) fn operation<'a>(state: &'a State, text: &str) -> Result<&'a Operation, Failure> {
    text.parse().ok().and_then(|id| state.operation(id)).or_missing("operation", text)
}

pub(crate) fn token(text: &str) -> Result<TokenId, Failure> {
    text.parse().ok().or_missing("token", text)
}

/// There is no such thing.
pub(crate) fn missing(what: &str, text: impl Display) -> Failure {
    let text = short(&text.to_string());
    Failure::new(ProblemCode::NotFound, format!("there is no {what} {text}"))
}

fn by_id_or_name<'a, I: FromStr, N: FromStr, T>(
    text: &str,
    by_id: impl FnOnce(I) -> Option<&'a T>,
    by_name: impl FnOnce(N) -> Option<&'a T>,
) -> Option<&'a T> {
    let found = text.parse().ok().and_then(by_id);
    found.or_else(|| text.parse().ok().and_then(by_name))
}

trait OrMissing<T> {
    fn or_missing(self, what: &str, text: &str) -> Result<T, Failure>;
}

impl<T> OrMissing<T> for Option<T> {
    fn or_missing(self, what: &str, text: &str) -> Result<T, Failure> {
        self.ok_or_else(|| missing(what, text))
    }
}
