//! Numbers as differences to the number before, coded with what was learnt of each column.
//!
//! A difference is zigzag, then its length in bits, coded by a tree of odds, then those bits: the
//! first below the highest with odds, the rest as they are. The odds depend on the column and on how
//! long the last difference of the same number was: what rests goes on resting.

use super::range::{Coder, Odds};

/// Odds of one column.
#[derive(Debug, Clone)]
pub(super) struct Column {
    lengths: [[Odds; LENGTHS]; CONTEXTS],
    next: [Odds; LENGTHS],
    /// Whether a difference is a multiple of 1 KiB: memory and disks are counted in those.
    kib: Odds,
}

/// Difference lengths with a leaf of their own in the tree; longer ones share the last.
const LENGTHS: usize = 32;
const LENGTHS_LOG: u32 = 5;
const CONTEXTS: usize = 4;
const KIB_LOG: u32 = 10;

/// A number and what is known of its last change.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Number {
    pub(super) value: u64,
    /// Length in bits of the last difference.
    length: u8,
}

impl Default for Column {
    fn default() -> Self {
        Self {
            lengths: [[Odds::default(); LENGTHS]; CONTEXTS],
            next: [Odds::default(); LENGTHS],
            kib: Odds::default(),
        }
    }
}

impl Number {
    fn context(self) -> usize {
        match self.length {
            0 => 0,
            1..=6 => 1,
            7..=14 => 2,
            _ => 3,
        }
    }
}

impl Column {
    /// Codes `value` by its difference to `number`, which becomes it. A decoder's `value` is not
    /// looked at. `None` when the bytes cannot have come from an encoder.
    pub(super) fn code(
        &mut self,
        coder: &mut impl Coder,
        number: &mut Number,
        value: u64,
    ) -> Option<()> {
        let difference = value.wrapping_sub(number.value).cast_signed();
        let difference = self.difference(coder, number, difference)?;
        number.value = number.value.wrapping_add(difference.cast_unsigned());
        Some(())
    }

    fn difference(
        &mut self,
        coder: &mut impl Coder,
        number: &mut Number,
        said: i64,
    ) -> Option<i64> {
        let in_kib = said != 0 && said % (1 << KIB_LOG) == 0;
        let shifted = if in_kib { said >> KIB_LOG } else { said };
        let zigzag = (shifted << 1 ^ shifted >> 63).cast_unsigned();
        let length = u64::BITS - zigzag.leading_zeros();
        let length = self.length(coder, number.context(), length)?;
        number.length = length as u8;
        if length == 0 {
            return Some(0);
        }
        let in_kib = coder.bit(&mut self.kib, in_kib.into()) == 1;
        let zigzag = 1 << (length - 1) | self.below(coder, length, zigzag);
        let heard = (zigzag >> 1).cast_signed() ^ -(zigzag & 1).cast_signed();
        match in_kib {
            false => Some(heard),
            true => heard.checked_mul(1 << KIB_LOG),
        }
    }

    /// The bits below the highest of a number of `length` bits.
    fn below(&mut self, coder: &mut impl Coder, length: u32, coded: u64) -> u64 {
        if length == 1 {
            return 0;
        }
        let rest = length - 2;
        let odds = &mut self.next[(length as usize).min(LENGTHS - 1)];
        let next = u64::from(coder.bit(odds, (coded >> rest & 1) as u32));
        let mask = (1_u64 << rest) - 1;
        next << rest | coder.plain(rest, coded & mask) & mask
    }

    fn length(&mut self, coder: &mut impl Coder, context: usize, length: u32) -> Option<u32> {
        let leaf = length.min(LENGTHS as u32 - 1);
        let odds = &mut self.lengths[context];
        let mut node = 1_usize;
        for level in (0..LENGTHS_LOG).rev() {
            let bit = coder.bit(&mut odds[node], leaf >> level & 1);
            node = node << 1 | bit as usize;
        }
        let leaf = node as u32 - LENGTHS as u32;
        if leaf < LENGTHS as u32 - 1 {
            return Some(leaf);
        }
        let length = LENGTHS as u32 - 1 + coder.plain(6, (length.max(leaf) - leaf).into()) as u32;
        (length <= u64::BITS).then_some(length)
    }
}
