//! The first frame of a session and its answer, before anybody has proven anything.

#![no_main]

use novacron_fuzz::reopen;
use novacron_protocol::codec;
use novacron_protocol::limits::HELLO_BYTES_MAX;
use novacron_protocol::wire::hello::{CertificateUpdate, Hello, HelloAnswer};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    reopen::<Hello>(bytes, HELLO_BYTES_MAX);
    reopen::<HelloAnswer>(bytes, HELLO_BYTES_MAX);
    reopen::<CertificateUpdate>(bytes, HELLO_BYTES_MAX);
    let _ = codec::decode_prefix::<Hello>(bytes, HELLO_BYTES_MAX);
});
