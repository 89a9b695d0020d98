//! From what a person types to the one thing that is meant: a name, an id, or the beginning of an
//! id that nothing else begins with.

use novacron_protocol::api::ProblemCode;
use novacron_protocol::api::host::HostView;
use novacron_protocol::api::image::ImageView;
use novacron_protocol::api::member::MemberView;
use novacron_protocol::api::operation::OperationView;
use novacron_protocol::api::token::TokenView;
use novacron_protocol::api::user::UserView;
use novacron_protocol::api::vm::VmView;
use novacron_protocol::{Digest, Name};
use serde::de::DeserializeOwned;
use uuid::Uuid;

use crate::client::{Answer, Client, encode};
use crate::failure::Failure;

/// A kind of thing that people refer to.
pub(crate) trait Kind: DeserializeOwned {
    /// As in the command and in sentences.
    const NOUN: &'static str;
    /// Its list in the API.
    const PATH: &'static str;
    /// By what the API finds one of them.
    const DIRECT: Direct;

    fn id(&self) -> String;

    fn name(&self) -> Option<&str> {
        None
    }
}

/// By what `PATH/{text}` finds a thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direct {
    Nothing,
    Id,
    NameOrId,
}

macro_rules! kinds {
    ($($view:ty, $noun:literal, $path:literal, $direct:ident $(, $name:ident)?;)*) => {$(
        impl Kind for $view {
            const NOUN: &'static str = $noun;
            const PATH: &'static str = $path;
            const DIRECT: Direct = Direct::$direct;

            fn id(&self) -> String {
                self.id.to_string()
            }

            $(fn name(&self) -> Option<&str> {
                Some(self.$name.as_str())
            })?
        }
    )*};
}

kinds! {
    VmView, "vm", "/vms", NameOrId, name;
    HostView, "host", "/hosts", NameOrId, name;
    ImageView, "image", "/images", NameOrId, name;
    MemberView, "member", "/members", NameOrId, name;
    UserView, "user", "/users", Nothing, name;
    TokenView, "token", "/tokens", Nothing;
    OperationView, "operation", "/operations", Id;
}

/// Most candidates that are listed for an ambiguous beginning.
const CANDIDATES_MAX: usize = 10;
/// Shortest beginning of an id in a table: eight hexadecimal digits, the first group of a UUID.
const SHORT_ID_LEN: usize = 8;

/// Finds the one thing that `text` means.
pub(crate) fn find<T: Kind>(client: &Client, text: &str) -> Result<Answer<T>, Failure> {
    let is_id = Uuid::try_parse(text).is_ok() || text.parse::<Digest>().is_ok();
    let is_direct = match T::DIRECT {
        Direct::Nothing => false,
        Direct::Id => is_id,
        Direct::NameOrId => is_id || text.parse::<Name>().is_ok(),
    };
    if is_direct {
        match client.get(&format!("{}/{}", T::PATH, encode(text))) {
            Err(error) if error.is(ProblemCode::NotFound) => {}
            answer => return Ok(answer?),
        }
    }
    let Answer { value, view } = client.list::<T>(T::PATH)?;
    let at = pick(text, &view)?;
    let value = value.get(at).cloned().unwrap_or_default();
    let view = view.into_iter().nth(at).expect("picked from this list");
    Ok(Answer { value, view })
}

/// Which of `items` is meant. A whole name or id goes before a beginning.
fn pick<T: Kind>(text: &str, items: &[T]) -> Result<usize, Failure> {
    let named = |item: &T| item.name() == Some(text) || item.id() == text;
    if let Some(at) = items.iter().position(named) {
        return Ok(at);
    }
    let begins = |at: &usize| !text.is_empty() && items[*at].id().starts_with(text);
    let candidates: Vec<usize> = (0..items.len()).filter(begins).collect();
    match candidates[..] {
        [at] => Ok(at),
        [] => Err(Failure::new(format!("there is no {} `{text}`", T::NOUN))
            .hint(format!("`novacron {} list` shows what there is", T::NOUN))),
        _ => Err(ambiguous(text, candidates.iter().map(|at| &items[*at]).collect())),
    }
}

fn ambiguous<T: Kind>(text: &str, candidates: Vec<&T>) -> Failure {
    let count = candidates.len();
    let line = |item: &&T| (item.id(), item.name().unwrap_or(T::NOUN).to_owned());
    let mut lines: Vec<(String, String)> =
        candidates.iter().take(CANDIDATES_MAX).map(line).collect();
    if count > CANDIDATES_MAX {
        lines.push(("...".to_owned(), format!("and {} more", count - CANDIDATES_MAX)));
    }
    let has_names = candidates.iter().any(|item| item.name().is_some());
    let failure = Failure::new(format!("`{text}` is the beginning of {count} ids")).fields(lines);
    match has_names {
        true => failure.hint(format!("give more of the id, or the name of the {}", T::NOUN)),
        false => failure.hint("give more of the id"),
    }
}

/// The beginnings of `ids` that tell them apart, all of one length.
pub(crate) fn short_ids(ids: &[String]) -> Vec<String> {
    let mut sorted: Vec<&String> = ids.iter().collect();
    sorted.sort_unstable();
    sorted.dedup();
    let shared =
        |pair: &[&String]| pair[0].bytes().zip(pair[1].bytes()).take_while(|(a, b)| a == b).count();
    let len = sorted.windows(2).map(|pair| shared(pair) + 1).max().unwrap_or(0);
    ids.iter().map(|id| id.chars().take(len.max(SHORT_ID_LEN)).collect()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Deserialize)]
    struct Thing {
        id: String,
        name: String,
    }

    impl Kind for Thing {
        const NOUN: &'static str = "thing";
        const PATH: &'static str = "/things";
        const DIRECT: Direct = Direct::NameOrId;

        fn id(&self) -> String {
            self.id.clone()
        }

        fn name(&self) -> Option<&str> {
            Some(&self.name)
        }
    }

    fn things() -> Vec<Thing> {
        let thing = |id: &str, name: &str| Thing { id: id.into(), name: name.into() };
        vec![
            thing("0192ab00-1", "web1"),
            thing("0192ab00-2", "web2"),
            thing("0192cd00-3", "0192ab00-1x"),
            thing("ff00", "0192"),
        ]
    }

    #[test]
    fn names_ids_and_unique_beginnings_are_found() {
        for (text, at) in
            [("web2", 1), ("0192ab00-1", 0), ("0192c", 2), ("f", 3), ("0192ab00-1x", 2)]
        {
            assert_eq!(pick(text, &things()), Ok(at), "{text}");
        }
    }

    #[test]
    fn a_whole_name_goes_before_the_beginning_of_an_id() {
        assert_eq!(pick("0192", &things()), Ok(3));
    }

    #[test]
    fn an_ambiguous_beginning_lists_the_candidates() {
        let failure = pick("0192ab", &things()).unwrap_err();
        insta::assert_snapshot!(failure.render(str::to_owned).unwrap(), @r"
        error: `0192ab` is the beginning of 2 ids
          0192ab00-1: web1
          0192ab00-2: web2
        hint: give more of the id, or the name of the thing
        ");
    }

    #[test]
    fn nothing_is_found_for_what_is_not_there() {
        for text in ["", "web", "web11", "ff000"] {
            let failure = pick(text, &things()).unwrap_err();
            assert_eq!(failure.to_string(), format!("there is no thing `{text}`"));
        }
    }

    #[test]
    fn short_ids_tell_all_apart() {
        let ids = |ids: &[&str]| ids.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(
            short_ids(&ids(&["0192ab00-11", "0192ab00-12", "f"])),
            ["0192ab00-11", "0192ab00-12", "f"]
        );
        assert_eq!(short_ids(&ids(&["0192ab00-11", "a192ab00-12"])), ["0192ab00", "a192ab00"]);
        assert_eq!(short_ids(&ids(&["0192ab00-11", "0192ab00-11"])), ["0192ab00", "0192ab00"]);
        assert_eq!(short_ids(&[]), Vec::<String>::new());
    }
}
