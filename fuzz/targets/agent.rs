//! Frames between an agent and the members.

#![no_main]

use novacron_fuzz::reopen;
use novacron_protocol::limits::FRAME_BYTES_MAX;
use novacron_protocol::wire::agent::{FromAgent, ToAgent};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    reopen::<FromAgent>(bytes, FRAME_BYTES_MAX);
    reopen::<ToAgent>(bytes, FRAME_BYTES_MAX);
});
