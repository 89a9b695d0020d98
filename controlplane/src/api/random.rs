//! The only place of the API that draws random numbers: ids and secrets.

use novacron_protocol::Timestamp;
use novacron_protocol::join_token::Secret;
use rand::TryRngCore as _;
use rand::rngs::OsRng;
use uuid::Uuid;

/// A new UUID v7: it sorts by age, as far as the members' clocks agree.
pub(crate) fn uuid(at: Timestamp) -> Uuid {
    uuid::Builder::from_unix_timestamp_millis(at.0, &bytes()).into_uuid()
}

/// 256 random bits from the system.
pub(crate) fn secret() -> Secret {
    Secret(bytes())
}

/// # Panics
/// When the kernel has no random source: nothing safe can be done then.
fn bytes<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    OsRng.try_fill_bytes(&mut bytes).expect("the kernel's random source does not fail");
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn later_ids_sort_after_earlier_ones_and_no_two_are_the_same() {
        let (early, late) = (uuid(Timestamp(1_000)), uuid(Timestamp(1_001)));
        assert!(early < late);
        assert_ne!(uuid(Timestamp(1_000)), early);
        assert_eq!(early.get_version_num(), 7);
    }
}
