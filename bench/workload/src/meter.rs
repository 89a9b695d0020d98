//! Counts what the serving end's application has received, and tells it every 100 ms.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::bulk::HEADER_BYTES;
use crate::clock::now_us;
use crate::event::Event;

/// Bytes by sender. Clones count together.
#[derive(Debug, Clone, Default)]
pub struct Meter {
    flows: Arc<[Flow; FLOWS_MAX]>,
}

#[derive(Debug, Default)]
struct Flow {
    bytes: AtomicU64,
    was_seen: AtomicBool,
}

/// Counts one bulk stream, whose first bytes say to whom it belongs.
#[derive(Debug)]
pub struct Counter {
    meter: Meter,
    header: Vec<u8>,
}

/// Most senders at one serving end; the number of one above is taken modulo this.
const FLOWS_MAX: usize = 16;
/// How often is told how much came.
pub const TELL_EVERY: Duration = Duration::from_millis(100);

impl Meter {
    /// A meter that tells by itself for as long as the process lives.
    pub fn start() -> Self {
        let meter = Self::default();
        let telling = meter.clone();
        thread::spawn(move || telling.tell_forever());
        meter
    }

    /// For a stream that begins with a header.
    pub fn counter(&self) -> Counter {
        Counter { meter: self.clone(), header: Vec::with_capacity(HEADER_BYTES) }
    }

    fn count(&self, flow: u8, bytes: usize) {
        let flow = &self.flows[usize::from(flow) % FLOWS_MAX];
        flow.was_seen.store(true, Ordering::Relaxed);
        flow.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    fn tell_forever(&self) {
        let mut next = Instant::now();
        loop {
            next += TELL_EVERY;
            thread::sleep(next.saturating_duration_since(Instant::now()));
            self.events(now_us()).iter().for_each(Event::tell);
        }
    }

    /// What came since the last time, of every sender seen so far, be it nothing.
    fn events(&self, at_us: u64) -> Vec<Event> {
        let seen =
            self.flows.iter().zip(0..).filter(|(flow, _)| flow.was_seen.load(Ordering::Relaxed));
        let bytes = |flow: &Flow| flow.bytes.swap(0, Ordering::Relaxed);
        seen.map(|(flow, number)| Event::Bytes { at_us, flow: number, bytes: bytes(flow) })
            .collect()
    }
}

impl Counter {
    /// Counts the next bytes of the stream.
    pub fn take(&mut self, bytes: &[u8]) {
        let missing = HEADER_BYTES - self.header.len();
        let (header, payload) = bytes.split_at(missing.min(bytes.len()));
        self.header.extend_from_slice(header);
        if let [_, flow] = self.header[..] {
            self.meter.count(flow, payload.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bulk::BULK;

    #[test]
    fn payload_counts_for_its_sender_and_headers_for_nobody() {
        let meter = Meter::default();
        let mut counter = meter.counter();
        counter.take(&[BULK]);
        counter.take(&[3, 9, 9]);
        counter.take(&[9; 10]);
        assert_eq!(meter.events(5), [Event::Bytes { at_us: 5, flow: 3, bytes: 12 }]);
        assert_eq!(meter.events(6), [Event::Bytes { at_us: 6, flow: 3, bytes: 0 }]);
    }
}
