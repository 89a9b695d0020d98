//! Makes one ordered stream of messages out of two that carry the same ones.
//!
//! The stream brings every message in order; copies bring some of them sooner, in any order, more
//! than once or not at all. The first to come counts. What comes ahead of a gap waits for it, in a
//! window of bounded size; beyond that a copy is no help and is let go, since the stream will bring
//! the message.

use std::collections::VecDeque;

use super::COPY_BYTES_MAX;

/// Messages that may wait for one before them: with [`COPY_BYTES_MAX`], at most 256 KiB. A sender
/// has 64 copies on their way at once.
pub(super) const WINDOW: usize = 256;
/// A number so far beyond what was delivered cannot be true: flow control lets no sender have as
/// many messages under way.
const PLAUSIBLE: u64 = 1 << 22;

/// The receiving side of one class.
#[derive(Debug, Clone)]
pub struct Sequencer<M> {
    /// Number of the next message to hand out.
    next: u64,
    /// Number of the next message that the stream brings.
    stream_next: u64,
    /// Messages from number `next` on, with gaps; grows to [`WINDOW`] only where it has to.
    early: VecDeque<Option<M>>,
}

/// A copy that no honest peer sends. It ends the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SequenceError {
    #[error("a copy has number {seq}, while the next message is number {next}")]
    Absurd { seq: u64, next: u64 },
    #[error("a copy of {bytes} bytes; {COPY_BYTES_MAX} are the most")]
    TooLong { bytes: usize },
}

/// The messages that may be handed out now, in order.
#[derive(Debug)]
#[must_use = "messages that are not taken fill the window"]
pub struct Messages<'a, M> {
    sequencer: &'a mut Sequencer<M>,
}

impl<M> Sequencer<M> {
    pub const fn new() -> Self {
        Self { next: 0, stream_next: 0, early: VecDeque::new() }
    }

    /// The stream has brought its next message. Take all that this gives before the next push.
    pub fn push_stream(&mut self, message: M) -> Messages<'_, M> {
        let seq = self.stream_next;
        self.stream_next += 1;
        // The stream has brought all before it, so it is either delivered already or the next.
        assert!(seq <= self.next, "messages are taken after each push");
        self.put(seq, message);
        Messages { sequencer: self }
    }

    /// A datagram has brought a copy. Take all that this gives before the next push.
    pub fn push_copy(&mut self, seq: u64, message: M) -> Result<Messages<'_, M>, SequenceError>
    where
        M: AsRef<[u8]>,
    {
        let bytes = message.as_ref().len();
        if bytes > COPY_BYTES_MAX {
            return Err(SequenceError::TooLong { bytes });
        }
        if seq.saturating_sub(self.next) >= PLAUSIBLE {
            return Err(SequenceError::Absurd { seq, next: self.next });
        }
        self.put(seq, message);
        Ok(Messages { sequencer: self })
    }

    /// Number of the next message to hand out.
    pub const fn next_seq(&self) -> u64 {
        self.next
    }

    fn put(&mut self, seq: u64, message: M) {
        let Some(ahead) = seq.checked_sub(self.next) else { return };
        if ahead >= WINDOW as u64 {
            return;
        }
        let ahead = ahead as usize;
        if self.early.len() <= ahead {
            self.early.resize_with(ahead + 1, || None);
        }
        self.early[ahead].get_or_insert(message);
    }
}

impl<M> Default for Sequencer<M> {
    fn default() -> Self {
        Self::new()
    }
}

impl<M> Iterator for Messages<'_, M> {
    type Item = M;

    fn next(&mut self) -> Option<M> {
        let message = self.sequencer.early.front_mut()?.take()?;
        self.sequencer.early.pop_front();
        self.sequencer.next += 1;
        Some(message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(seq: u64) -> Vec<u8> {
        seq.to_be_bytes().to_vec()
    }

    fn copied(sequencer: &mut Sequencer<Vec<u8>>, seq: u64) -> usize {
        sequencer.push_copy(seq, text(seq)).unwrap().count()
    }

    #[test]
    fn a_copy_that_comes_first_is_delivered_and_the_stream_s_own_is_not() {
        let mut sequencer = Sequencer::new();
        assert_eq!(copied(&mut sequencer, 0), 1);
        assert_eq!(sequencer.push_stream(text(0)).count(), 0);
        assert_eq!(copied(&mut sequencer, 0), 0);
        assert_eq!(sequencer.push_stream(text(1)).count(), 1);
    }

    #[test]
    fn a_copy_ahead_of_a_gap_waits_for_what_is_before_it() {
        let mut sequencer = Sequencer::new();
        assert_eq!(copied(&mut sequencer, 2), 0);
        assert_eq!(copied(&mut sequencer, 1), 0);
        let all: Vec<_> = sequencer.push_stream(text(0)).collect();
        assert_eq!(all, [text(0), text(1), text(2)]);
    }

    #[test]
    fn copies_beyond_the_window_are_let_go_and_the_stream_brings_them() {
        let mut sequencer = Sequencer::new();
        for seq in 1..3 * WINDOW as u64 {
            assert_eq!(copied(&mut sequencer, seq), 0);
            assert!(sequencer.early.len() <= WINDOW);
        }
        assert_eq!(sequencer.push_stream(text(0)).count(), WINDOW);
        let rest: usize =
            (1..3 * WINDOW as u64).map(|s| sequencer.push_stream(text(s)).count()).sum();
        assert_eq!(rest, 2 * WINDOW);
    }

    #[test]
    fn absurd_numbers_and_long_copies_are_refused() {
        let mut sequencer = Sequencer::new();
        for seq in [PLAUSIBLE, u64::MAX] {
            let refused = sequencer.push_copy(seq, text(seq)).map(|_| ());
            assert_eq!(refused, Err(SequenceError::Absurd { seq, next: 0 }));
        }
        let long = vec![0; COPY_BYTES_MAX + 1];
        let refused = sequencer.push_copy(0, long).map(|_| ());
        assert_eq!(refused, Err(SequenceError::TooLong { bytes: COPY_BYTES_MAX + 1 }));
        assert_eq!((sequencer.next_seq(), copied(&mut sequencer, 0)), (0, 1));
    }

    proptest! {
        /// Beside it, a list of what has arrived, searched from the start each time.
        #[test]
        fn every_message_is_delivered_once_in_order_as_soon_as_all_before_it_are_there(
            copies in proptest::collection::vec((0_u64..200, 0_u64..200), 0..600),
        ) {
            let mut sequencer = Sequencer::new();
            let mut arrived = [false; 200];
            let mut delivered = Vec::new();
            for step in 0..200 {
                // Copies of any messages, before the stream brings its next one.
                for (_, seq) in copies.iter().filter(|(at, _)| *at == step) {
                    arrived[*seq as usize] = true;
                    delivered.extend(sequencer.push_copy(*seq, text(*seq)).unwrap());
                    let whole = arrived.iter().take_while(|here| **here).count();
                    prop_assert_eq!(delivered.len(), whole);
                }
                arrived[step as usize] = true;
                delivered.extend(sequencer.push_stream(text(step)));
                let whole = arrived.iter().take_while(|here| **here).count();
                prop_assert_eq!(delivered.len(), whole);
            }
            let all: Vec<_> = (0..200).map(text).collect();
            prop_assert_eq!(delivered, all);
        }
    }
}
