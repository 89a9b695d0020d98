//! `/events`: a page as JSON, or a stream of server-sent events that resumes by log index.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::sse::{Event as SseEvent, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use futures_util::{Stream, stream};
use novacron_controlplane_core::State as Replicated;
use novacron_controlplane_core::event::{Event, EventsForgotten};
use novacron_protocol::api::ProblemCode;
use novacron_protocol::api::event::EventPage;
use novacron_protocol::limits::{PAGE_LIMIT_DEFAULT, PAGE_LIMIT_MAX};
use novacron_protocol::{LogIndex, UserId};
use tokio::sync::watch;

use super::access::Caller;
use super::answer::Answer;
use super::failure::Failure;
use super::input::{Params, bad_header};
use super::server::Stopping;
use super::{Shared, view};

/// How often a silent stream says that it is alive: below the idle timeout of common proxies.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// Events taken from the state at once for a stream.
const BATCH: usize = 256;

/// Read events, or follow them.
///
/// With `Accept: text/event-stream` the answer is a stream that does not end; each event's `id` is
/// its log index, and `Last-Event-ID` or `after` resumes there. Otherwise a page: from `after` on,
/// or without it the newest. Events that are no longer kept are answered with 410.
#[utoipa::path(get, path = "/api/v1/events", tag = "events",
    params(
        ("after" = Option<u64>, Query, description = "Events of log entries after this index"),
        ("limit" = Option<u32>, Query, description = "Events on a page, 1 to 1000"),
        ("Last-Event-ID" = Option<u64>, Header, description = "As `after`, for streams"),
    ),
    responses((status = 200, description = "A page, or a stream of them", body = EventPage)))]
pub(crate) async fn read(
    State(api): State<Shared>,
    caller: Caller,
    headers: HeaderMap,
    mut params: Params,
    stopping: Stopping,
) -> Result<Response, Failure> {
    let consistency = params.consistency()?;
    let after: Option<LogIndex> = params.one("after")?;
    let limit = params.number("limit", 1..=u64::from(PAGE_LIMIT_MAX))?;
    params.finish()?;
    let read = api.read(consistency).await?;
    if wants_stream(&headers) {
        let after = last_event_id(&headers)?.or(after).unwrap_or_else(|| read.state.applied());
        // Told before the stream begins, while it can still be an answer of its own.
        drop(read.state.events().after(after).map_err(forgotten)?);
        let follower = Follower {
            states: api.cluster.watch(),
            stopping,
            user: caller.user,
            after,
            ready: VecDeque::new(),
        };
        let alive = KeepAlive::new().interval(KEEP_ALIVE);
        return Ok(Sse::new(follower.into_stream()).keep_alive(alive).into_response());
    }
    let limit = limit.and_then(|limit| usize::try_from(limit).ok());
    let page = page(&read.state, after, limit.unwrap_or(PAGE_LIMIT_DEFAULT as usize))?;
    Ok(Answer::ok(&page).read_from(&read).into_response())
}

fn wants_stream(headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
    accept.is_some_and(|accept| accept.contains("text/event-stream"))
}

fn last_event_id(headers: &HeaderMap) -> Result<Option<LogIndex>, Failure> {
    let Some(value) = headers.get("last-event-id") else { return Ok(None) };
    let index = value.to_str().ok().and_then(|text| text.parse().ok());
    index.map(Some).ok_or_else(|| bad_header("Last-Event-ID", "must be the id of an event"))
}

fn forgotten(error: EventsForgotten) -> Failure {
    let mut failure = Failure::new(ProblemCode::EventsForgotten, error.to_string());
    failure.problem.resume_after = Some(error.forgotten);
    failure.hint(format!("read the present state, then resume after {}", error.forgotten))
}

fn page(state: &Replicated, after: Option<LogIndex>, limit: usize) -> Result<EventPage, Failure> {
    let log = state.events();
    let after = after.unwrap_or_else(|| {
        let oldest_wanted = log.iter().rev().nth(limit);
        oldest_wanted.map_or(log.forgotten(), |event| event.index)
    });
    let mut events = log.after(after).map_err(forgotten)?.peekable();
    let taken = take_whole_entries(&mut events, limit);
    Ok(EventPage {
        resume_after: taken.last().map_or(after, |event| event.index),
        more: events.peek().is_some(),
        items: taken.into_iter().map(view::event).collect(),
    })
}

/// At least `limit` events if there are so many, never a part of one log entry's.
fn take_whole_entries<'a>(
    events: &mut std::iter::Peekable<impl Iterator<Item = &'a Event>>,
    limit: usize,
) -> Vec<&'a Event> {
    let mut taken: Vec<&Event> = Vec::new();
    while let Some(next) = events.peek() {
        let last = taken.last().map(|event| event.index);
        if taken.len() >= limit && last != Some(next.index) {
            break;
        }
        taken.extend(events.next());
    }
    taken
}

/// One client's place in the log. Holds no copy of the state while it waits.
struct Follower {
    states: watch::Receiver<Replicated>,
    stopping: Stopping,
    user: UserId,
    /// The last entry whose events are in `ready` or sent.
    after: LogIndex,
    ready: VecDeque<SseEvent>,
}

impl Follower {
    fn into_stream(self) -> impl Stream<Item = Result<SseEvent, Infallible>> {
        stream::unfold(self, |mut follower| async move {
            let event = follower.next().await?;
            Some((Ok(event), follower))
        })
    }

    /// The next event; `None` ends the stream: the member stops, the user was deleted, or the
    /// client read so slowly that its place was forgotten. It resumes, and is told which.
    async fn next(&mut self) -> Option<SseEvent> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            let state = self.states.borrow_and_update().clone();
            state.user(self.user)?;
            let mut events = state.events().after(self.after).ok()?.peekable();
            let taken = take_whole_entries(&mut events, BATCH);
            self.after = taken.last().map_or(self.after, |event| event.index);
            self.ready = sse_events(&taken);
            if !self.ready.is_empty() {
                continue;
            }
            drop((taken, events));
            drop(state);
            tokio::select! {
                changed = self.states.changed() => changed.ok()?,
                () = self.stopping.cancelled() => return None,
            }
        }
    }
}

/// Only the last event of an entry carries an id: a client that lost its connection among them
/// resumes before the entry and gets them all.
fn sse_events(events: &[&Event]) -> VecDeque<SseEvent> {
    let ends_entry =
        |at: usize| events.get(at + 1).is_none_or(|next| next.index != events[at].index);
    let sse = |(at, event): (usize, &&Event)| {
        let data = serde_json::to_string(&view::event(event))
            .expect("an event is strings and numbers, which always serialise");
        let sse = SseEvent::default().event(event.kind.as_str()).data(data);
        if ends_entry(at) { sse.id(event.index.to_string()) } else { sse }
    };
    events.iter().enumerate().map(sse).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use novacron_controlplane_core::command::{Actor, Command, Envelope, NewMember, NewUser};
    use novacron_controlplane_core::user::Role;
    use novacron_protocol::limits::EVENTS_KEPT;
    use novacron_protocol::wire::join::MemberAddresses;
    use novacron_protocol::{ClusterId, Digest, MemberId, Timestamp};
    use uuid::Uuid;

    /// Entry 1 makes two events, every later one makes one.
    fn state(entries: u64) -> Replicated {
        let address = "127.0.0.1:1".parse().unwrap();
        let member = NewMember {
            id: MemberId(1),
            name: "one".parse().unwrap(),
            addresses: MemberAddresses { cluster: address, api: address },
            key: Digest([1; 32]),
        };
        let admin = NewUser {
            id: UserId::from_uuid(Uuid::from_u128(1)),
            name: "admin".parse().unwrap(),
            role: Role::Admin,
            secret: Digest([2; 32]),
        };
        let cluster = ClusterId::from_uuid(Uuid::from_u128(2));
        let first = Command::Initialise { cluster, name: "c".parse().unwrap(), member, admin };
        let refusal = Command::RecordRefusal { what: "login".to_owned(), why: "x".to_owned() };
        let mut state = Replicated::default();
        for index in 1..=entries {
            let command = if index == 1 { first.clone() } else { refusal.clone() };
            let envelope = Envelope::from_actor(Timestamp(index), Actor::System, command);
            state.apply(LogIndex(index), &envelope).unwrap();
        }
        state
    }

    fn indexes(page: &EventPage) -> Vec<u64> {
        page.items.iter().map(|event| event.index.0).collect()
    }

    #[test]
    fn a_page_never_ends_inside_an_entry() {
        let state = state(4);
        let first = page(&state, Some(LogIndex(0)), 1).unwrap();
        assert_eq!((indexes(&first), first.more), (vec![1, 1], true));
        let rest = page(&state, Some(first.resume_after), 10).unwrap();
        assert_eq!((indexes(&rest), rest.more), (vec![2, 3, 4], false));
        let end = page(&state, Some(rest.resume_after), 10).unwrap();
        assert_eq!((indexes(&end), end.resume_after), (vec![], LogIndex(4)));
    }

    #[test]
    fn without_a_place_the_newest_are_given() {
        let state = state(5);
        assert_eq!(indexes(&page(&state, None, 2).unwrap()), [4, 5]);
        assert_eq!(indexes(&page(&state, None, 100).unwrap()), [1, 1, 2, 3, 4, 5]);
    }

    #[test]
    fn events_that_are_no_longer_kept_are_410_with_where_to_resume() {
        let state = state(EVENTS_KEPT as u64 + 10);
        let problem = page(&state, Some(LogIndex(1)), 5).unwrap_err().problem;
        assert_eq!((problem.status, problem.code.as_str()), (410, "events-forgotten"));
        let resume = problem.resume_after.unwrap();
        assert_eq!(page(&state, Some(resume), 1).unwrap().items[0].index, resume.next());
        assert_eq!(page(&state, None, EVENTS_KEPT).unwrap().items.len(), EVENTS_KEPT);
    }

    #[test]
    fn only_the_last_event_of_an_entry_carries_its_index() {
        let state = state(3);
        let events: Vec<&Event> = state.events().iter().collect();
        let sent = sse_events(&events);
        let with_id = |event: &SseEvent| format!("{event:?}").contains("id: ");
        assert_eq!(sent.iter().map(with_id).collect::<Vec<_>>(), [false, true, true, true]);
    }
}
