//! Which packets the wire loses.

use crate::random::Random;

/// Loss on the wire, after the queue. All probabilities are in `0.0..=1.0`.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum Loss {
    #[default]
    None,
    /// Each packet by itself.
    Random { probability: f64 },
    /// Gilbert-Elliott: a good and a bad state, each with a loss of its own, and chances per packet
    /// to go from one to the other. The wire begins in the good state.
    Burst { good_to_bad: f64, bad_to_good: f64, loss_good: f64, loss_bad: f64 },
}

impl Loss {
    /// Random loss of `percent` of the packets.
    pub fn percent(percent: f64) -> Self {
        if percent == 0.0 { Self::None } else { Self::Random { probability: percent / 100.0 } }
    }

    /// Bursts in which everything is lost, `burst_packets` (at least 1) long on average, and
    /// nothing between them; `mean` of all packets are lost.
    pub fn burst(mean: f64, burst_packets: f64) -> Self {
        let bad_to_good = 1.0 / burst_packets.max(1.0);
        let good_to_bad = (bad_to_good * mean / (1.0 - mean)).min(1.0);
        Self::Burst { good_to_bad, bad_to_good, loss_good: 0.0, loss_bad: 1.0 }
    }

    /// The share of packets that is lost in the long run.
    pub fn mean(&self) -> f64 {
        match *self {
            Self::None => 0.0,
            Self::Random { probability } => probability,
            Self::Burst { good_to_bad, bad_to_good, loss_good, loss_bad } => {
                let bad = good_to_bad / (good_to_bad + bad_to_good).max(f64::MIN_POSITIVE);
                bad * loss_bad + (1.0 - bad) * loss_good
            }
        }
    }
}

/// The dice of [`Loss`] and the state that bursts need.
#[derive(Debug, Clone)]
pub(crate) struct LossState {
    random: Random,
    is_bad: bool,
}

impl LossState {
    pub(crate) fn new(random: Random) -> Self {
        Self { random, is_bad: false }
    }

    /// Whether the next packet is lost.
    pub(crate) fn next(&mut self, loss: &Loss) -> bool {
        match *loss {
            Loss::None => false,
            Loss::Random { probability } => self.random.chance(probability),
            Loss::Burst { good_to_bad, bad_to_good, loss_good, loss_bad } => {
                let change = if self.is_bad { bad_to_good } else { good_to_bad };
                if self.random.chance(change) {
                    self.is_bad = !self.is_bad;
                }
                self.random.chance(if self.is_bad { loss_bad } else { loss_good })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn losses(loss: &Loss, packets: usize) -> Vec<bool> {
        let mut state = LossState::new(Random::new(1, 0));
        (0..packets).map(|_| state.next(loss)).collect()
    }

    fn share(lost: &[bool]) -> f64 {
        lost.iter().filter(|lost| **lost).count() as f64 / lost.len() as f64
    }

    #[test]
    fn bursts_lose_the_share_and_have_the_length_that_was_asked_for() {
        let loss = Loss::burst(0.02, 8.0);
        assert!((loss.mean() - 0.02).abs() < 1e-9);
        let lost = losses(&loss, 2_000_000);
        assert!((share(&lost) / 0.02 - 1.0).abs() < 0.03, "{}", share(&lost));
        let bursts = lost.windows(2).filter(|pair| !pair[0] && pair[1]).count();
        let length = share(&lost) * lost.len() as f64 / bursts as f64;
        assert!((length / 8.0 - 1.0).abs() < 0.03, "{length}");
    }

    #[test]
    fn the_two_states_of_a_burst_lose_at_their_own_rates() {
        let loss =
            Loss::Burst { good_to_bad: 0.01, bad_to_good: 0.1, loss_good: 0.001, loss_bad: 0.5 };
        let measured = share(&losses(&loss, 2_000_000));
        assert!((measured / loss.mean() - 1.0).abs() < 0.03, "{measured} of {}", loss.mean());
    }

    #[test]
    fn no_loss_loses_nothing_and_certain_loss_everything() {
        assert_eq!(share(&losses(&Loss::percent(0.0), 1_000)), 0.0);
        assert_eq!(share(&losses(&Loss::percent(100.0), 1_000)), 1.0);
    }
}
