//! Where a page of a list begins, as clients hand it back.

#![no_main]

use novacron_protocol::VmId;
use novacron_protocol::api::page_token::{open, seal};

const LIST: &str = "vms?host=h1";

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let _ = open::<VmId>(LIST, text);
    // Behind a checksum that fits, which no fuzzer guesses.
    if let Some(id) = open::<VmId>(LIST, &seal(LIST, text)) {
        assert_eq!(open(LIST, &seal(LIST, &id.to_string())), Some(id));
    }
});
