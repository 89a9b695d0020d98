//! An open loop: requests go out by the clock, whether or not earlier ones were answered.
//!
//! Latencies count from when a request was due, not from when a worker got to it: a system that
//! stalls is charged for everybody who would have been waiting.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Result;

/// How much, and how fast.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    pub(crate) per_second: u32,
    pub(crate) count: usize,
}

/// One request and what came of it.
#[derive(Debug)]
pub(crate) struct Exchange<T> {
    pub(crate) due: Instant,
    pub(crate) answered: Instant,
    pub(crate) answer: Result<T>,
}

impl Load {
    pub(crate) fn lasting(per_second: u32, duration: Duration) -> Self {
        let count = duration.as_secs_f64() * f64::from(per_second);
        Self { per_second, count: count as usize }
    }

    /// Makes `call` with 0, 1, 2, ... at the set rate, and waits for all answers.
    pub(crate) fn run<T: Send>(self, call: impl Fn(usize) -> Result<T> + Sync) -> Vec<Exchange<T>> {
        let next = AtomicUsize::new(0);
        let done = Mutex::new(Vec::with_capacity(self.count));
        let began = Instant::now();
        thread::scope(|scope| {
            for _ in 0..WORKERS.min(self.count) {
                scope.spawn(|| {
                    loop {
                        let number = next.fetch_add(1, Ordering::Relaxed);
                        if number >= self.count {
                            return;
                        }
                        let due = began + self.offset(number);
                        thread::sleep(due.saturating_duration_since(Instant::now()));
                        let answer = call(number);
                        let exchange = Exchange { due, answered: Instant::now(), answer };
                        done.lock().expect("no worker panics with the lock").push(exchange);
                    }
                });
            }
        });
        done.into_inner().expect("no worker panics with the lock")
    }

    fn offset(self, number: usize) -> Duration {
        Duration::from_secs_f64(number as f64 / f64::from(self.per_second))
    }
}

/// Requests that may be unanswered at once: 0.6 s of them at 50 a second. A system that is slower
/// makes later requests late, and pays for it in their latencies.
const WORKERS: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stall_is_charged_to_every_request_that_was_due_in_it() {
        let stall = Duration::from_millis(200);
        let load = Load { per_second: 1000, count: 4 * WORKERS };
        let exchanges = load.run(|_| {
            thread::sleep(stall);
            Ok(())
        });
        let latency = |exchange: &Exchange<()>| exchange.answered - exchange.due;
        let slowest = exchanges.iter().map(latency).max().unwrap();
        assert_eq!(exchanges.len(), 4 * WORKERS);
        // The last ones were sent by workers that had stalled three times before.
        assert!(slowest >= 3 * stall, "{slowest:?}");
    }

    #[test]
    fn requests_are_due_by_the_clock() {
        let load = Load::lasting(50, Duration::from_secs(2));
        assert_eq!(load.count, 100);
        assert_eq!(load.offset(75), Duration::from_millis(1500));
    }
}
