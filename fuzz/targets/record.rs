//! Records of logs and journals, with and without a checksum that fits.

#![no_main]

use novacron_fuzz::sealed;
use novacron_protocol::record;
use novacron_protocol::vm::DesiredSet;
use novacron_protocol::wire::raft::Entry;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = record::open::<DesiredSet>(1, bytes);
    let behind = sealed(1, bytes);
    assert_eq!(record::verify(1, &behind), Ok((1, bytes)));
    let _ = record::open::<DesiredSet>(1, &behind);
    let _ = record::open::<Entry>(1, &behind);
});
