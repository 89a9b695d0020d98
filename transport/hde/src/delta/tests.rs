//! Deltas of small contents, bounds of signatures, and what hostile peers do.

use proptest::prelude::*;

use super::*;
use crate::limits::SIGNATURE_HASHES_MAX;
use crate::{Checks, Compressor, Link, Options, StreamError};
use bytes::Bytes;
use novacron_protocol::Digest;
use std::time::Duration;

const FREE: Link = Link { bytes_per_s: Some(1e8), queued_bytes: 0 };

pub(crate) fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut out = vec![0; len];
    blake3::Hasher::new().update(&seed.to_le_bytes()).finalize_xof().fill(&mut out);
    out
}

/// The stream for `content`, pushed in parts of `part` bytes.
fn stream(signature: Signature, content: &Bytes, part: usize) -> Bytes {
    let mut sender = DeltaSender::new(signature, Checks::ByDigest, Options::default());
    let mut compressor = Compressor::default();
    let mut out = sender.preamble().to_vec();
    let mut rest = content.clone();
    while !sender.is_ended() {
        let take = rest.len().min(part).min(sender.wants());
        if take > 0 {
            sender.push(rest.split_to(take)).unwrap();
        } else if rest.is_empty() {
            sender.finish();
        }
        while let Some(job) = sender.poll_job(FREE) {
            let coded = job.run(&mut compressor);
            sender.handle_coded(&coded, Duration::from_micros(100));
            out.extend_from_slice(&coded.header);
            out.extend_from_slice(&coded.body);
        }
    }
    out.into()
}

fn rebuild(base: &Bytes, content: &Bytes, stream: Bytes) -> Result<Vec<u8>, DeltaError> {
    let digest = Digest::of(content);
    let mut receiver = DeltaReceiver::new(base.clone(), digest, content.len() as u64);
    receiver.push(stream);
    let mut rebuilt = Vec::new();
    while let Some(part) = receiver.poll()? {
        rebuilt.extend_from_slice(&part);
    }
    receiver.finish()?;
    Ok(rebuilt)
}

#[test]
fn an_image_with_a_hundredth_of_its_blocks_changed_costs_under_two_hundredths() {
    let base = noise(1, 32 << 20);
    let mut changed = base.clone();
    let blocks = base.len() / 4096;
    for at in (0..blocks).step_by(100) {
        changed[at * 4096 + 100..][..64].copy_from_slice(&noise(at as u64, 64));
    }
    let (base, changed) = (Bytes::from(base), Bytes::from(changed));
    let signature = Signature::of(base.clone(), Cut::disk(base.len() as u64), 7);
    let up = signature.encode();
    let down = stream(Signature::decode(&up).unwrap(), &changed, 1 << 20);
    let share = (up.len() + down.len()) as f64 / changed.len() as f64;
    assert!(share <= 0.02, "{share}");
    assert_eq!(rebuild(&base, &changed, down).unwrap(), changed);
}

#[test]
fn what_moved_is_found_when_cut_by_content() {
    let base = Bytes::from(noise(2, 8 << 20));
    let mut moved = b"a few bytes more at the front".to_vec();
    moved.extend_from_slice(&base);
    let moved = Bytes::from(moved);
    let signature = Signature::of(base.clone(), Cut::Content(16 << 10), 7);
    let up = signature.encode();
    let down = stream(Signature::decode(&up).unwrap(), &moved, 1 << 20);
    assert!(up.len() + down.len() < moved.len() / 50, "{} up, {} down", up.len(), down.len());
    assert_eq!(rebuild(&base, &moved, down).unwrap(), moved);
}

#[test]
fn a_base_that_is_not_what_was_signed_makes_no_silent_mistake() {
    let base = Bytes::from(noise(3, 1 << 20));
    let down = stream(Signature::of(base.clone(), Cut::Fixed(4096), 1), &base, 1 << 20);
    let other = Bytes::from(noise(4, 1 << 20));
    assert!(matches!(rebuild(&other, &base, down), Err(DeltaError::WrongDigest)));
}

#[test]
fn references_outside_the_base_are_refused() {
    let base = Bytes::from(noise(5, 1 << 20));
    let down = stream(Signature::of(base.clone(), Cut::Fixed(4096), 1), &base, 1 << 20);
    let shorter = base.slice(..4096);
    let error = rebuild(&shorter, &base, down).unwrap_err();
    assert!(matches!(error, DeltaError::Stream(StreamError::UnknownContent)), "{error}");
}

#[test]
fn a_signature_has_a_bound_and_names_only_pieces_of_its_base() {
    let good = Signature::of(Bytes::from(noise(6, 100_000)), Cut::Fixed(4096), 1).encode();
    assert!(Signature::decode(&good).is_ok());
    for len in [0, 10, good.len() - 1] {
        assert!(matches!(Signature::decode(&good[..len]), Err(SignatureError::Malformed(_))));
    }
    let mut many = good.clone();
    many[22..26].copy_from_slice(&(SIGNATURE_HASHES_MAX as u32 + 1).to_le_bytes());
    let expected = SignatureError::TooMany(SIGNATURE_HASHES_MAX + 1);
    assert_eq!(Signature::decode(&many), Err(expected));
    let mut longer = good;
    longer[14..22].copy_from_slice(&u64::MAX.to_le_bytes());
    assert!(matches!(Signature::decode(&longer), Err(SignatureError::Malformed(_))));
}

#[test]
fn the_largest_disk_has_a_signature_within_its_bound() {
    for len in [1_u64 << 20, 4 << 30, 5 << 30, 256 << 30] {
        let Cut::Fixed(block) = Cut::disk(len) else { panic!("disks keep their layout") };
        assert!(len.div_ceil(block.into()) <= SIGNATURE_HASHES_MAX as u64, "{len} {block}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_edit_is_rebuilt(
        seed in any::<u64>(),
        base_len in 0_usize..60_000,
        edits in prop::collection::vec((any::<prop::sample::Index>(), 0_usize..3000, 0_usize..3000), 0..4),
        part in 1_usize..20_000,
        cut in prop_oneof![Just(Cut::Fixed(1024)), Just(Cut::Fixed(4096)), Just(Cut::Content(4096))],
    ) {
        let base = noise(seed, base_len);
        let mut content = base.clone();
        for (at, removed, added) in edits {
            let start = at.index(content.len() + 1);
            let end = (start + removed).min(content.len());
            content.splice(start..end, noise(seed ^ start as u64, added));
        }
        let (base, content) = (Bytes::from(base), Bytes::from(content));
        let signature = Signature::of(base.clone(), cut, seed).encode();
        let down = stream(Signature::decode(&signature).unwrap(), &content, part);
        prop_assert_eq!(rebuild(&base, &content, down).unwrap(), content);
    }

    #[test]
    fn any_bytes_are_a_signature_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        if let Ok(signature) = Signature::decode(&bytes) {
            prop_assert_eq!(signature.encode(), bytes);
        }
    }
}
