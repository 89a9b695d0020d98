//! Frames between members: raft messages in our own encoding.

#![no_main]

use novacron_fuzz::reopen;
use novacron_protocol::limits::FRAME_BYTES_MAX;
use novacron_protocol::wire::member::FromMember;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    reopen::<FromMember>(bytes, FRAME_BYTES_MAX);
});
