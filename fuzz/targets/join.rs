//! What a stranger with a token sends, and what it is answered.

#![no_main]

use novacron_fuzz::reopen;
use novacron_protocol::limits::HELLO_BYTES_MAX;
use novacron_protocol::wire::join::{JoinAnswer, JoinRequest};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    reopen::<JoinRequest>(bytes, HELLO_BYTES_MAX);
    reopen::<JoinAnswer>(bytes, HELLO_BYTES_MAX);
});
