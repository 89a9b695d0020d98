//! How fast the transmitter is: not limited, constant, or as a trace recorded it.

use std::time::Duration;

/// The rate of a link, in bits of IP packets a second.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Rate {
    #[default]
    Unlimited,
    /// Bits per second. 0 sends nothing and keeps the queue.
    Constant(u64),
    /// `mbps[i]` (10^6 bit/s) holds from `i * step` on, and after the last one the first again.
    Trace { mbps: Vec<f64>, step: Duration },
}

impl Rate {
    /// A constant rate in 10^6 bit/s.
    pub fn mbps(mbps: f64) -> Self {
        Self::Constant(bits_per_second(mbps))
    }

    /// Bits per second on average, `None` without a limit.
    pub fn mean(&self) -> Option<u64> {
        match self {
            Self::Unlimited => None,
            Self::Constant(rate) => Some(*rate),
            Self::Trace { mbps, .. } => {
                let sum: u64 = mbps.iter().map(|mbps| bits_per_second(*mbps)).sum();
                Some(sum / mbps.len().max(1) as u64)
            }
        }
    }

    /// Bytes that the link could carry between two times, `None` without a limit.
    pub fn bytes_between(&self, from: Duration, to: Duration) -> Option<u64> {
        let work = self.work_between(from, to)?;
        Some(u64::try_from(work / (8 * NANOS)).unwrap_or(u64::MAX))
    }

    /// Work (bits times 10^9) done between two times, `None` without a limit.
    pub(crate) fn work_between(&self, from: Duration, to: Duration) -> Option<u128> {
        let (mut at, to) = (from.as_nanos(), to.as_nanos());
        let mut work = 0;
        while at < to {
            let (rate, until) = self.at(at)?;
            let until = until.min(to);
            work += (until - at) * u128::from(rate);
            at = until;
        }
        Some(work)
    }

    /// When `work` (bits times 10^9) that begins at `start` is done; `None` for never.
    pub(crate) fn finish(&self, start: Duration, work: u128) -> Option<Duration> {
        let (mut at, mut left) = (start.as_nanos(), work);
        // A trace may be silent for long, but one that is silent throughout never ends.
        let steps_max = match self {
            Self::Trace { mbps, .. } if self.mean() != Some(0) => mbps.len() + 1,
            _ => 1,
        };
        let mut silent = 0;
        while silent < steps_max {
            let Some((rate, until)) = self.at(at) else { return Some(start) };
            let possible = (until - at).saturating_mul(u128::from(rate));
            if possible >= left && rate > 0 {
                return Some(from_nanos(at + left.div_ceil(u128::from(rate))));
            }
            silent = if rate == 0 { silent + 1 } else { 0 };
            left -= possible;
            at = until;
        }
        None
    }

    /// The rate at a time and until when it holds, both in nanoseconds; `None` without a limit.
    fn at(&self, at: u128) -> Option<(u64, u128)> {
        match self {
            Self::Unlimited => None,
            Self::Constant(rate) => Some((*rate, u128::MAX)),
            Self::Trace { mbps, step } => {
                let step = step.as_nanos().max(1);
                let index = at / step;
                let looped = usize::try_from(index % mbps.len().max(1) as u128).unwrap_or(0);
                let rate = mbps.get(looped).map_or(0, |mbps| bits_per_second(*mbps));
                Some((rate, (index + 1) * step))
            }
        }
    }
}

/// Work of sending `bytes`.
pub(crate) fn work_of(bytes: usize) -> u128 {
    bytes as u128 * 8 * NANOS
}

fn bits_per_second(mbps: f64) -> u64 {
    // Saturates: what is not a rate (negative, not a number) is 0.
    (mbps * 1e6).round() as u64
}

fn from_nanos(nanos: u128) -> Duration {
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

const NANOS: u128 = 1_000_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Duration = Duration::from_millis;

    fn trace() -> Rate {
        Rate::Trace { mbps: vec![8.0, 0.0, 80.0], step: MS(100) }
    }

    #[test]
    fn a_constant_rate_takes_its_time_for_each_byte() {
        assert_eq!(Rate::mbps(12.0).finish(MS(5), work_of(1500)), Some(MS(6)));
        assert_eq!(Rate::Unlimited.finish(MS(5), work_of(1500)), Some(MS(5)));
        assert_eq!(Rate::Constant(0).finish(MS(5), work_of(1500)), None);
    }

    #[test]
    fn a_packet_spans_the_steps_of_a_trace_and_waits_in_silent_ones() {
        // 8 Mbit/s carries 1,000 bytes a ms.
        assert_eq!(trace().finish(MS(98), work_of(1_000)), Some(MS(99)));
        assert_eq!(trace().finish(MS(99), work_of(21_000)), Some(MS(202)));
        assert_eq!(trace().finish(MS(299), work_of(11_000)), Some(MS(301)), "it loops");
        let silent = Rate::Trace { mbps: vec![0.0; 3], step: MS(100) };
        assert_eq!(silent.finish(MS(0), work_of(1)), None);
    }

    #[test]
    fn what_a_trace_offers_is_the_area_under_it() {
        let second = trace().bytes_between(MS(0), MS(300)).expect("it is limited");
        assert_eq!(second, 100_000 + 1_000_000);
        assert_eq!(trace().bytes_between(MS(50), MS(201)), Some(50_000 + 10_000));
        assert_eq!(Rate::Unlimited.bytes_between(MS(0), MS(1)), None);
        assert_eq!(trace().mean(), Some(88_000_000 / 3));
    }
}
