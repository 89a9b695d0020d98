//! Quantities that carry their unit in their type.

use std::fmt;
use std::ops::{Add, AddAssign, Mul, Sub};
use std::str::FromStr;
use std::time::Duration;

use bincode::{Decode, Encode};
use serde::{Deserialize, Serialize};

macro_rules! quantity {
    ($($(#[$doc:meta])* $name:ident;)*) => {$(
        $(#[$doc])*
        #[derive(
            Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Encode, Decode, Serialize, Deserialize,
        )]
        #[serde(transparent)]
        #[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(value_type = u64))]
        pub struct $name(pub u64);

        impl $name {
            pub const ZERO: Self = Self(0);

            #[must_use]
            pub const fn saturating_sub(self, other: Self) -> Self {
                Self(self.0.saturating_sub(other.0))
            }
        }

        impl Add for $name {
            type Output = Self;

            fn add(self, other: Self) -> Self {
                Self(self.0.saturating_add(other.0))
            }
        }

        impl AddAssign for $name {
            fn add_assign(&mut self, other: Self) {
                *self = *self + other;
            }
        }

        impl std::iter::Sum for $name {
            fn sum<I: Iterator<Item = Self>>(iter: I) -> Self {
                iter.fold(Self::ZERO, Add::add)
            }
        }
    )*};
}

quantity! {
    /// Bytes. Text accepts `512MiB`, `2GiB`, `10GB` or a plain number of bytes.
    ByteCount;
    /// Bits per second.
    Bitrate;
    /// Milliseconds of a span.
    Millis;
    /// Milliseconds since 1970-01-01T00:00:00Z, as a member's clock had it. Only for people to
    /// read: no decision compares the clocks of two machines.
    Timestamp;
}

/// Virtual CPUs.
#[derive(
    Debug,
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Encode,
    Decode,
    Serialize,
    Deserialize,
)]
#[serde(transparent)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema), schema(value_type = u32))]
pub struct VcpuCount(pub u32);

/// Text that is not a size.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a size: write a number with B, KiB, MiB, GiB, TiB, KB, MB, GB or TB")]
pub struct SizeError(String);

impl ByteCount {
    pub const fn mib(count: u64) -> Self {
        Self(count << 20)
    }

    pub const fn gib(count: u64) -> Self {
        Self(count << 30)
    }

    pub const fn tib(count: u64) -> Self {
        Self(count << 40)
    }

    pub const fn as_mib(self) -> u64 {
        self.0 >> 20
    }
}

const SIZE_UNITS: [(&str, u64); 10] = [
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
    ("B", 1),
    ("", 1),
];

impl FromStr for ByteCount {
    type Err = SizeError;

    fn from_str(text: &str) -> Result<Self, SizeError> {
        let refuse = || SizeError(text.chars().take(32).collect());
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let number: u64 = number.parse().map_err(|_| refuse())?;
        let (_, scale) = SIZE_UNITS
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(unit.trim()))
            .ok_or_else(refuse)?;
        number.checked_mul(*scale).map(Self).ok_or_else(refuse)
    }
}

impl fmt::Display for ByteCount {
    /// The largest binary unit with at most one decimal: `512 MiB`, `1.5 GiB`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
        let mut step = 0;
        let mut scale = 1_u64;
        while step + 1 < UNITS.len() && self.0 >= scale << 10 {
            scale <<= 10;
            step += 1;
        }
        let text = if self.0.is_multiple_of(scale) {
            format!("{} {}", self.0 / scale, UNITS[step])
        } else {
            format!("{:.1} {}", self.0 as f64 / scale as f64, UNITS[step])
        };
        f.pad(&text)
    }
}

impl Mul<Duration> for Bitrate {
    type Output = ByteCount;

    fn mul(self, span: Duration) -> ByteCount {
        let bits = u128::from(self.0) * span.as_micros() / 1_000_000;
        ByteCount(u64::try_from(bits / 8).unwrap_or(u64::MAX))
    }
}

impl From<Duration> for Millis {
    fn from(span: Duration) -> Self {
        Self(u64::try_from(span.as_millis()).unwrap_or(u64::MAX))
    }
}

impl From<Millis> for Duration {
    fn from(span: Millis) -> Self {
        Self::from_millis(span.0)
    }
}

impl Add<Millis> for Timestamp {
    type Output = Self;

    fn add(self, span: Millis) -> Self {
        Self(self.0.saturating_add(span.0))
    }
}

impl Sub for Timestamp {
    type Output = Millis;

    fn sub(self, earlier: Self) -> Millis {
        Millis(self.0.saturating_sub(earlier.0))
    }
}

impl fmt::Display for VcpuCount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_back_what_people_write() {
        for (text, bytes) in [
            ("0", 0),
            ("512MiB", 512 << 20),
            ("2 GiB", 2 << 30),
            ("10gb", 10_000_000_000),
            ("1B", 1),
        ] {
            assert_eq!(text.parse(), Ok(ByteCount(bytes)), "{text}");
        }
        for text in ["", "GiB", "-1", "1.5GiB", "1 parsec", "99999999999TiB"] {
            assert!(text.parse::<ByteCount>().is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_print_in_the_largest_unit() {
        assert_eq!(ByteCount(0).to_string(), "0 B");
        assert_eq!(ByteCount::mib(512).to_string(), "512 MiB");
        assert_eq!(ByteCount(3 << 29).to_string(), "1.5 GiB");
        assert_eq!(ByteCount::tib(5000).to_string(), "5000 TiB");
    }

    #[test]
    fn a_bitrate_times_a_duration_is_bytes() {
        assert_eq!(Bitrate(8_000_000) * Duration::from_millis(500), ByteCount(500_000));
    }
}
