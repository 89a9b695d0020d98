//! Quantities that carry their unit in their type.

use std::fmt;
use std::ops::{Add, AddAssign, Div, Mul, Sub};
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
    /// Bits per second. Text accepts `20Mbit/s`, `800kbit`, `1 Gbit/s` or a plain number of bits
    /// per second.
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

impl Bitrate {
    pub const fn kbit(count: u64) -> Self {
        Self(count * 1_000)
    }

    pub const fn mbit(count: u64) -> Self {
        Self(count * 1_000_000)
    }

    pub const fn gbit(count: u64) -> Self {
        Self(count * 1_000_000_000)
    }
}

/// Text that is not a bitrate.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a bitrate: write a whole number with bit/s, kbit/s, Mbit/s or Gbit/s")]
pub struct BitrateError(String);

const BITRATE_UNITS: [(&str, u64); 5] =
    [("bit", 1), ("kbit", 1_000), ("Mbit", 1_000_000), ("Gbit", 1_000_000_000), ("", 1)];

impl FromStr for Bitrate {
    type Err = BitrateError;

    fn from_str(text: &str) -> Result<Self, BitrateError> {
        let refuse = || BitrateError(text.chars().take(32).collect());
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let (number, unit) = text.split_at(digits);
        let number: u64 = number.parse().map_err(|_| refuse())?;
        let unit = unit.trim();
        let unit = unit.strip_suffix("/s").unwrap_or(unit);
        let (_, scale) = BITRATE_UNITS
            .iter()
            .find(|(name, _)| name.eq_ignore_ascii_case(unit))
            .ok_or_else(refuse)?;
        number.checked_mul(*scale).map(Self).ok_or_else(refuse)
    }
}

impl fmt::Display for Bitrate {
    /// The largest decimal unit with at most one decimal: `800 kbit/s`, `1.5 Gbit/s`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [&str; 4] = ["bit/s", "kbit/s", "Mbit/s", "Gbit/s"];
        let mut step = 0;
        let mut scale = 1_u64;
        while step + 1 < UNITS.len() && self.0 >= scale * 1_000 {
            scale *= 1_000;
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

    /// What the rate carries within `span`, rounded down to whole bytes.
    fn mul(self, span: Duration) -> ByteCount {
        // 2^64 bits per second for 2^64 seconds is below 2^158: such spans saturate.
        let bits = u128::from(self.0).saturating_mul(span.as_nanos()) / 1_000_000_000;
        ByteCount(u64::try_from(bits / 8).unwrap_or(u64::MAX))
    }
}

impl Div<Bitrate> for ByteCount {
    type Output = Duration;

    /// How long the rate takes for so many bytes, rounded up to whole nanoseconds: after this
    /// long they have passed. `Duration::MAX` at a rate of zero.
    fn div(self, rate: Bitrate) -> Duration {
        const NANOS: u128 = 1_000_000_000;
        if rate.0 == 0 {
            return if self.0 == 0 { Duration::ZERO } else { Duration::MAX };
        }
        let nanos = (u128::from(self.0) * 8 * NANOS).div_ceil(u128::from(rate.0));
        let seconds = u64::try_from(nanos / NANOS).unwrap_or(u64::MAX);
        Duration::new(seconds, (nanos % NANOS) as u32)
    }
}

impl Div<Duration> for ByteCount {
    type Output = Bitrate;

    /// The rate that carries so many bytes within `span`, rounded down; `u64::MAX` for no time.
    fn div(self, span: Duration) -> Bitrate {
        let bits = u128::from(self.0) * 8 * 1_000_000_000;
        let rate = bits.checked_div(span.as_nanos()).unwrap_or(u128::from(u64::MAX));
        Bitrate(u64::try_from(rate).unwrap_or(u64::MAX))
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
        assert_eq!(Bitrate::mbit(8) * Duration::from_millis(500), ByteCount(500_000));
        assert_eq!(Bitrate::gbit(8) * Duration::from_nanos(1), ByteCount(1));
        assert_eq!(Bitrate(u64::MAX) * Duration::MAX, ByteCount(u64::MAX));
    }

    #[test]
    fn bytes_over_a_bitrate_are_the_time_they_take() {
        assert_eq!(ByteCount(500_000) / Bitrate::mbit(8), Duration::from_millis(500));
        assert_eq!(ByteCount(1) / Bitrate(24), Duration::from_nanos(333_333_334));
        assert_eq!(ByteCount(1) / Bitrate::ZERO, Duration::MAX);
        assert_eq!(ByteCount::ZERO / Bitrate::ZERO, Duration::ZERO);
        // The time is rounded up, so that it always carries the bytes.
        for (bytes, rate) in [(1, 7), (1_350, 333_333_333), (u64::MAX, 9), (12, u64::MAX)] {
            let span = ByteCount(bytes) / Bitrate(rate);
            assert!(Bitrate(rate) * span >= ByteCount(bytes), "{bytes} bytes at {rate}");
        }
    }

    #[test]
    fn bytes_over_a_duration_are_a_bitrate() {
        assert_eq!(ByteCount(500_000) / Duration::from_millis(500), Bitrate::mbit(8));
        assert_eq!(ByteCount(1) / Duration::ZERO, Bitrate(u64::MAX));
    }

    #[test]
    fn bitrates_read_back_what_people_write_and_what_they_print() {
        for (text, rate) in [
            ("0", Bitrate::ZERO),
            ("800kbit", Bitrate::kbit(800)),
            ("20 Mbit/s", Bitrate::mbit(20)),
            ("1Gbit/s", Bitrate::gbit(1)),
        ] {
            assert_eq!(text.parse(), Ok(rate), "{text}");
            assert_eq!(rate.to_string().parse(), Ok(rate), "{rate}");
        }
        for text in ["", "Mbit", "-1", "1.5Gbit", "20 MB/s", "99999999999Gbit"] {
            assert!(text.parse::<Bitrate>().is_err(), "{text}");
        }
        assert_eq!(Bitrate(1_500_000_000).to_string(), "1.5 Gbit/s");
        assert_eq!(Bitrate(999).to_string(), "999 bit/s");
    }
}
