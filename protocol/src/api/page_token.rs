//! The text that a list hands out for its next page: base64 of a checksum and the last item's id.
//!
//! It is opaque to clients. The checksum is no signature: a token gives no rights, the checksum only
//! tells a token of this very list from any other text.

use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::Digest;

const CHECK_BYTES: usize = 8;

/// The token for what comes after `id` in `list`, which names the list with its filters.
pub fn seal(list: &str, id: &str) -> String {
    let mut bytes = check(list, id).to_vec();
    bytes.extend(id.as_bytes());
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The id in a token; `None` for one that `list` never gave out.
pub fn open<I: FromStr>(list: &str, token: &str) -> Option<I> {
    let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
    let (found, id) = bytes.split_first_chunk::<CHECK_BYTES>()?;
    let id = std::str::from_utf8(id).ok()?;
    if *found != check(list, id) {
        return None;
    }
    id.parse().ok()
}

fn check(list: &str, id: &str) -> [u8; CHECK_BYTES] {
    let digest = Digest::of(format!("novacron page 1\0{list}\0{id}").as_bytes());
    *digest.0.first_chunk().expect("a digest has 32 bytes")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MemberId;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_token_opens_in_its_own_list_only(list in ".{0,20}", other in ".{0,20}", id: u64) {
            let token = seal(&list, &id.to_string());
            prop_assert_eq!(open::<MemberId>(&list, &token), Some(MemberId(id)));
            prop_assert!(list == other || open::<MemberId>(&other, &token).is_none());
        }

        #[test]
        fn hostile_tokens_never_panic(token in "\\PC{0,60}", bytes: Vec<u8>) {
            prop_assert!(open::<MemberId>("members", &token).is_none());
            let _ = open::<MemberId>("members", &URL_SAFE_NO_PAD.encode(bytes));
        }
    }
}
