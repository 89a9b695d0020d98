//! Samples as columns.

#![no_main]

use novacron_fuzz::reopen;
use novacron_protocol::limits::FRAME_BYTES_MAX;
use novacron_protocol::wire::telemetry::{Batch, HostMetrics};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    reopen::<Batch>(bytes, FRAME_BYTES_MAX);
    reopen::<HostMetrics>(bytes, FRAME_BYTES_MAX);
});
