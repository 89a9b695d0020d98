//! The replicated state as a snapshot, behind a checksum that fits.

#![no_main]

use novacron_controlplane_core::State;
use novacron_controlplane_core::snapshot::SNAPSHOT_VERSION;
use novacron_fuzz::sealed;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let _ = State::from_snapshot(bytes);
    for version in 1..=SNAPSHOT_VERSION {
        let Ok(state) = State::from_snapshot(&sealed(version, bytes)) else { continue };
        check(&state);
    }
});

/// What was read is written and read again.
fn check(state: &State) {
    let again = State::from_snapshot(&state.to_snapshot().expect("it fitted")).expect("ours opens");
    assert_eq!(again.to_snapshot(), state.to_snapshot());
}
