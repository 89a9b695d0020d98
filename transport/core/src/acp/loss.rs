//! Tells the loss that a path always has from the loss that sending too fast makes.
//!
//! Radio links lose 5 % at any rate, and slowing down for that only wastes them (TCP CUBIC keeps 0.4
//! of 200 Mbit/s there). So the usual share of lost packets is learnt, and only what is clearly more
//! counts as a sign of congestion: four standard deviations of a binomial count, two points at least.

/// The usual loss, and a look at the packets since the last verdict.
#[derive(Debug, Clone, Default)]
pub(super) struct LossFloor {
    /// Usual share of lost bytes; `None` before the first sample.
    usual: Option<f64>,
    delivered: u64,
    lost: u64,
    /// Samples in a row that were above the usual.
    excess_run: u32,
}

/// What a sample of packets says.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Verdict {
    /// Too few packets yet.
    Open,
    Usual,
    /// More than usual, once: a burst, perhaps.
    Suspect,
    /// More than usual, again.
    Excess,
}

impl LossFloor {
    /// Adds an epoch's bytes.
    pub(super) fn handle_epoch(&mut self, delivered: u64, lost: u64, mtu: u64) -> Verdict {
        self.delivered += delivered;
        self.lost += lost;
        let packets = (self.delivered + self.lost) as f64 / mtu as f64;
        if packets < SAMPLE_PACKETS_MIN {
            return Verdict::Open;
        }
        let share = self.lost as f64 / (self.delivered + self.lost) as f64;
        (self.delivered, self.lost) = (0, 0);
        let usual = self.usual.get_or_insert(share.min(SHARE_MAX));
        let deviation = (usual.max(SHARE_MIN) * (1.0 - *usual) / packets).sqrt();
        if share > *usual + (4.0 * deviation).max(EXCESS_MIN) {
            self.excess_run += 1;
            return if self.excess_run >= 2 { Verdict::Excess } else { Verdict::Suspect };
        }
        self.excess_run = 0;
        // Slowly up, so that our own probing does not become the usual; quickly down.
        let gain = if share < *usual { 1.0 / 4.0 } else { 1.0 / 16.0 };
        *usual = (*usual + gain * (share - *usual)).min(SHARE_MAX);
        Verdict::Usual
    }

    /// The share of bytes that is usually lost.
    pub(super) fn usual(&self) -> f64 {
        self.usual.unwrap_or(0.0)
    }

    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }
}

/// Enough to see 5 % of loss from 15 %.
const SAMPLE_PACKETS_MIN: f64 = 100.0;
/// A path that loses more is not to be filled but to be left alone.
const SHARE_MAX: f64 = 0.2;
/// Keeps the deviation of a path that never lost anything above zero.
const SHARE_MIN: f64 = 0.001;
/// BBRv3 bears as much (`BBRLossThresh`).
const EXCESS_MIN: f64 = 0.02;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usual_loss_is_borne_and_more_is_not() {
        let mut floor = LossFloor::default();
        for _ in 0..50 {
            assert_ne!(floor.handle_epoch(950_000, 50_000, 1_000), Verdict::Excess);
        }
        assert!((floor.usual() - 0.05).abs() < 0.001);
        assert_eq!(floor.handle_epoch(900_000, 100_000, 1_000), Verdict::Suspect);
        assert_eq!(floor.handle_epoch(900_000, 100_000, 1_000), Verdict::Excess);
    }

    #[test]
    fn a_few_packets_are_no_evidence() {
        let mut floor = LossFloor::default();
        assert_eq!(floor.handle_epoch(10_000, 5_000, 1_000), Verdict::Open);
    }
}
