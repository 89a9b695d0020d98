//! Events: facts in the log, also the audit record.
//!
//! `GET /events` gives a page as JSON, or with `Accept: text/event-stream` a stream of
//! server-sent events: `id` is [`EventView::index`], `event` is [`EventView::kind`], `data` is an
//! [`EventView`]. All events of one index but the last are sent without `id`, so that a reader
//! which resumes with `Last-Event-ID` misses none.

use serde::{Deserialize, Serialize};

use crate::LogIndex;
use crate::api::time::UtcTime;

/// A page of events, oldest first. Never ends inside one log entry, so it may hold a few more
/// than asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct EventPage {
    pub items: Vec<EventView>,
    /// Pass it as `after` for what comes next.
    pub resume_after: LogIndex,
    /// Whether there is more already.
    pub more: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct EventView {
    /// The log entry that caused it.
    pub index: LogIndex,
    /// Distinguishes events of one entry, from 0.
    pub ordinal: u32,
    pub at: UtcTime,
    /// A stable name, `object.what-happened`, such as `vm.created` or `access.refused`.
    pub kind: String,
    pub object: ObjectView,
    /// Who did it: `system`, `user NAME`, `host ID`, ...
    pub actor: String,
    /// A sentence for people.
    pub message: String,
}

/// What an event is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ObjectView {
    /// `cluster`, `member`, `host`, `vm`, `image`, `token`, `user` or `operation`.
    pub kind: String,
    /// `null` for the cluster.
    pub id: Option<String>,
}
