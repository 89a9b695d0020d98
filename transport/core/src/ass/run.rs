//! Going first, but not for ever.
//!
//! Whoever goes first spends a run of bytes while others wait behind; what the others send then
//! earns it back, several bytes for one. So, while somebody waits without a break,
//!
//! ```text
//! bytes that went first <= run + earned_per_byte * bytes of the others
//! ```
//!
//! which bounds both how long the others wait for their first byte (the run) and what is left for
//! them for as long as it takes: `1 / (earned_per_byte + 1)` of the link.

/// What is left of the right to go first.
#[derive(Debug, Clone, Copy)]
pub(super) struct Run {
    left_bytes: u64,
    bytes_max: u64,
    earned_per_byte: u64,
}

impl Run {
    pub(super) const fn new(bytes_max: u64, earned_per_byte: u64) -> Self {
        Self { left_bytes: bytes_max, bytes_max, earned_per_byte }
    }

    /// Bytes that may still go first; 0 when it is the others' turn.
    pub(super) const fn left(&self) -> u64 {
        self.left_bytes
    }

    pub(super) const fn bytes_max(&self) -> u64 {
        self.bytes_max
    }

    /// Bytes went first while others waited.
    pub(super) fn spend(&mut self, bytes: u64) {
        self.left_bytes = self.left_bytes.saturating_sub(bytes);
    }

    /// The others sent bytes.
    pub(super) fn earn(&mut self, bytes: u64) {
        let earned = bytes.saturating_mul(self.earned_per_byte);
        self.left_bytes = self.left_bytes.saturating_add(earned).min(self.bytes_max);
    }

    /// Nobody waited behind.
    pub(super) fn renew(&mut self) {
        self.left_bytes = self.bytes_max;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn going_first_is_bounded_by_the_run_and_what_the_others_sent(
            steps in proptest::collection::vec((any::<bool>(), 1_u64..50_000), 1..200),
        ) {
            let mut run = Run::new(64 << 10, 4);
            let (mut first, mut others) = (0, 0);
            for (wants_first, bytes) in steps {
                if wants_first && run.left() > 0 {
                    let bytes = bytes.min(run.left());
                    run.spend(bytes);
                    first += bytes;
                } else {
                    run.earn(bytes);
                    others += bytes;
                }
                prop_assert!(first <= (64 << 10) + 4 * others);
            }
        }
    }
}
