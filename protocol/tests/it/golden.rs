//! The bytes of every message, kept in `snapshots/`.
//!
//! A difference here is a difference on the wire: peers of another release no longer understand
//! it. Add variants and messages at the end; for anything else raise the protocol's generation
//! (`version.rs`). CONTRIBUTING.md says how new bytes are accepted.

use std::fmt::Write as _;

use bincode::{Decode, Encode};
use bytes::BytesMut;
use novacron_protocol::limits::{FRAME_BYTES_MAX, HELLO_BYTES_MAX};
use novacron_protocol::{codec, frame, record};

use crate::samples::{self, Samples};

/// One line for each sample, after proving that its bytes give it back.
fn bytes_of<T: Encode + Decode<()> + PartialEq + std::fmt::Debug>(
    family: &str,
    samples: Samples<T>,
) -> String {
    let mut lines = String::new();
    for (name, value) in samples {
        let bytes = codec::encode(&value).unwrap();
        assert_eq!(codec::decode::<T>(&bytes, FRAME_BYTES_MAX).as_ref(), Ok(&value), "{name}");
        writeln!(lines, "{family}/{name}: {}", hex(&bytes)).unwrap();
    }
    lines
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn the_hello_has_not_changed() {
    insta::assert_snapshot!(
        "hello",
        [
            bytes_of("hello", samples::hello()),
            bytes_of("answer", samples::hello_answer()),
            bytes_of("refusal", samples::hello_refusal()),
            bytes_of("peer", samples::peer()),
            bytes_of("update", samples::certificate_update()),
        ]
        .concat()
    );
}

#[test]
fn joining_has_not_changed() {
    insta::assert_snapshot!(
        "join",
        [
            bytes_of("request", samples::join_request()),
            bytes_of("answer", samples::join_answer()),
            bytes_of("refusal", samples::join_refusal()),
        ]
        .concat()
    );
}

#[test]
fn what_agents_and_members_say_has_not_changed() {
    insta::assert_snapshot!(
        "agent",
        [
            bytes_of("from-agent", samples::from_agent()),
            bytes_of("to-agent", samples::to_agent()),
            bytes_of("hypervisor", samples::hypervisor_health()),
            bytes_of("vm-state", samples::vm_state()),
            bytes_of("target", samples::target()),
            bytes_of("stop-mode", samples::stop_mode()),
            bytes_of("file-role", samples::file_role()),
            bytes_of("desired", samples::desired()),
        ]
        .concat()
    );
}

#[test]
fn calls_have_not_changed() {
    insta::assert_snapshot!(
        "call",
        [
            bytes_of("request", samples::request()),
            bytes_of("response", samples::response()),
            bytes_of("refusal", samples::call_refusal()),
        ]
        .concat()
    );
}

#[test]
fn what_members_say_to_each_other_has_not_changed() {
    insta::assert_snapshot!(
        "member",
        [
            bytes_of("from-member", samples::from_member()),
            bytes_of("raft", samples::raft()),
            bytes_of("raft-kind", samples::raft_kind()),
            bytes_of("entry-kind", samples::entry_kind()),
        ]
        .concat()
    );
}

#[test]
fn telemetry_and_classes_have_not_changed() {
    insta::assert_snapshot!(
        "telemetry",
        [bytes_of("metrics", samples::telemetry()), bytes_of("class", samples::class())].concat()
    );
}

#[test]
fn the_text_of_a_join_token_has_not_changed() {
    let lines: Vec<String> =
        samples::join_token().iter().map(|(name, token)| format!("{name}: {token}")).collect();
    insta::assert_snapshot!("join_token", lines.join("\n"));
}

#[test]
fn the_name_of_an_image_has_not_changed() {
    let (_, manifest) = samples::manifest().remove(0);
    let (id, bytes) = manifest.seal().unwrap();
    insta::assert_snapshot!("manifest", format!("id: {id}\nbytes: {}", hex(&bytes)));
}

#[test]
fn the_envelopes_of_streams_and_disks_have_not_changed() {
    let mut framed = BytesMut::new();
    frame::put_frame(&mut framed, b"novacron", HELLO_BYTES_MAX).unwrap();
    let sealed = record::seal(0x0102, &"novacron".to_owned()).unwrap();
    insta::assert_snapshot!(
        "envelopes",
        format!("frame: {}\nrecord: {}", hex(&framed), hex(&sealed))
    );
}

/// The hello of a peer from the far future: only its first two fields are promised.
#[test]
fn a_hello_with_more_fields_than_we_know_still_tells_its_versions() {
    let (_, hello) = samples::hello().remove(0);
    let mut bytes = codec::encode(&hello).unwrap();
    bytes.extend([0xFF; 40]);
    let (versions, cluster): (novacron_protocol::version::VersionRange, _) =
        codec::decode_prefix(&bytes, HELLO_BYTES_MAX).unwrap();
    assert_eq!((versions, cluster), (hello.versions, hello.cluster));
}
