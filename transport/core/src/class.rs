//! How much of each class may wait, and the order in which what was received is handed out.
//!
//! What is sent next is decided by [`crate::ass`]. Here is the fixed part: room per class, and
//! strict priority in the order of [`Class::ALL`] where nothing has to be shared.

use novacron_protocol::limits::{CLASS_QUEUE_MESSAGES, FRAME_BYTES_MAX};
use novacron_protocol::wire::Class;

/// What a class may claim of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Share {
    /// Messages that may wait to be sent. At the bound `send` waits and `try_send` refuses.
    pub queue_messages: usize,
    /// Bytes that may wait to be sent, same consequence. One frame always fits.
    pub queue_bytes: usize,
    /// Bytes that may wait for the application after they were received; the frame that crosses
    /// the bound is still taken. Beyond it the class's stream is not read, and flow control stops
    /// the sender of this class alone.
    pub inbox_bytes: usize,
}

/// What each class may claim, and who comes first where nothing has to be shared.
#[derive(Debug, Clone, Copy, Default)]
pub struct Scheduler;

impl Scheduler {
    /// The share of one class.
    pub fn share(&self, class: Class) -> Share {
        let inbox_bytes = match class {
            Class::Lease | Class::Command => FRAME_BYTES_MAX,
            Class::Event | Class::Console | Class::Telemetry | Class::Migration | Class::Bulk => {
                1 << 20
            }
        };
        Share {
            queue_messages: CLASS_QUEUE_MESSAGES,
            queue_bytes: FRAME_BYTES_MAX + 64,
            inbox_bytes,
        }
    }

    /// The most urgent of the classes that have something to send.
    pub fn next(&self, waiting: impl IntoIterator<Item = Class>) -> Option<Class> {
        waiting.into_iter().min()
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;

    #[test]
    fn shares_are_as_printed() {
        let mut table = String::from("class      messages  queue bytes  inbox bytes\n");
        for class in Class::ALL {
            let share = Scheduler.share(class);
            writeln!(
                table,
                "{class:<10} {:>8} {:>12} {:>12}",
                share.queue_messages, share.queue_bytes, share.inbox_bytes
            )
            .unwrap();
        }
        insta::assert_snapshot!(table);
    }

    #[test]
    fn the_most_urgent_waiting_class_goes_first() {
        let mut waiting = Class::ALL.to_vec();
        waiting.reverse();
        let mut sent = Vec::new();
        while let Some(class) = Scheduler.next(waiting.iter().copied()) {
            waiting.retain(|other| *other != class);
            sent.push(class);
        }
        assert_eq!(sent, Class::ALL);
    }
}
