//! The log's smallest unit: what a disk writes whole or not at all.
//!
//! ```text
//! 0        4       8        12                                512
//! | crc32c | life  | batch  | payload ...                     |
//! ```
//! Every sector says by itself whether it was written and when, so after a power cut each is one of
//! three: blank or of a former life of the file (the write did not get there), written, or damaged.
//! A torn write leaves the first two; the third is no power cut's doing, wherever it is. The checksum
//! (CRC-32C, RFC 3720 appendix B.4) covers the sector's place in its file as well, so that one that
//! strayed is damaged too. A sector that was synced is never written again in the same life.

/// Bytes of a sector: the least that a disk writes at once. Larger ones are multiples of it.
pub(in crate::raft) const SECTOR_BYTES: usize = 512;
/// Bytes of a sector that carry content.
pub(super) const PAYLOAD_BYTES: usize = SECTOR_BYTES - HEADER_BYTES;
const HEADER_BYTES: usize = 12;

/// What is found in the place of a sector.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sector<'a> {
    Blank,
    Written {
        /// Which life of the file it belongs to: a file is used again for a later segment.
        life: u32,
        /// Number of the write that it is part of, in that life.
        batch: u32,
        payload: &'a [u8],
    },
    Damaged,
}

/// The sector at `place`, counted in sectors from the file's beginning.
pub(super) fn read(place: u32, bytes: &[u8]) -> Sector<'_> {
    let [c0, c1, c2, c3, rest @ ..] = bytes else { return Sector::Damaged };
    if bytes.len() != SECTOR_BYTES {
        return Sector::Damaged;
    }
    if u32::from_le_bytes([*c0, *c1, *c2, *c3]) != checksum(place, rest) {
        // The checksum of an all-zero sector is not zero, so no written one is taken for blank.
        let is_blank = bytes.iter().all(|byte| *byte == 0);
        return if is_blank { Sector::Blank } else { Sector::Damaged };
    }
    let [l0, l1, l2, l3, b0, b1, b2, b3, payload @ ..] = rest else { return Sector::Damaged };
    Sector::Written {
        life: u32::from_le_bytes([*l0, *l1, *l2, *l3]),
        batch: u32::from_le_bytes([*b0, *b1, *b2, *b3]),
        payload,
    }
}

/// Appends `content` to `out` as the sectors of one write that begins at `place`; how many.
pub(super) fn frame(life: u32, batch: u32, place: u32, content: &[u8], out: &mut Vec<u8>) -> u32 {
    let mut count = 0;
    for chunk in content.chunks(PAYLOAD_BYTES) {
        let start = out.len();
        out.extend([0; 4]);
        out.extend(life.to_le_bytes());
        out.extend(batch.to_le_bytes());
        out.extend(chunk);
        out.resize(start + SECTOR_BYTES, 0);
        let sum = checksum(place + count, &out[start + 4..]);
        out[start..start + 4].copy_from_slice(&sum.to_le_bytes());
        count += 1;
    }
    count
}

fn checksum(place: u32, rest: &[u8]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&place.to_le_bytes()), rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sector_is_blank_written_or_damaged_and_nothing_turns_one_into_another() {
        let mut bytes = Vec::new();
        assert_eq!(frame(7, 3, 9, &[5; PAYLOAD_BYTES + 1], &mut bytes), 2);
        let (first, second) = bytes.split_at(SECTOR_BYTES);
        let expected = Sector::Written { life: 7, batch: 3, payload: &[5; PAYLOAD_BYTES] };
        assert_eq!(read(9, first), expected);
        assert!(matches!(read(10, second), Sector::Written { life: 7, batch: 3, .. }));
        assert_eq!(read(10, first), Sector::Damaged, "it strayed");
        assert_eq!(read(9, &[0; SECTOR_BYTES]), Sector::Blank);
        for bit in 0..SECTOR_BYTES * 8 {
            let mut flipped = first.to_vec();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(read(9, &flipped), Sector::Damaged, "bit {bit}");
            let mut stained = [0; SECTOR_BYTES];
            stained[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(read(9, &stained), Sector::Damaged, "bit {bit}");
        }
    }
}
