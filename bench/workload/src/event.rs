//! What the ends of a measurement tell: one JSON line each.

use std::io::{self, Write as _};
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

/// Something that happened. Times are microseconds of [`crate::clock`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The serving end is ready.
    Listening { address: SocketAddr },
    /// The sending end is connected; its plan begins now.
    Connected { at_us: u64 },
    /// Bytes of bulk that the serving end's application took since the event before.
    Bytes { at_us: u64, flow: u8, bytes: u64 },
    /// A command was answered.
    Command { sent_us: u64, one_way_us: u64, round_trip_us: u64 },
    /// A command was not answered in time.
    Unanswered { sent_us: u64 },
    /// The sending end's plan is over.
    Done { at_us: u64 },
}

impl Event {
    /// Prints the line. Whoever reads it may be gone, which ends the measurement anyway.
    pub fn tell(&self) {
        if let Ok(mut line) = serde_json::to_string(self) {
            line.push('\n');
            let mut out = io::stdout().lock();
            let _ = out.write_all(line.as_bytes()).and_then(|()| out.flush());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_reads_back() {
        let event = Event::Bytes { at_us: 7, flow: 1, bytes: 9 };
        let line = serde_json::to_string(&event).unwrap();
        assert_eq!(line, r#"{"event":"bytes","at_us":7,"flow":1,"bytes":9}"#);
        assert_eq!(serde_json::from_str::<Event>(&line).unwrap(), event);
    }
}
