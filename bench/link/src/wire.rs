//! The packets under way, in the order of their arrival.

use std::collections::VecDeque;
use std::time::Duration;

/// A packet under way.
#[derive(Debug, Clone)]
pub(crate) struct Flying<T> {
    pub(crate) due: Duration,
    pub(crate) bytes: usize,
    pub(crate) packet: T,
}

/// Packets under way by the time they are due; equal ones in the order they were sent.
#[derive(Debug, Clone)]
pub(crate) struct Wire<T> {
    /// Sorted. Nearly always appended to, so a heap would only cost.
    packets: VecDeque<Flying<T>>,
}

impl<T> Wire<T> {
    pub(crate) fn new() -> Self {
        Self { packets: VecDeque::new() }
    }

    pub(crate) fn len(&self) -> usize {
        self.packets.len()
    }

    pub(crate) fn send(&mut self, due: Duration, bytes: usize, packet: T) {
        let flying = Flying { due, bytes, packet };
        if self.packets.back().is_none_or(|last| last.due <= due) {
            self.packets.push_back(flying);
        } else {
            let at = self.packets.partition_point(|other| other.due <= due);
            self.packets.insert(at, flying);
        }
    }

    pub(crate) fn next_due(&self) -> Option<Duration> {
        self.packets.front().map(|first| first.due)
    }

    /// The first packet, if it is due.
    pub(crate) fn receive(&mut self, now: Duration) -> Option<Flying<T>> {
        if self.next_due()? > now {
            return None;
        }
        self.packets.pop_front()
    }
}
