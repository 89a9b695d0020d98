//! Lists in pages: where a page begins, where it ends, and the token for the next.

use std::fmt::Display;
use std::str::FromStr;

use novacron_protocol::api::page_token::{open, seal};
use novacron_protocol::api::{Page, ProblemCode};
use novacron_protocol::limits::{PAGE_LIMIT_DEFAULT, PAGE_LIMIT_MAX};

use super::failure::Failure;
use super::input::Params;

/// Which page of which list is asked for.
#[derive(Debug)]
pub(crate) struct PageRequest<I> {
    /// The last item of the page before.
    pub(crate) after: Option<I>,
    limit: usize,
    list: String,
}

impl<I: FromStr + Display> PageRequest<I> {
    /// Takes `limit` and `page_token`. `list` names the list with its filters: a token of one list
    /// does not fit another.
    pub(crate) fn take(params: &mut Params, list: String) -> Result<Self, Failure> {
        let limit = params.number("limit", 1..=u64::from(PAGE_LIMIT_MAX))?;
        let limit = limit.unwrap_or(u64::from(PAGE_LIMIT_DEFAULT));
        let after = match params.text("page_token")? {
            Some(token) => Some(open(&list, &token).ok_or_else(refuse)?),
            None => None,
        };
        Ok(Self { after, limit: usize::try_from(limit).unwrap_or(usize::MAX), list })
    }

    /// One page of `items`, which come after [`Self::after`] in the list's order.
    pub(crate) fn cut<'a, T: 'a, V>(
        &self,
        items: impl Iterator<Item = &'a T>,
        id: impl Fn(&T) -> I,
        view: impl Fn(&T) -> V,
    ) -> Page<V> {
        let mut items = items.peekable();
        let mut page = Page::whole(Vec::new());
        while let Some(item) = items.next() {
            page.items.push(view(item));
            if page.items.len() >= self.limit {
                let more = items.peek().is_some();
                page.next_page_token = more.then(|| seal(&self.list, &id(item).to_string()));
                break;
            }
        }
        page
    }
}

fn refuse() -> Failure {
    let detail = "the page token is not one of this list with these filters";
    Failure::new(ProblemCode::InvalidPageToken, detail)
        .on("?page_token", "not a token that this list gave out")
        .hint("begin again without page_token")
}

#[cfg(test)]
mod tests {
    use super::*;
    use novacron_protocol::MemberId;

    fn request(query: &str, list: &str) -> Result<PageRequest<MemberId>, Failure> {
        PageRequest::take(&mut Params::parse(query).unwrap(), list.to_owned())
    }

    #[test]
    fn pages_follow_one_another_without_gap_or_repeat() {
        let all: Vec<MemberId> = (1..=7).map(MemberId).collect();
        let (mut seen, mut token) = (Vec::new(), None::<String>);
        loop {
            let query = match &token {
                Some(token) => format!("limit=3&page_token={token}"),
                None => "limit=3".to_owned(),
            };
            let request = request(&query, "members").unwrap();
            let rest = all.iter().filter(|id| request.after.is_none_or(|after| **id > after));
            let page = request.cut(rest, |id| *id, |id| *id);
            seen.extend(page.items);
            token = page.next_page_token;
            if token.is_none() {
                break;
            }
        }
        assert_eq!(seen, all);
    }

    #[test]
    fn a_full_last_page_promises_no_other() {
        let all: Vec<MemberId> = (1..=3).map(MemberId).collect();
        let page = request("limit=3", "members").unwrap().cut(all.iter(), |id| *id, |id| *id);
        assert_eq!((page.items.len(), page.next_page_token), (3, None));
    }

    #[test]
    fn a_token_of_another_list_a_cut_one_and_a_bad_limit_are_refused() {
        let token = seal("members", "3");
        assert!(request(&format!("page_token={token}"), "members").is_ok());
        for query in [
            format!("page_token={token}x"),
            format!("page_token={}", &token[1..]),
            "page_token=".to_owned(),
            "limit=0".to_owned(),
            "limit=1001".to_owned(),
            "limit=-1".to_owned(),
            "limit=ten".to_owned(),
        ] {
            let error = request(&query, "members").unwrap_err();
            assert_eq!(error.problem.status, 400, "{query}");
            assert_eq!(error.problem.errors.len(), 1, "{query}");
        }
        assert!(request(&format!("page_token={token}"), "members?role=voter").is_err());
    }
}
