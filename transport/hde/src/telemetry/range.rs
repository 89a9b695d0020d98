//! A binary range coder with adaptive probabilities, for messages of a few dozen bytes.
//!
//! The coder of LZMA (I. Pavlov's `rc`), with the first byte, which is always zero, and trailing
//! zeros left out: a decoder reads zeros past the end.

/// Odds of a bit, learnt: 12 bits of probability that it is 0, and 4 bits of how often it was seen.
#[derive(Debug, Clone, Copy)]
pub(super) struct Odds(u16);

const PROBABILITY_BITS: u32 = 12;
const EVEN: u16 = 1 << (PROBABILITY_BITS - 1);
/// A bit seen often moves by 2^-5 of its distance: what was learnt lasts for some 50 bits.
const SLOWEST: u16 = 5;
const TOP: u32 = 1 << 24;

impl Default for Odds {
    fn default() -> Self {
        Self(EVEN << 4)
    }
}

impl Odds {
    fn zero(self) -> u32 {
        u32::from(self.0 >> 4)
    }

    fn learn(&mut self, bit: u32) {
        let (probability, seen) = (self.0 >> 4, self.0 & 15);
        let shift = (seen + 1).min(SLOWEST);
        let probability = match bit {
            0 => probability + ((4095 - probability) >> shift),
            _ => probability - ((probability - 1) >> shift),
        };
        self.0 = probability << 4 | (seen + 1).min(15);
    }
}

/// Says bits, or hears them: one description of a message serves both directions.
pub(super) trait Coder {
    /// Codes a bit with its odds; gives the bit that was said or heard.
    fn bit(&mut self, odds: &mut Odds, bit: u32) -> u32;
    /// Codes `count` bits that nothing is known of, up to 64.
    fn plain(&mut self, count: u32, bits: u64) -> u64;
}

#[derive(Debug)]
pub(super) struct RangeEncoder {
    low: u64,
    range: u32,
    cache: u8,
    cached: u64,
    out: Vec<u8>,
}

impl RangeEncoder {
    pub(super) fn new() -> Self {
        Self { low: 0, range: u32::MAX, cache: 0, cached: 1, out: Vec::new() }
    }

    fn shift(&mut self) {
        if self.low < 0xFF00_0000 || self.low > 0xFFFF_FFFF {
            let carry = (self.low >> 32) as u8;
            let mut byte = self.cache;
            for _ in 0..self.cached {
                self.out.push(byte.wrapping_add(carry));
                byte = 0xFF;
            }
            self.cached = 0;
            self.cache = (self.low >> 24) as u8;
        }
        self.cached += 1;
        self.low = (self.low & 0x00FF_FFFF) << 8;
    }

    fn normalize(&mut self) {
        while self.range < TOP {
            self.range <<= 8;
            self.shift();
        }
    }

    pub(super) fn finish(mut self) -> Vec<u8> {
        // Of all values that decode alike, the one with most zeros at its end.
        let last = self.low + u64::from(self.range) - 1;
        let rounded = (0..32).rev().map(|bits| last >> bits << bits);
        self.low = rounded.into_iter().find(|value| *value >= self.low).unwrap_or(last);
        for _ in 0..5 {
            self.shift();
        }
        while self.out.last() == Some(&0) {
            self.out.pop();
        }
        if !self.out.is_empty() {
            self.out.remove(0);
        }
        self.out
    }
}

impl Coder for RangeEncoder {
    fn bit(&mut self, odds: &mut Odds, bit: u32) -> u32 {
        let bound = (self.range >> PROBABILITY_BITS) * odds.zero();
        if bit == 0 {
            self.range = bound;
        } else {
            self.low += u64::from(bound);
            self.range -= bound;
        }
        odds.learn(bit);
        self.normalize();
        bit
    }

    fn plain(&mut self, count: u32, bits: u64) -> u64 {
        for at in (0..count).rev() {
            self.range >>= 1;
            if bits >> at & 1 == 1 {
                self.low += u64::from(self.range);
            }
            self.normalize();
        }
        bits
    }
}

#[derive(Debug)]
pub(super) struct RangeDecoder<'a> {
    bytes: &'a [u8],
    code: u32,
    range: u32,
}

impl<'a> RangeDecoder<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        let mut decoder = Self { bytes, code: 0, range: u32::MAX };
        for _ in 0..4 {
            decoder.code = decoder.code << 8 | decoder.byte();
        }
        decoder
    }

    /// Bytes that no bit has needed.
    pub(super) fn unread(&self) -> usize {
        self.bytes.len()
    }

    fn byte(&mut self) -> u32 {
        let Some((first, rest)) = self.bytes.split_first() else { return 0 };
        self.bytes = rest;
        (*first).into()
    }

    fn normalize(&mut self) {
        while self.range < TOP {
            self.range <<= 8;
            self.code = self.code << 8 | self.byte();
        }
    }
}

impl Coder for RangeDecoder<'_> {
    fn bit(&mut self, odds: &mut Odds, _: u32) -> u32 {
        let bound = (self.range >> PROBABILITY_BITS) * odds.zero();
        let bit = u32::from(self.code >= bound);
        if bit == 0 {
            self.range = bound;
        } else {
            self.code -= bound;
            self.range -= bound;
        }
        odds.learn(bit);
        self.normalize();
        bit
    }

    fn plain(&mut self, count: u32, _: u64) -> u64 {
        let mut bits = 0;
        for _ in 0..count {
            self.range >>= 1;
            let bit = u32::from(self.code >= self.range);
            if bit == 1 {
                self.code -= self.range;
            }
            bits = bits << 1 | u64::from(bit);
            self.normalize();
        }
        bits
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn bits_come_back(bits in prop::collection::vec((0..3_usize, 0..2_u32, any::<u16>()), 0..600)) {
            let mut odds = [Odds::default(); 2];
            let mut encoder = RangeEncoder::new();
            for (context, bit, plain) in &bits {
                match odds.get_mut(*context) {
                    Some(odds) => drop(encoder.bit(odds, *bit)),
                    None => drop(encoder.plain(16, (*plain).into())),
                }
            }
            let bytes = encoder.finish();
            let (mut odds, mut decoder) = ([Odds::default(); 2], RangeDecoder::new(&bytes));
            for (context, bit, plain) in &bits {
                match odds.get_mut(*context) {
                    Some(odds) => prop_assert_eq!(decoder.bit(odds, 0), *bit),
                    None => prop_assert_eq!(decoder.plain(16, 0), u64::from(*plain)),
                }
            }
            prop_assert_eq!(decoder.unread(), 0);
        }
    }

    #[test]
    fn what_is_always_the_same_costs_next_to_nothing() {
        let (mut odds, mut encoder) = (Odds::default(), RangeEncoder::new());
        for _ in 0..4000 {
            encoder.bit(&mut odds, 0);
        }
        assert!(encoder.finish().len() < 8);
    }
}
