//! The list of an image's files and chunks, from whoever uploads one.

#![no_main]

use novacron_protocol::image::Manifest;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Ok(manifest) = Manifest::open(bytes) else { return };
    let (id, sealed) = manifest.seal().expect("what was opened can be sealed");
    assert_eq!(Manifest::open(&sealed), Ok(manifest.clone()));
    let _ = manifest.boot(id).size();
});
