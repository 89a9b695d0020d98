//! The bottleneck's queue: first in, first out, bounded in bytes.

use std::collections::VecDeque;
use std::time::Duration;

use crate::codel::{CoDel, Verdict};

/// How the queue decides what to drop. The packet that is being sent does not count to its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Queue {
    /// What does not fit is dropped.
    DropTail { bytes_max: usize },
    /// RFC 8289, with its usual 5 ms and 100 ms for most paths; and what does not fit is dropped.
    CoDel { target: Duration, interval: Duration, bytes_max: usize },
}

impl Default for Queue {
    /// A thousand full packets, as many as Linux's devices queue.
    fn default() -> Self {
        Self::DropTail { bytes_max: 1_500_000 }
    }
}

impl Queue {
    /// CoDel with the parameters that RFC 8289 recommends.
    pub fn codel(bytes_max: usize) -> Self {
        let (target, interval) = (Duration::from_millis(5), Duration::from_millis(100));
        Self::CoDel { target, interval, bytes_max }
    }

    fn bytes_max(&self) -> usize {
        match *self {
            Self::DropTail { bytes_max } | Self::CoDel { bytes_max, .. } => bytes_max,
        }
    }
}

/// A packet that waits.
#[derive(Debug, Clone)]
pub(crate) struct Waiting<T> {
    pub(crate) bytes: usize,
    since: Duration,
    pub(crate) packet: T,
}

/// Packets that wait for the transmitter.
#[derive(Debug, Clone)]
pub(crate) struct Backlog<T> {
    packets: VecDeque<Waiting<T>>,
    bytes: usize,
    codel: CoDel,
}

impl<T> Backlog<T> {
    pub(crate) fn new() -> Self {
        Self { packets: VecDeque::new(), bytes: 0, codel: CoDel::default() }
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn len(&self) -> usize {
        self.packets.len()
    }

    /// Takes the packet in, or says that it was dropped.
    #[must_use]
    pub(crate) fn push(&mut self, queue: &Queue, since: Duration, bytes: usize, packet: T) -> bool {
        if self.bytes + bytes > queue.bytes_max() {
            return false;
        }
        self.bytes += bytes;
        self.packets.push_back(Waiting { bytes, since, packet });
        true
    }

    /// The next packet to send at `now`, and how many were dropped on the way to it.
    pub(crate) fn pop(&mut self, queue: &Queue, now: Duration) -> (Option<Waiting<T>>, u64) {
        let Queue::CoDel { target, interval, .. } = *queue else { return (self.take(), 0) };
        let mut dropped = 0;
        self.codel.begin();
        loop {
            let head = self.take();
            let waited = head.as_ref().map(|head| now.saturating_sub(head.since));
            match self.codel.judge(now, waited, self.bytes, target, interval) {
                Verdict::Send => return (head, dropped),
                Verdict::Drop => dropped += 1,
            }
        }
    }

    fn take(&mut self) -> Option<Waiting<T>> {
        let head = self.packets.pop_front()?;
        self.bytes -= head.bytes;
        Some(head)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_queue_drops_what_comes_and_keeps_what_it_has() {
        let queue = Queue::DropTail { bytes_max: 3_000 };
        let mut backlog = Backlog::new();
        let taken: Vec<bool> =
            (0..4).map(|n| backlog.push(&queue, Duration::ZERO, 1_000, n)).collect();
        assert_eq!(taken, [true, true, true, false]);
        assert_eq!(backlog.bytes(), 3_000);
        let head = backlog.pop(&queue, Duration::ZERO).0.expect("it is not empty");
        assert_eq!((head.packet, backlog.bytes(), backlog.len()), (0, 2_000, 2));
    }
}
