//! Turns samples, however often they come, into one value a second.

use std::time::Duration;

use novacron_protocol::Bitrate;

use super::Limit;
use super::mixture::MBPS_MAX;

/// A second ends with the first sample after this long: samples once a second that come a little
/// early still end it.
const SECOND_MIN: Duration = Duration::from_millis(900);

/// What one second showed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Second {
    /// Seconds since the last one that ended, at least 1.
    pub(super) elapsed: u32,
    /// Mean over time of what the network limited, in Mbit/s; `None` when it limited nothing.
    pub(super) network: Option<f32>,
    /// Most that was carried while the application limited it: the link can do at least this.
    pub(super) app: Option<f32>,
}

/// Gathers the samples of a second.
#[derive(Debug, Clone, Default)]
pub(super) struct Seconds {
    started_at: Option<Duration>,
    sample_at: Duration,
    network_mbit: f64,
    network_span: f64,
    app_mbps: Option<f32>,
}

impl Seconds {
    /// Gives the second that ends with this sample, if one does.
    pub(super) fn handle_sample(
        &mut self,
        now: Duration,
        rate: Bitrate,
        limit: Limit,
    ) -> Option<Second> {
        let mbps = (rate.0 as f64 / 1e6).min(f64::from(MBPS_MAX));
        // A sample tells of the time since the one before, and of a second at most.
        let span = match self.started_at {
            Some(_) => now.saturating_sub(self.sample_at).as_secs_f64().clamp(1e-3, 1.0),
            None => 1.0,
        };
        self.sample_at = self.sample_at.max(now);
        match limit {
            Limit::Network => {
                self.network_mbit += mbps * span;
                self.network_span += span;
            }
            Limit::App => {
                self.app_mbps =
                    Some(self.app_mbps.map_or(mbps as f32, |most| most.max(mbps as f32)));
            }
        }
        let elapsed = match self.started_at {
            Some(started_at) => now.saturating_sub(started_at),
            None => Duration::from_secs(1),
        };
        if elapsed < SECOND_MIN {
            return None;
        }
        let network = self.network_span > 0.0;
        let second = Second {
            elapsed: elapsed.as_secs_f64().round().clamp(1.0, f64::from(u32::MAX)) as u32,
            network: network.then_some((self.network_mbit / self.network_span) as f32),
            app: self.app_mbps,
        };
        *self = Self { started_at: Some(now), sample_at: now, ..Self::default() };
        Some(second)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_samples_are_one_second_of_their_mean_over_time() {
        let mut seconds = Seconds::default();
        let first = seconds.handle_sample(Duration::ZERO, Bitrate::mbit(10), Limit::Network);
        assert_eq!(first, Some(Second { elapsed: 1, network: Some(10.0), app: None }));
        for tenth in 1..=8 {
            let now = Duration::from_millis(100 * tenth);
            assert_eq!(seconds.handle_sample(now, Bitrate::mbit(20), Limit::Network), None);
        }
        // This one covers 200 ms.
        let now = Duration::from_secs(1);
        let second = seconds.handle_sample(now, Bitrate::mbit(70), Limit::Network).unwrap();
        assert_eq!(second.elapsed, 1);
        assert!((second.network.unwrap() - 30.0).abs() < 1e-3, "{second:?}");
    }

    #[test]
    fn what_the_application_limited_is_kept_apart() {
        let mut seconds = Seconds::default();
        seconds.handle_sample(Duration::ZERO, Bitrate::mbit(10), Limit::Network);
        let half = Duration::from_millis(500);
        assert_eq!(seconds.handle_sample(half, Bitrate::mbit(40), Limit::App), None);
        let second = seconds.handle_sample(half * 2, Bitrate::mbit(30), Limit::App);
        assert_eq!(second, Some(Second { elapsed: 1, network: None, app: Some(40.0) }));
        // Then silence for a while.
        let second = seconds.handle_sample(half * 9, Bitrate::mbit(8), Limit::Network);
        assert_eq!(second, Some(Second { elapsed: 4, network: Some(8.0), app: None }));
    }

    #[test]
    fn time_that_stands_still_or_goes_back_ends_no_second() {
        let mut seconds = Seconds::default();
        let now = Duration::from_secs(9);
        assert!(seconds.handle_sample(now, Bitrate(u64::MAX), Limit::Network).is_some());
        assert_eq!(seconds.handle_sample(now, Bitrate(u64::MAX), Limit::App), None);
        assert_eq!(seconds.handle_sample(Duration::ZERO, Bitrate::ZERO, Limit::Network), None);
    }
}
