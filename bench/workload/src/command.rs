//! Commands: messages of 200 bytes that carry their stamp, and are answered with a second one.

use std::time::Duration;

use anyhow::{Context, Result};
use bytes::{Bytes, BytesMut};

use crate::Event;
use crate::clock::now_us;

/// Length of a command, and of its answer.
pub const COMMAND_BYTES: usize = 200;
/// 50 commands a second.
pub const COMMAND_EVERY: Duration = Duration::from_millis(20);

/// A command that is due now.
pub fn command(sent_us: u64) -> Bytes {
    stamped(sent_us, 0)
}

/// What the serving end says to `command`: the same, with the time at which it came.
pub fn answer(command: &[u8]) -> Result<Bytes> {
    let (sent_us, _) = stamps(command)?;
    Ok(stamped(sent_us, now_us()))
}

/// What an answer that came now tells.
pub fn answered(answer: &[u8]) -> Result<Event> {
    let (sent_us, received_us) = stamps(answer)?;
    Ok(Event::Command {
        sent_us,
        one_way_us: received_us.saturating_sub(sent_us),
        round_trip_us: now_us().saturating_sub(sent_us),
    })
}

fn stamped(sent_us: u64, received_us: u64) -> Bytes {
    let mut message = BytesMut::zeroed(COMMAND_BYTES);
    message[..8].copy_from_slice(&sent_us.to_be_bytes());
    message[8..16].copy_from_slice(&received_us.to_be_bytes());
    message.freeze()
}

fn stamps(message: &[u8]) -> Result<(u64, u64)> {
    let (sent, rest) = message.split_first_chunk().context("a command has two stamps")?;
    let received = rest.first_chunk().context("a command has two stamps")?;
    Ok((u64::from_be_bytes(*sent), u64::from_be_bytes(*received)))
}

/// Cuts a stream of bytes into messages.
#[derive(Debug, Default)]
pub struct Splitter {
    buffered: BytesMut,
}

impl Splitter {
    pub fn push(&mut self, bytes: &[u8]) {
        self.buffered.extend_from_slice(bytes);
    }

    /// The next whole message.
    pub fn pop(&mut self) -> Option<Bytes> {
        (self.buffered.len() >= COMMAND_BYTES)
            .then(|| self.buffered.split_to(COMMAND_BYTES).freeze())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_out_whole_however_they_were_cut() {
        let (first, second) = (command(1), command(2));
        let all = [&first[..], &second[..]].concat();
        let mut splitter = Splitter::default();
        splitter.push(&all[..150]);
        assert_eq!(splitter.pop(), None);
        splitter.push(&all[150..]);
        assert_eq!(splitter.pop(), Some(first));
        assert_eq!(splitter.pop(), Some(second));
        assert_eq!(splitter.pop(), None);
    }

    #[test]
    fn an_answer_tells_both_ways() {
        let sent_us = now_us() - 5_000;
        let event = answered(&answer(&command(sent_us)).unwrap()).unwrap();
        let Event::Command { one_way_us, round_trip_us, .. } = event else { panic!("{event:?}") };
        assert!(one_way_us >= 5_000 && round_trip_us >= one_way_us, "{one_way_us} {round_trip_us}");
    }

    #[test]
    fn a_short_command_is_refused() {
        assert!(answer(&[0; 15]).is_err());
    }
}
