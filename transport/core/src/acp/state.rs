//! What the controller is doing, for people.

use std::fmt;
use std::time::Duration;

use novacron_protocol::unit::Bitrate;

/// What the controller is doing and why, as of its last decision. `queue` is the delay that stands
/// in the path's queues, ours and others'.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Doubling each round trip until the path is full.
    Starting { rate: Bitrate },
    /// Letting a queue run empty after start-up found the path's end.
    Settling { rate: Bitrate, queue: Duration },
    /// The path is full, the queue as short as intended.
    Steady { rate: Bitrate, queue: Duration },
    /// The path has room: sending more and more until a queue shows.
    Rising { rate: Bitrate },
    /// Sending a little less for a round trip, to see the path without its queue.
    Looking { rate: Bitrate, queue: Duration },
    /// The queue is longer than intended: sending less.
    Yielding { rate: Bitrate, queue: Duration },
    /// Somebody else keeps the queue full: holding a share of it, as CUBIC would.
    Competing { rate: Bitrate, queue: Duration },
}

impl State {
    /// One lower-case word.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Starting { .. } => "starting",
            Self::Settling { .. } => "settling",
            Self::Steady { .. } => "steady",
            Self::Rising { .. } => "rising",
            Self::Looking { .. } => "looking",
            Self::Yielding { .. } => "yielding",
            Self::Competing { .. } => "competing",
        }
    }
}

impl fmt::Display for State {
    /// `steady: 94 Mbit/s, queue 1.2 ms`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ms = |span: Duration| span.as_secs_f64() * 1e3;
        match *self {
            Self::Starting { rate } => write!(f, "starting: {rate}, no queue yet"),
            Self::Rising { rate } => write!(f, "rising: {rate}, the path has room"),
            Self::Settling { rate, queue }
            | Self::Steady { rate, queue }
            | Self::Looking { rate, queue }
            | Self::Yielding { rate, queue }
            | Self::Competing { rate, queue } => {
                write!(f, "{}: {rate}, queue {:.1} ms", self.name(), ms(queue))
            }
        }
    }
}
