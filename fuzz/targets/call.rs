//! Questions and answers on streams of their own.

#![no_main]

use novacron_fuzz::reopen;
use novacron_protocol::limits::FRAME_BYTES_MAX;
use novacron_protocol::wire::call::{Request, Response};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    reopen::<Request>(bytes, FRAME_BYTES_MAX);
    reopen::<Response>(bytes, FRAME_BYTES_MAX);
});
