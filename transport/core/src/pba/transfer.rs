//! How long a transfer will take, with a band, across the hours of a capped link.

use std::time::Duration;

use novacron_protocol::{Bitrate, ByteCount, Millis, Timestamp};

use super::caps::Caps;
use super::prediction::{Prediction, Usual};

/// Time until a transfer is done: `early <= likely <= late`. `None` where it does not end within
/// [`TRANSFER_MAX`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TransferTime {
    /// One transfer in ten is done earlier.
    pub early: Option<Duration>,
    pub likely: Option<Duration>,
    /// One transfer in ten takes longer: what to promise.
    pub late: Option<Duration>,
}

/// Longest time that is foreseen. Nobody plans by the tenth week of a transfer.
pub const TRANSFER_MAX: Duration = Duration::from_secs(31 * 24 * 3600);

/// How long a fresh prediction holds; after this long a link is what it usually is. A band for one
/// moment is wider than one for a mean over minutes, so that long estimates are on the safe side.
const FRESH: Duration = Duration::from_secs(60);

impl TransferTime {
    /// How long `bytes` take from `at` on, over a link that does as `prediction` says for a
    /// minute, and then as `usual` says, never more than `caps` allow. Without `usual` the
    /// prediction goes on to hold.
    pub fn new(
        bytes: ByteCount,
        at: Timestamp,
        prediction: &Prediction,
        usual: Option<&Usual>,
        caps: &Caps,
    ) -> Self {
        let time = |now: Bitrate, later: Option<Bitrate>| {
            time_to_send(bytes, at, now, later.unwrap_or(now), caps)
        };
        Self {
            early: time(prediction.high, usual.map(|usual| usual.high)),
            likely: time(prediction.bandwidth, usual.map(|usual| usual.median)),
            late: time(prediction.low, usual.map(|usual| usual.low)),
        }
    }
}

fn time_to_send(
    mut bytes: ByteCount,
    start: Timestamp,
    now: Bitrate,
    later: Bitrate,
    caps: &Caps,
) -> Option<Duration> {
    let mut at = start;
    loop {
        let passed = Duration::from(at - start);
        let (rate, phase_end) = match passed < FRESH {
            true => (now, Some(start + Millis::from(FRESH))),
            false => (later, None),
        };
        let rate = caps.cap_at(at).map_or(rate, |cap| cap.min(rate));
        let span = [phase_end, caps.next_change(at)].into_iter().flatten().min();
        let needed = bytes / rate;
        let step = match span {
            Some(end) => Duration::from(end - at),
            None => Duration::MAX,
        };
        if needed <= step {
            return passed.checked_add(needed).filter(|time| *time <= TRANSFER_MAX);
        }
        if passed > TRANSFER_MAX {
            return None;
        }
        bytes = bytes.saturating_sub(rate * step);
        at = span?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pba::Reason;
    use novacron_protocol::api::time::UtcTime;
    use proptest::prelude::*;

    fn at(text: &str) -> Timestamp {
        text.parse::<UtcTime>().unwrap().0
    }

    fn prediction(low: u64, bandwidth: u64, high: u64) -> Prediction {
        let [low, bandwidth, high] = [low, bandwidth, high].map(Bitrate::mbit);
        Prediction { bandwidth, low, high, reason: Reason::Usual }
    }

    fn seconds(seconds: u64) -> Option<Duration> {
        Some(Duration::from_secs(seconds))
    }

    #[test]
    fn a_transfer_takes_what_the_band_says() {
        let bytes = ByteCount(800_000_000);
        let at = at("2026-11-30T12:00:00Z");
        let time = TransferTime::new(bytes, at, &prediction(64, 80, 128), None, &Caps::default());
        assert_eq!(time.early, seconds(50));
        assert_eq!(time.likely, seconds(80));
        assert_eq!(time.late, seconds(100));
        let time = TransferTime::new(bytes, at, &prediction(0, 80, 128), None, &Caps::default());
        assert_eq!(time.late, None);
    }

    #[test]
    fn after_a_minute_the_link_is_what_it_usually_is() {
        let usual =
            Usual { low: Bitrate::mbit(1), median: Bitrate::mbit(8), high: Bitrate::mbit(80) };
        let time = TransferTime::new(
            ByteCount(610_000_000),
            at("2026-11-30T12:00:00Z"),
            &prediction(0, 80, 80),
            Some(&usual),
            &Caps::default(),
        );
        // 600 MB in the first minute, and 10 MB at 8 Mbit/s.
        assert_eq!(time.likely, seconds(70));
        assert_eq!(time.early, seconds(61));
        // None in the first minute, and 4,880 s at 1 Mbit/s.
        assert_eq!(time.late, seconds(60 + 4_880));
    }

    #[test]
    fn a_transfer_waits_for_the_hours_at_which_it_may_run() {
        let caps: Caps = "mon-fri 08:00-18:00 8Mbit/s; else 80Mbit/s".parse().unwrap();
        // An hour at 8 Mbit/s carries 3.6 GB, and 6.4 GB more take 640 s at 80 Mbit/s.
        let friday = at("2026-12-04T17:00:00Z");
        let time = TransferTime::new(
            ByteCount(10_000_000_000),
            friday,
            &prediction(90, 90, 90),
            None,
            &caps,
        );
        assert_eq!(time.likely, seconds(3_600 + 640));
    }

    proptest! {
        #[test]
        fn times_are_in_order_and_end(
            bytes in any::<u64>(), ms in any::<u64>(), mut rates in prop::array::uniform3(any::<u64>()),
            mut usual in prop::array::uniform3(0..1_000_000_000_u64),
        ) {
            rates.sort_unstable();
            usual.sort_unstable();
            let [low, bandwidth, high] = rates.map(Bitrate);
            let prediction = Prediction { bandwidth, low, high, reason: Reason::Usual };
            let [low, median, high] = usual.map(Bitrate);
            let usual = Usual { low, median, high };
            let caps: Caps = "sat 22:00-06:00 9kbit; tue 10:00-11:30 unlimited; else 9Gbit".parse().unwrap();
            let time = TransferTime::new(ByteCount(bytes), Timestamp(ms), &prediction, Some(&usual), &caps);
            let order = [time.early, time.likely, time.late].map(|time| time.unwrap_or(Duration::MAX));
            prop_assert!(order.is_sorted());
        }
    }
}
