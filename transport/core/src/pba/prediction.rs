//! What is said about the future of a path.

use std::fmt;
use std::time::Duration;

use novacron_protocol::Bitrate;

use super::experts::Pattern;

/// Available bandwidth at a moment ahead, with an 80 % band: one outcome in ten lies below `low`,
/// one in ten above `high`. `low <= bandwidth <= high`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Prediction {
    pub bandwidth: Bitrate,
    pub low: Bitrate,
    pub high: Bitrate,
    pub reason: Reason,
}

/// What a prediction rests on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// Nothing was measured, and nothing is known of the site.
    Unknown,
    /// What is usual here; the last measurement says nothing any more about then.
    Usual,
    /// Measurements that are this old at the moment predicted, and what is usual here, in parts.
    Aging { age: Duration },
    /// Fresh measurements.
    Measured(Pattern),
    /// The application carried this much a moment ago, which is more than was expected.
    Proven,
}

/// What a path carries usually, when nothing fresh is known: the median and an 80 % band.
/// `low <= median <= high`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Usual {
    pub low: Bitrate,
    pub median: Bitrate,
    pub high: Bitrate,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.write_str("nothing measured yet"),
            Self::Usual => f.write_str("usual at this time"),
            Self::Aging { age } => write!(f, "last measured {} s before", age.as_secs()),
            Self::Measured(pattern) => pattern.fmt(f),
            Self::Proven => f.write_str("carried a moment ago"),
        }
    }
}

impl fmt::Display for Prediction {
    /// `20 Mbit/s (15 Mbit/s to 22 Mbit/s): the last second goes on`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { bandwidth, low, high, reason } = self;
        match high {
            Bitrate(u64::MAX) => write!(f, "{bandwidth} ({low} and more): {reason}"),
            _ => write!(f, "{bandwidth} ({low} to {high}): {reason}"),
        }
    }
}
