//! PBA, predictive bandwidth allocation: how much a path will carry in the next seconds, and what
//! that leaves for whom.
//!
//! ```text
//! samples ─> seconds ─> experts ─> mixture ─> band ─> prediction ─> budgets, transfer times
//!            (1 a s)    (14)       (1 s, 5 s)  (80 %)     ^   ^
//!                                     site's day: usual ──┘   └── caps of the site's link
//! ```
//! [`Pba`] holds one path. It is driven by [`Pba::handle_sample`], ten times to once a second, with
//! the delivery rate that congestion control measured and who limited it; [`Pba::predict`] answers
//! at any time. Once an hour, or so, [`Pba::handle_usual`] tells what the site's [`SiteDay`] knows:
//! what an idle path is expected to carry. Nothing here blocks or allocates; one path takes
//! [`PATH_BYTES_MAX`] bytes at most.

use std::time::Duration;

use novacron_protocol::Bitrate;

mod band;
mod budget;
mod calendar;
mod caps;
mod day;
mod experts;
mod horizon;
mod meter;
mod mixture;
mod prediction;
mod seconds;
mod spread;
mod transfer;

#[cfg(test)]
mod tests;

pub use budget::{Budgets, PerClass};
pub use calendar::UtcOffset;
pub use caps::{Caps, CapsError, PartError};
pub use day::{SITE_BYTES_MAX, SiteDay, SiteDayError};
pub use experts::{EXPERTS, Pattern};
pub use meter::{Allowance, Meter};
pub use prediction::{Prediction, Reason, Usual};
pub use transfer::{TRANSFER_MAX, TransferTime};

use experts::{Experts, Forecasts, PRIOR_LOSS};
use horizon::{Horizon, Outlook};
use seconds::Seconds;
use spread::Spread;

/// Who set the rate of a sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Limit {
    /// There was not more to send: the path could have carried more.
    App,
    /// The path carried all it could.
    Network,
}

/// Memory of one path: a member holds one for each of 10,000 hosts.
pub const PATH_BYTES_MAX: usize = 2 << 10;

/// Seconds ahead that are learned; others are read between them.
pub const HORIZONS: [u32; 2] = [1, 5];
/// Seconds whose forecasts wait for their outcome.
const PENDING: usize = 5;
/// How long a measurement goes on to count: after this long it is worth as much as what is usual.
const MEMORY: Duration = Duration::from_secs(60);
/// What an app-limited second proves holds for this long: for a prediction five seconds ahead
/// until the next second ends.
const PROOF: Duration = Duration::from_secs(6);
/// Assumed when nothing is known, as the scheduler does.
const ASSUMED: Bitrate = Bitrate::mbit(1);

/// Predicts the bandwidth of one path.
#[derive(Debug, Clone)]
pub struct Pba {
    seconds: Seconds,
    experts: Experts,
    horizons: [Horizon; HORIZONS.len()],
    /// What was said in the last seconds, by their number modulo [`PENDING`].
    said: [Option<Said>; PENDING],
    /// Number of the last second that was measured.
    second: u32,
    /// Seconds since then in which nothing was.
    idle: u32,
    measured_at: Option<Duration>,
    proven: Option<(Duration, Bitrate)>,
    /// What this path did so far.
    own: Spread,
    /// What the site does at this hour.
    usual: Option<Usual>,
}

/// What was said in one second.
#[derive(Debug, Clone, Copy)]
struct Said {
    second: u32,
    forecasts: Forecasts,
    outlooks: [Outlook; HORIZONS.len()],
}

impl Default for Pba {
    fn default() -> Self {
        Self::new()
    }
}

impl Pba {
    /// Knows nothing yet.
    pub fn new() -> Self {
        Self {
            seconds: Seconds::default(),
            experts: Experts::new(),
            horizons: PRIOR_LOSS.each_ref().map(Horizon::new),
            said: [None; PENDING],
            second: 0,
            idle: 0,
            measured_at: None,
            proven: None,
            own: Spread::EMPTY,
            usual: None,
        }
    }

    /// The path delivered at `rate` since the last sample, a second at most, and `limit` says who
    /// set that rate. What the application limited only counts where it is above what was known.
    pub fn handle_sample(&mut self, now: Duration, rate: Bitrate, limit: Limit) {
        let Some(second) = self.seconds.handle_sample(now, rate, limit) else { return };
        self.idle = self.idle.saturating_add(second.elapsed);
        if let Some(app) = second.app {
            self.proven = Some((now, bitrate(app)));
        }
        let more = |app: &f32| self.measured_at.is_some() && *app >= self.experts.level();
        if let Some(mbps) = second.network.or_else(|| second.app.filter(more)) {
            self.handle_measured(now, mbps);
        }
    }

    /// What the site's link usually carries at this hour, of [`SiteDay::usual_at`]: an idle path is
    /// expected to do so. Without it, what this path did before is.
    pub fn handle_usual(&mut self, usual: Option<Usual>) {
        self.usual = usual;
    }

    /// What the path will carry at `now + ahead`. One and five seconds ahead are learned, what lies
    /// between is read between them, and later the band moves towards what is usual.
    pub fn predict(&self, now: Duration, ahead: Duration) -> Prediction {
        let prediction = match (self.measured_at, self.latest()) {
            (Some(at), Some(said)) => {
                self.outlook(said, now.saturating_sub(at).saturating_add(ahead))
            }
            _ => match self.usual() {
                Some(usual) => of_usual(usual, Reason::Usual),
                None => UNKNOWN,
            },
        };
        self.at_least_proven(now, ahead, prediction)
    }

    /// How wrong each simple forecast was lately, from 0 (always right) to 1 (always far off), one
    /// and five seconds ahead: whom the path believes, and why.
    pub fn losses(&self) -> [[f32; EXPERTS]; HORIZONS.len()] {
        self.horizons.each_ref().map(Horizon::losses)
    }

    /// The site's hour when it is known, else what this path did so far.
    fn usual(&self) -> Option<Usual> {
        self.usual.or_else(|| self.own.usual())
    }

    fn latest(&self) -> Option<&Said> {
        self.said[self.second as usize % PENDING].as_ref()
    }

    fn handle_measured(&mut self, now: Duration, mbps: f32) {
        let first = self.measured_at.is_none();
        let elapsed = self.idle;
        self.idle = 0;
        self.second = self.second.wrapping_add(elapsed);
        self.measured_at = Some(now);
        self.own.handle_sample(bitrate(mbps));
        for (index, ahead) in HORIZONS.into_iter().enumerate() {
            let horizon = &mut self.horizons[index];
            let then = self.second.wrapping_sub(ahead);
            match &self.said[then as usize % PENDING] {
                _ if first => horizon.handle_first(mbps),
                Some(said) if said.second == then => {
                    horizon.handle_outcome(&said.forecasts, &said.outlooks[index], mbps);
                }
                _ => {}
            }
        }
        self.experts.handle_second(mbps, elapsed);
        let forecasts = self.experts.forecasts(self.horizons[0].usual_error());
        let outlooks = self.horizons.each_ref().map(|horizon| horizon.outlook(&forecasts));
        self.said[self.second as usize % PENDING] =
            Some(Said { second: self.second, forecasts, outlooks });
    }

    /// `reach` is the time between the measurement and the moment predicted.
    fn outlook(&self, said: &Said, reach: Duration) -> Prediction {
        let [near, far] = &said.outlooks;
        let [near_at, far_at] = HORIZONS.map(f64::from);
        let seconds = reach.as_secs_f64();
        if seconds <= far_at {
            let part = ((seconds - near_at) / (far_at - near_at)).clamp(0.0, 1.0);
            let nearer = if part < 0.5 { near } else { far };
            let reason = Reason::Measured(nearer.pattern);
            return between(&of_outlook(near, reason), &of_outlook(far, reason), part, reason);
        }
        let far = of_outlook(far, Reason::Measured(far.pattern));
        let Some(usual) = self.usual() else { return far };
        let faded = 1.0 - (-(seconds - far_at) / MEMORY.as_secs_f64()).exp();
        // What is left of a twentieth is not worth a word.
        let reason = if faded < 0.95 { Reason::Aging { age: reach } } else { Reason::Usual };
        between(&far, &of_usual(usual, reason), faded, reason)
    }

    fn at_least_proven(
        &self,
        now: Duration,
        ahead: Duration,
        prediction: Prediction,
    ) -> Prediction {
        match self.proven {
            Some((at, rate))
                if now.saturating_sub(at).saturating_add(ahead) <= PROOF
                    && rate > prediction.bandwidth =>
            {
                let high = prediction.high.max(rate);
                Prediction { bandwidth: rate, high, reason: Reason::Proven, ..prediction }
            }
            _ => prediction,
        }
    }
}

/// Nothing is known: the scheduler's assumption, and a band that excludes nothing.
const UNKNOWN: Prediction = Prediction {
    bandwidth: ASSUMED,
    low: Bitrate::ZERO,
    high: Bitrate(u64::MAX),
    reason: Reason::Unknown,
};

fn of_outlook(outlook: &Outlook, reason: Reason) -> Prediction {
    Prediction {
        bandwidth: bitrate(outlook.mbps),
        low: bitrate(outlook.low),
        high: bitrate(outlook.high),
        reason,
    }
}

fn of_usual(usual: Usual, reason: Reason) -> Prediction {
    Prediction { bandwidth: usual.median, low: usual.low, high: usual.high, reason }
}

/// `part` of the way from one to the other; each edge goes its own way, so that order stays.
fn between(from: &Prediction, to: &Prediction, part: f64, reason: Reason) -> Prediction {
    let mix = |from: Bitrate, to: Bitrate| {
        Bitrate((from.0 as f64 * (1.0 - part) + to.0 as f64 * part).round() as u64)
    };
    Prediction {
        bandwidth: mix(from.bandwidth, to.bandwidth),
        low: mix(from.low, to.low),
        high: mix(from.high, to.high),
        reason,
    }
}

fn bitrate(mbps: f32) -> Bitrate {
    Bitrate((f64::from(mbps) * 1e6).round() as u64)
}
