//! Commands as the log and the members carry them; one that decodes is applied, twice.

#![no_main]

use novacron_controlplane_core::{Envelope, State, outcome};
use novacron_fuzz::reopen;
use novacron_protocol::LogIndex;
use novacron_protocol::limits::COMMAND_BYTES_MAX;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    reopen::<Envelope>(bytes, COMMAND_BYTES_MAX);
    let _ = outcome::decode_applied(bytes);
    if let Ok(envelope) = Envelope::decode(bytes) {
        let mut state = State::default();
        let _ = state.apply(LogIndex(1), &envelope);
        let _ = state.apply(LogIndex(2), &envelope);
    }
});
