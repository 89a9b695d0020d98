//! Following the events: a stream of server-sent events that outlives connections and members.
//!
//! The stream is resumed after the last log index seen whole: a member sends the `id` only with
//! the last event of an index. Events of an index that was cut off in its middle come again then,
//! and those seen before are passed over. So there is no gap and no repeat.

use std::io::{BufRead, BufReader, Read};
use std::thread;
use std::time::Duration;

use novacron_protocol::LogIndex;
use novacron_protocol::api::event::EventView;
use novacron_protocol::api::{Problem, ProblemCode};
use serde_json::Value;

use super::{Call, Client, ClientError, Fault};
use crate::failure::Failure;
use crate::output;

/// Longest line of a stream; an event is under 4 KiB.
const LINE_BYTES_MAX: u64 = 1 << 20;
/// Pause before a stream that ended without an event is opened again.
const REOPEN_PAUSE: Duration = Duration::from_millis(500);

/// Where a reader of events is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cursor {
    /// Every event up to this index was seen.
    after: LogIndex,
    /// The last event seen.
    last: (LogIndex, u32),
}

impl Cursor {
    pub(crate) fn after(index: LogIndex) -> Self {
        Self { after: index, last: (index, u32::MAX) }
    }

    /// Takes note of an event; whether it is news.
    fn pass(&mut self, event: &EventView) -> bool {
        let key = (event.index, event.ordinal);
        let is_news = key > self.last;
        self.last = self.last.max(key);
        is_news
    }
}

/// Hands each event after `cursor` to `each`, for as long as the cluster can be reached.
pub(crate) fn follow(
    client: &Client,
    mut cursor: Cursor,
    mut each: impl FnMut(&Value, &EventView) -> Result<(), Failure>,
) -> Result<(), Failure> {
    loop {
        let before = cursor;
        let call =
            Call::get(&format!("/events?after={}", cursor.after)).accept("text/event-stream");
        match client.open(&call) {
            Ok(stream) => {
                let endpoint = stream.endpoint.clone();
                let end = read_stream(stream.reader, &mut cursor, &mut each)?;
                let fault = Fault::of_io(&endpoint, &end);
                output::note(&format!(
                    "the stream ended ({fault}); resuming after {}",
                    cursor.after
                ));
            }
            Err(ClientError::Refused(problem)) if problem.is(ProblemCode::EventsForgotten) => {
                cursor = skip(&problem, cursor)?;
            }
            Err(error) => return Err(error.into()),
        }
        if cursor == before {
            thread::sleep(REOPEN_PAUSE);
        }
    }
}

/// Goes on behind a gap that cannot be filled, and says so.
fn skip(problem: &Problem, cursor: Cursor) -> Result<Cursor, Failure> {
    let refusal = || Failure::from(ClientError::Refused(Box::new(problem.clone())));
    let index = problem.resume_after.filter(|index| *index > cursor.after).ok_or_else(refusal)?;
    output::note(&format!(
        "events {} to {index} are no longer kept; going on after them",
        cursor.after.next()
    ));
    Ok(Cursor::after(index))
}

/// Reads one stream to its end and gives the reason why it ended.
fn read_stream(
    reader: impl Read,
    cursor: &mut Cursor,
    each: &mut impl FnMut(&Value, &EventView) -> Result<(), Failure>,
) -> Result<std::io::Error, Failure> {
    let mut lines = Lines { reader: BufReader::new(reader) };
    let mut block = Block::default();
    loop {
        let line = match lines.next_line() {
            Ok(line) => line,
            Err(end) => return Ok(end),
        };
        if !line.is_empty() {
            block.field(&line);
            continue;
        }
        let Block { id, data } = std::mem::take(&mut block);
        if let Some(data) = data {
            let garbled = |error| Failure::new(format!("cannot read an event: {error}"));
            let value: Value = serde_json::from_str(&data).map_err(garbled)?;
            let view: EventView = serde::Deserialize::deserialize(&value).map_err(garbled)?;
            if cursor.pass(&view) {
                each(&value, &view)?;
            }
        }
        if let Some(index) = id {
            cursor.after = cursor.after.max(index);
        }
    }
}

/// Lines of a stream, of bounded length.
struct Lines<R> {
    reader: BufReader<R>,
}

impl<R: Read> Lines<R> {
    /// The next line without its end. A line that the end of the stream cut off is dropped.
    fn next_line(&mut self) -> std::io::Result<String> {
        let mut line = Vec::new();
        (&mut self.reader).take(LINE_BYTES_MAX).read_until(b'\n', &mut line)?;
        if line.pop() != Some(b'\n') {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        }
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        String::from_utf8(line).map_err(|_| std::io::ErrorKind::InvalidData.into())
    }
}

/// The fields of one server-sent event (WHATWG HTML section 9.2.6).
#[derive(Default)]
struct Block {
    id: Option<LogIndex>,
    data: Option<String>,
}

impl Block {
    fn field(&mut self, line: &str) {
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "id" => self.id = value.parse().ok(),
            "data" => match &mut self.data {
                Some(data) => {
                    data.push('\n');
                    data.push_str(value);
                }
                None => self.data = Some(value.to_owned()),
            },
            // The kind is in the data as well; a line that begins with a colon is a sign of life.
            _ => {}
        }
    }
}
