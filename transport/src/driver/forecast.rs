//! What the path will carry, from what it has carried: feeds PBA, and tells ASS.

use std::time::Duration;

use novacron_protocol::wire::Class;
use novacron_protocol::{Bitrate, ByteCount};
use novacron_transport_core::ass::{Ass, Policy};
use novacron_transport_core::pba::{Budgets, Limit, Pba, PerClass, Prediction};

/// Between two samples. Shorter than the second that PBA thinks in, longer than most round trips.
const SAMPLE_EVERY: Duration = Duration::from_millis(250);
/// How far ahead is told.
pub(super) const AHEAD: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(5)];

/// One path's forecast. Times are since the connection's epoch.
#[derive(Debug)]
pub(super) struct Forecast {
    pba: Pba,
    sample_at: Duration,
    sent_before: u64,
    sampled_at: Duration,
    /// Since the last sample there was less to send than might have left.
    app_limited: bool,
}

impl Forecast {
    pub(super) fn new() -> Self {
        Self {
            pba: Pba::new(),
            sample_at: SAMPLE_EVERY,
            sent_before: 0,
            sampled_at: Duration::ZERO,
            app_limited: false,
        }
    }

    /// There was less to send than might have left.
    pub(super) fn handle_app_limited(&mut self) {
        self.app_limited = true;
    }

    /// Takes a sample when one is due: what ACP measured while the path was full, and what left
    /// while it was not. `sent` is what has left so far. Says whether there was one.
    pub(super) fn sample(&mut self, now: Duration, bandwidth: Bitrate, sent: u64) -> bool {
        if now < self.sample_at {
            return false;
        }
        let elapsed = now - self.sampled_at;
        let left = ByteCount(sent - self.sent_before) / elapsed;
        let (rate, limit) = if std::mem::take(&mut self.app_limited) {
            (left, Limit::App)
        } else {
            (bandwidth, Limit::Network)
        };
        if rate > Bitrate::ZERO {
            self.pba.handle_sample(now, rate, limit);
        }
        (self.sampled_at, self.sent_before) = (now, sent);
        self.sample_at = now + SAMPLE_EVERY;
        true
    }

    /// The path is another one.
    pub(super) fn handle_new_path(&mut self) {
        self.pba = Pba::new();
    }

    pub(super) fn predictions(&self, now: Duration) -> [Prediction; AHEAD.len()] {
        AHEAD.map(|ahead| self.pba.predict(now, ahead))
    }

    /// What each class will most likely get of the next second. The urgent ones want what waits; of
    /// the others, who has anything waiting wants all it can get.
    pub(super) fn allocation(&self, now: Duration, ass: &Ass, policy: &Policy) -> PerClass {
        let second = AHEAD[0];
        let prediction = self.pba.predict(now, second);
        let demand = Class::ALL.map(|class| match (class, ass.backlog(class)) {
            (Class::Lease | Class::Command, waiting) => ByteCount(waiting),
            (_, 0) => ByteCount::ZERO,
            _ => prediction.bandwidth * second,
        });
        let budgets = Budgets::new(&prediction, second, &demand, policy, None);
        Class::ALL.map(|class| budgets.expected(class))
    }
}
