//! What a block can be coded with, fastest first.

use std::fmt;

/// One way to code a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Choice {
    /// As it is.
    Raw,
    Lz4,
    /// zstd at a level, -7 to 19.
    Zstd(i8),
}

/// What is known of a choice before it was tried.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Prior {
    pub(crate) choice: Choice,
    /// Content coded, in MB of 10^6 bytes per second of one processor.
    coded_mb_per_s: f64,
    /// Content expanded.
    expanded_mb_per_s: f64,
    /// Coded size as a share of the content.
    pub(crate) ratio: f64,
}

impl Prior {
    pub(crate) fn seconds_per_byte(&self) -> f64 {
        1e-6 / self.coded_mb_per_s
    }

    /// What the receiver takes: it hardly depends on the content, so it is not measured.
    pub(crate) fn expanding_seconds_per_byte(&self) -> f64 {
        1e-6 / self.expanded_mb_per_s
    }
}

/// Measured on guest memory and disk images, in blocks of the length that suits each. Levels between
/// those listed are never far from a neighbour's speed and size.
pub(crate) const PRIORS: [Prior; COUNT] = [
    prior(Choice::Raw, 20_000.0, 20_000.0, 1.0),
    prior(Choice::Lz4, 500.0, 2_200.0, 0.46),
    prior(Choice::Zstd(-7), 500.0, 1_500.0, 0.5),
    prior(Choice::Zstd(-3), 430.0, 1_400.0, 0.43),
    prior(Choice::Zstd(-1), 390.0, 1_300.0, 0.385),
    prior(Choice::Zstd(1), 350.0, 950.0, 0.345),
    prior(Choice::Zstd(2), 270.0, 900.0, 0.322),
    prior(Choice::Zstd(3), 205.0, 900.0, 0.305),
    prior(Choice::Zstd(4), 165.0, 900.0, 0.303),
    prior(Choice::Zstd(5), 95.0, 850.0, 0.292),
    prior(Choice::Zstd(6), 64.0, 850.0, 0.276),
    prior(Choice::Zstd(7), 54.0, 850.0, 0.273),
    prior(Choice::Zstd(8), 48.0, 850.0, 0.271),
    prior(Choice::Zstd(9), 44.0, 850.0, 0.269),
    prior(Choice::Zstd(10), 34.0, 850.0, 0.268),
    prior(Choice::Zstd(11), 27.0, 850.0, 0.2675),
    prior(Choice::Zstd(12), 19.0, 850.0, 0.267),
    prior(Choice::Zstd(13), 9.0, 850.0, 0.266),
    prior(Choice::Zstd(14), 7.5, 850.0, 0.2645),
    prior(Choice::Zstd(15), 5.5, 850.0, 0.263),
    prior(Choice::Zstd(16), 4.0, 750.0, 0.256),
    prior(Choice::Zstd(17), 2.8, 750.0, 0.25),
    prior(Choice::Zstd(18), 2.4, 700.0, 0.245),
    prior(Choice::Zstd(19), 2.1, 700.0, 0.24),
];

/// How many choices there are.
pub(crate) const COUNT: usize = 24;
/// Index of [`Choice::Raw`] in [`PRIORS`].
pub(crate) const RAW: usize = 0;

impl Choice {
    /// Every choice, fastest first.
    pub fn all() -> impl Iterator<Item = Self> {
        PRIORS.iter().map(|prior| prior.choice)
    }

    pub(crate) fn index(self) -> Option<usize> {
        PRIORS.iter().position(|prior| prior.choice == self)
    }

    /// Memory that a compressor takes for the longest block, at most: its output and zstd's tables,
    /// measured and rounded up.
    pub(crate) fn compressor_bytes(self) -> usize {
        let mib = match self {
            Self::Raw => 0,
            Self::Lz4 | Self::Zstd(..=1) => 1,
            Self::Zstd(2..=5) => 6,
            Self::Zstd(6..=8) => 12,
            Self::Zstd(9) => 16,
            Self::Zstd(10 | 11) => 26,
            Self::Zstd(12 | 13) => 46,
            Self::Zstd(15) => 70,
            Self::Zstd(_) => 56,
        };
        mib << 20
    }
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Raw => f.write_str("none"),
            Self::Lz4 => f.write_str("lz4"),
            Self::Zstd(level) => write!(f, "zstd{level}"),
        }
    }
}

const fn prior(choice: Choice, coded_mb_per_s: f64, expanded_mb_per_s: f64, ratio: f64) -> Prior {
    Prior { choice, coded_mb_per_s, expanded_mb_per_s, ratio }
}
