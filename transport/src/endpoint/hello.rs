//! The first frame each way: versions and clusters are compared, revoked peers are told.

use novacron_protocol::ClusterId;
use novacron_protocol::codec::{self, CodecError};
use novacron_protocol::limits::HELLO_BYTES_MAX;
use novacron_protocol::version::{Version, VersionRange};
use novacron_protocol::wire::hello::HelloRefusal;

/// The two fields of a hello that never move, whatever its version.
pub(super) fn decode_fixed_fields(frame: &[u8]) -> Result<(VersionRange, ClusterId), CodecError> {
    codec::decode_prefix(frame, HELLO_BYTES_MAX)
}

/// The version to speak, or why not to. Revocation is told first: who is out learns nothing else.
pub(super) fn judge(
    theirs: (VersionRange, ClusterId),
    ours: (VersionRange, ClusterId),
    is_revoked: impl FnOnce() -> bool,
) -> Result<Version, HelloRefusal> {
    if is_revoked() {
        return Err(HelloRefusal::Revoked);
    }
    if theirs.1 != ours.1 {
        return Err(HelloRefusal::WrongCluster(ours.1));
    }
    ours.0.negotiate(theirs.0).map_err(|_| HelloRefusal::Version(ours.0))
}

#[cfg(test)]
mod tests {
    use novacron_protocol::wire::hello::Hello;
    use proptest::prelude::*;

    use super::*;

    fn cluster(last: u8) -> ClusterId {
        format!("0190a1b2-0000-7000-8000-0000000000{last:02x}").parse().unwrap()
    }

    fn range(oldest: u16, newest: u16) -> VersionRange {
        VersionRange { oldest: Version(oldest), newest: Version(newest) }
    }

    #[test]
    fn a_hello_is_judged_in_order() {
        let ours = (range(2, 3), cluster(1));
        assert_eq!(judge((range(1, 2), cluster(1)), ours, || false), Ok(Version(2)));
        let refusals = [
            (range(9, 9), 2, true, HelloRefusal::Revoked),
            (range(9, 9), 2, false, HelloRefusal::WrongCluster(cluster(1))),
            (range(9, 9), 1, false, HelloRefusal::Version(range(2, 3))),
        ];
        for (versions, from, revoked, refusal) in refusals {
            assert_eq!(judge((versions, cluster(from)), ours, || revoked), Err(refusal));
        }
    }

    #[test]
    fn a_later_hello_with_more_fields_is_understood_so_far() {
        let hello = Hello { versions: range(7, 9), cluster: cluster(1), software: "later".into() };
        let mut frame = codec::encode(&hello).unwrap();
        frame.extend(b"fields of version nine");
        assert_eq!(decode_fixed_fields(&frame), Ok((range(7, 9), cluster(1))));
    }

    proptest! {
        #[test]
        fn hostile_hellos_never_panic(frame in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode_fixed_fields(&frame);
        }
    }
}
