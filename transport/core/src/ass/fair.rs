//! Fair shares by weight: start-time fair queueing.
//!
//! Each class carries a tag, the bytes it has sent divided by its weight. The class with the
//! smallest tag goes next; the virtual time is the tag with which the last one went. A class that
//! comes back after it had nothing to send, or could not, starts at most a quantum before the virtual
//! time: it saves up no more than that. So much it needs, or a class that is held at its cap would lose
//! tokens while it waits for a round of the others. Between two classes that both wait,
//!
//! ```text
//! | bytes1 / weight1 - bytes2 / weight2 | <= quantum1 / weight1 + quantum2 / weight2
//! ```
//!
//! over any interval (Goyal, Vin and Cheng, theorem 1). Quanta are in proportion to weights, so
//! nobody is more than a round away from what is due.

use novacron_protocol::wire::Class;

use super::QUANTUM_BYTES;
use super::policy::Policy;
use super::set::ClassSet;

/// Least quantum: a packet's worth, or grants would cut packets into crumbs.
const QUANTUM_MIN_BYTES: u64 = 1_400;
/// Bytes of its share at most that a class owes for having gone ahead; what deadlines needed
/// beyond that is forgiven, or a busy minute would silence the class for the next.
const DEBT_MAX_BYTES: u64 = 64 << 10;

/// The shares of one connection. Tags are bytes / weight in 2^-32.
#[derive(Debug, Clone)]
pub(super) struct Fair {
    virtual_time: u128,
    tags: [u128; Class::ALL.len()],
    weights: [Weighed; Class::ALL.len()],
}

#[derive(Debug, Clone, Copy, Default)]
struct Weighed {
    weight: u32,
    tag_per_byte: u64,
    quantum: u64,
}

impl Fair {
    pub(super) fn new(policy: &Policy) -> Self {
        let classes = Class::ALL.len();
        debug_assert_eq!(classes, 7);
        let mut fair = Self { virtual_time: 0, tags: [0; 7], weights: [Weighed::default(); 7] };
        fair.set_weights(policy);
        fair
    }

    pub(super) fn set_weights(&mut self, policy: &Policy) {
        let weight = |class| u32::from(policy.class(class).weight.get());
        let heaviest = ClassSet::SHARED.map(weight).max().unwrap_or(1);
        self.weights = Class::ALL.map(|class| {
            let weight = weight(class);
            let quantum = QUANTUM_BYTES * u64::from(weight) / u64::from(heaviest);
            Weighed {
                weight,
                tag_per_byte: (1 << 32) / u64::from(weight),
                quantum: quantum.clamp(QUANTUM_MIN_BYTES, QUANTUM_BYTES),
            }
        });
    }

    /// The class whose turn it is, and the sum of the weights of those who compete.
    pub(super) fn next(&self, ready: ClassSet) -> Option<(Class, u32)> {
        let mut of = 0;
        let mut best: Option<(u128, Class)> = None;
        for class in ready {
            of += self.weight(class);
            let start = self.start(class);
            if best.is_none_or(|(least, _)| start < least) {
                best = Some((start, class));
            }
        }
        best.map(|(_, class)| (class, of))
    }

    /// The class had its turn.
    pub(super) fn charge(&mut self, class: Class, bytes: u64) {
        let start = self.start(class);
        self.virtual_time = self.virtual_time.max(start);
        self.tags[class as usize] = start + self.cost(class, bytes);
    }

    /// The class went ahead of its turn.
    pub(super) fn charge_ahead(&mut self, class: Class, bytes: u64) {
        let most = self.virtual_time + self.cost(class, DEBT_MAX_BYTES);
        let start = self.start(class);
        self.tags[class as usize] = (start + self.cost(class, bytes)).min(most.max(start));
    }

    pub(super) const fn weight(&self, class: Class) -> u32 {
        self.weights[class as usize].weight
    }

    pub(super) const fn quantum(&self, class: Class) -> u64 {
        self.weights[class as usize].quantum
    }

    fn start(&self, class: Class) -> u128 {
        let saved = self.cost(class, self.quantum(class));
        self.tags[class as usize].max(self.virtual_time.saturating_sub(saved))
    }

    fn cost(&self, class: Class, bytes: u64) -> u128 {
        u128::from(bytes) * u128::from(self.weights[class as usize].tag_per_byte)
    }
}
