//! The generator behind every chance on a link: SplitMix64, fixed forever.
//!
//! Its own, because a crate may change its algorithm with a version, and then a seed would no longer
//! replay. Source: Steele, Lea, Flood, "Fast Splittable Pseudorandom Number Generators" (2014).

/// A stream of random numbers.
#[derive(Debug, Clone)]
pub(crate) struct Random(u64);

impl Random {
    /// The stream named `purpose` of `seed`. Each chance has its own, so that asking for duplicates
    /// does not change which packets are lost.
    pub(crate) fn new(seed: u64, purpose: u64) -> Self {
        Self(mix(seed ^ mix(purpose.wrapping_mul(GAMMA))))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(GAMMA);
        mix(self.0)
    }

    /// Uniform in `0.0..1.0`.
    pub(crate) fn fraction(&mut self) -> f64 {
        fraction_of(self.next())
    }

    /// True with `probability`. Draws in any case, so that the stream does not depend on it.
    pub(crate) fn chance(&mut self, probability: f64) -> bool {
        self.fraction() < probability
    }
}

/// The fraction that belongs to `index` under `seed`, whenever it is asked for.
pub(crate) fn fraction_at(seed: u64, index: u64) -> f64 {
    fraction_of(mix(mix(seed).wrapping_add(index.wrapping_mul(GAMMA))))
}

fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// The upper 53 bits, as many as an `f64` holds exactly.
fn fraction_of(bits: u64) -> f64 {
    (bits >> 11) as f64 / (1_u64 << 53) as f64
}

/// 2^64 over the golden ratio, odd.
const GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_published_first_numbers_of_splitmix64_come_out() {
        // Reference output for state 1234567, as in the public-domain splitmix64.c.
        let mut random = Random(1_234_567);
        assert_eq!(
            [random.next(), random.next(), random.next()],
            [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]
        );
    }

    #[test]
    fn streams_of_one_seed_are_unrelated() {
        let (mut a, mut b) = (Random::new(7, 1), Random::new(7, 2));
        let same = (0..1000).filter(|_| a.chance(0.5) == b.chance(0.5)).count();
        assert!((400..600).contains(&same), "{same} of 1000 agree");
    }
}
