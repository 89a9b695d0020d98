//! The Internet checksum (RFC 1071), whole and changed in place (RFC 1624).

use std::net::Ipv4Addr;

/// One's complement sum of `bytes` as 16-bit words, folded.
pub(crate) fn sum(bytes: &[u8]) -> u16 {
    let words = bytes.chunks(2).map(|pair| match pair {
        [high, low] => u32::from(u16::from_be_bytes([*high, *low])),
        [high] => u32::from(*high) << 8,
        _ => 0,
    });
    fold(words.sum())
}

/// What TCP and UDP add to the sum of their own bytes.
pub(crate) fn pseudo_header(source: Ipv4Addr, target: Ipv4Addr, protocol: u8, bytes: u16) -> u16 {
    let addresses = u32::from(sum(&source.octets())) + u32::from(sum(&target.octets()));
    fold(addresses + u32::from(protocol) + u32::from(bytes))
}

/// `sum` after a part of what it was made of changed from `old` to `new` (sums themselves).
pub(crate) fn changed(sum: u16, old: u16, new: u16) -> u16 {
    fold(u32::from(sum) + u32::from(!old) + u32::from(new))
}

fn fold(mut sum: u32) -> u16 {
    while sum > 0xffff {
        sum = (sum >> 16) + (sum & 0xffff);
    }
    sum as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_rfc_1071_comes_out() {
        assert_eq!(sum(&[0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7]), 0xddf2);
        assert_eq!(sum(&[0x12, 0x34, 0x56]), 0x1234 + 0x5600);
    }

    #[test]
    fn a_change_in_place_equals_a_new_sum() {
        let (old, new) = ([10, 78, 0, 1], [10, 78, 0, 9]);
        let before = [old.as_slice(), &[1, 2, 3, 4]].concat();
        let after = [new.as_slice(), &[1, 2, 3, 4]].concat();
        assert_eq!(changed(sum(&before), sum(&old), sum(&new)), sum(&after));
    }
}
