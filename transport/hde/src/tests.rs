//! Whole streams: what goes in comes out, however it is cut; and what hostile bytes do.

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use proptest::prelude::*;

use crate::block::StreamError;
use crate::delta::tests::noise;
use crate::limits::{BLOCK_BYTES_MAX, PENDING_BYTES_MAX, RECEIVER_BYTES_MAX};
use crate::{Checks, Choice, Compressor, Link, Options, Piece, PushError, Receiver, Sender};

fn link(bytes_per_s: f64) -> Link {
    Link { bytes_per_s: Some(bytes_per_s), queued_bytes: 0 }
}

fn encode(content: &Bytes, checks: Checks, options: Options, link: Link) -> Bytes {
    let mut sender = Sender::new(checks, options);
    let mut compressor = Compressor::default();
    let mut out = BytesMut::from(&sender.preamble()[..]);
    let mut rest = content.clone();
    while !sender.is_ended() {
        let take = rest.len().min(sender.wants());
        sender.push(rest.split_to(take)).unwrap();
        if rest.is_empty() {
            sender.finish();
        }
        while let Some(job) = sender.poll_job(link) {
            let coded = job.run(&mut compressor);
            sender.handle_coded(&coded, Duration::from_micros(50));
            out.put(coded.header);
            out.put(coded.body);
        }
    }
    assert_eq!(sender.stats().content_bytes, content.len() as u64);
    out.freeze()
}

fn decode(stream: &Bytes, part: usize, max: u64) -> Result<Vec<u8>, StreamError> {
    let mut receiver = Receiver::new(max);
    let mut content = Vec::new();
    for part in stream.chunks(part) {
        receiver.push(Bytes::copy_from_slice(part));
        while let Some(piece) = receiver.poll()? {
            match piece {
                Piece::Bytes(bytes) => content.extend_from_slice(&bytes),
                Piece::Fill { len, byte } => content.resize(content.len() + len, byte),
                Piece::Copy { .. } => panic!("there is no base"),
            }
        }
    }
    receiver.finish()?;
    Ok(content)
}

fn mixed(len: usize) -> Bytes {
    let mut content = "<disk type='file' device='disk'/>\n".repeat(len / 100).into_bytes();
    content.extend(noise(1, len / 4));
    content.resize(content.len() + len / 4, 0);
    content.extend_from_slice(&content.clone()[..len / 10]);
    content.into()
}

#[test]
fn every_choice_gives_the_content_back() {
    let content = mixed(1 << 20);
    for choice in Choice::all() {
        for checks in [Checks::ByDigest, Checks::PerBlock] {
            let options = Options { fixed: Some(choice), ..Options::default() };
            let stream = encode(&content, checks, options, link(1e7));
            assert_eq!(decode(&stream, 10_000, 1 << 30).unwrap(), content, "{choice}");
        }
    }
}

#[test]
fn noise_passes_through_uncopied_and_with_next_to_no_overhead() {
    let content = Bytes::from(noise(7, 4 << 20));
    let mut sender = Sender::new(Checks::ByDigest, Options::default());
    sender.push(content.clone()).unwrap();
    sender.finish();
    let (mut wire, mut copied) = (0, 0);
    while let Some(job) = sender.poll_job(link(6e7)) {
        let coded = job.run(&mut Compressor::default());
        wire += coded.wire_len();
        let inside = content.as_ptr_range().contains(&coded.body.as_ptr());
        copied += if inside { 0 } else { coded.body.len() };
    }
    assert_eq!(copied, 0);
    assert!(wire - content.len() < content.len() / 1000, "{wire}");
}

#[test]
fn a_slow_link_gets_fewer_bytes_than_a_fast_one() {
    let mut content = Vec::new();
    for n in 0..120_000_u64 {
        content.extend_from_slice(format!("{} {}\n", n, (n * n) % 977).as_bytes());
    }
    let content = Bytes::from(content);
    let queued =
        |bytes_per_s: f64, queued_bytes| Link { bytes_per_s: Some(bytes_per_s), queued_bytes };
    let slow = encode(&content, Checks::ByDigest, Options::default(), queued(2e5, 100_000));
    let fast = encode(&content, Checks::ByDigest, Options::default(), queued(5e9, 0));
    assert!(slow.len() * 10 < fast.len() * 9, "{} {}", slow.len(), fast.len());
}

#[test]
fn a_run_costs_a_few_bytes_whatever_its_length() {
    let content = Bytes::from(vec![0; 64 << 20]);
    let stream = encode(&content, Checks::ByDigest, Options::default(), link(1e9));
    assert!(stream.len() < 200, "{}", stream.len());
    assert_eq!(decode(&stream, 7, 1 << 30).unwrap().len(), content.len());
}

#[test]
fn a_sender_takes_no_more_than_its_bound() {
    let mut sender = Sender::new(Checks::ByDigest, Options::default());
    assert_eq!(sender.wants(), PENDING_BYTES_MAX);
    sender.push(Bytes::from(vec![0; PENDING_BYTES_MAX])).unwrap();
    assert_eq!(sender.push(Bytes::from_static(b"x")), Err(PushError::Full(PENDING_BYTES_MAX)));
    sender.finish();
    assert_eq!(sender.push(Bytes::from_static(b"x")), Err(PushError::Finished));
}

#[test]
fn coding_pauses_while_enough_waits_for_the_link() {
    let mut sender = Sender::new(Checks::ByDigest, Options::default());
    sender.push(mixed(1 << 20)).unwrap();
    let full = Link { bytes_per_s: Some(1e6), queued_bytes: 2_000_000 };
    assert!(sender.poll_job(full).is_none());
    assert!(sender.poll_job(link(1e6)).is_some());
}

#[test]
fn no_compressor_takes_more_memory_than_its_choice_was_said_to() {
    let content = mixed(5 << 20).slice(..BLOCK_BYTES_MAX);
    for choice in Choice::all() {
        let mut sender =
            Sender::new(Checks::ByDigest, Options { fixed: Some(choice), ..Options::default() });
        let mut compressor = Compressor::default();
        sender.push(content.clone()).unwrap();
        sender.finish();
        while let Some(job) = sender.poll_job(link(1e6)) {
            job.run(&mut compressor);
        }
        let said = choice.compressor_bytes();
        assert!(compressor.bytes() <= said, "{choice}: {} of {said}", compressor.bytes());
        assert!(said <= crate::limits::COMPRESSOR_BYTES_MAX);
    }
}

fn zstd_block(content_len: u32, frame: &[u8]) -> Bytes {
    let mut stream = BytesMut::from(&[1_u8, 0, 4][..]);
    stream.put_u32_le(content_len);
    stream.put_u32_le(frame.len() as u32);
    stream.put_slice(frame);
    stream.freeze()
}

#[test]
fn a_block_that_expands_beyond_what_it_declares_is_refused() {
    let bomb = zstd::bulk::compress(&vec![0; 64 << 20], 3).unwrap();
    let declared = bomb.len() as u32 + 1;
    assert_eq!(decode(&zstd_block(declared, &bomb), 1000, 1 << 30), Err(StreamError::Damaged));
    let longest = BLOCK_BYTES_MAX as u32;
    assert_eq!(decode(&zstd_block(longest, &bomb), 1000, 1 << 30), Err(StreamError::Damaged));
    let expected = StreamError::BlockTooLong { len: BLOCK_BYTES_MAX + 1, max: BLOCK_BYTES_MAX };
    assert_eq!(decode(&zstd_block(longest + 1, &bomb), 1000, 1 << 30), Err(expected));
}

#[test]
fn content_beyond_what_was_asked_for_is_refused_before_it_is_expanded() {
    let stream =
        encode(&Bytes::from(vec![0; 1 << 20]), Checks::ByDigest, Options::default(), link(1e6));
    assert_eq!(
        decode(&stream, 1000, (1 << 20) - 1),
        Err(StreamError::TooLong { max: (1 << 20) - 1 })
    );
    assert!(decode(&stream, 1000, 1 << 20).is_ok());
}

#[test]
fn a_receiver_holds_no_more_than_its_bound() {
    let content = mixed(9 << 20);
    let options = Options { fixed: Some(Choice::Zstd(6)), ..Options::default() };
    let stream = encode(&content, Checks::PerBlock, options, link(1e6));
    let mut receiver = Receiver::new(1 << 30);
    let mut most = 0;
    for part in stream.chunks(4096) {
        receiver.push(Bytes::copy_from_slice(part));
        let mut expanded = 0;
        while let Some(piece) = receiver.poll().unwrap() {
            expanded = piece.content_len();
        }
        most = most.max(receiver.held_bytes() + expanded);
    }
    assert!(most <= RECEIVER_BYTES_MAX && most > 1 << 20, "{most}");
}

#[test]
fn a_stream_that_ends_early_or_goes_on_is_refused() {
    let stream = encode(&mixed(100_000), Checks::ByDigest, Options::default(), link(1e6));
    for len in [0, 1, 5, stream.len() - 1] {
        assert_eq!(
            decode(&stream.slice(..len), 100, 1 << 30),
            Err(StreamError::Truncated),
            "{len}"
        );
    }
    let mut longer = stream.to_vec();
    longer.push(0);
    assert_eq!(decode(&longer.into(), 1 << 20, 1 << 30), Err(StreamError::Trailing));
    assert_eq!(decode(&Bytes::from_static(&[9, 0]), 2, 1), Err(StreamError::Version(9)));
}

#[test]
fn a_reference_without_a_base_is_refused() {
    let mut stream = BytesMut::from(&[1_u8, 0, 5][..]);
    stream.put_u32_le(10);
    stream.put_u64_le(0);
    assert_eq!(decode(&stream.freeze(), 100, 1 << 30), Err(StreamError::UnknownContent));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn any_content_comes_back_however_it_is_cut(
        parts in prop::collection::vec((0_u8..4, 1_usize..80_000, any::<u8>()), 0..6),
        part in 1_usize..50_000,
        speed in 4_f64..9.5,
        queued_bytes in 0_usize..128_000,
        checks in prop_oneof![Just(Checks::ByDigest), Just(Checks::PerBlock)],
    ) {
        let mut content = Vec::new();
        for (kind, len, byte) in parts {
            match kind {
                0 => content.resize(content.len() + len, byte),
                1 => content.extend(noise(byte.into(), len)),
                2 => content.extend((0..len).map(|at| (at % (1 + usize::from(byte))) as u8)),
                _ => content.extend_from_within(..len.min(content.len())),
            }
        }
        let content = Bytes::from(content);
        let bytes_per_s = 10_f64.powf(speed);
        let link = Link { bytes_per_s: Some(bytes_per_s), queued_bytes };
        let stream = encode(&content, checks, Options::default(), link);
        prop_assert_eq!(decode(&stream, part, content.len() as u64).unwrap(), content);
    }

    #[test]
    fn a_changed_byte_of_a_checked_stream_is_noticed(at in any::<prop::sample::Index>(), with in 1_u8..) {
        let content = mixed(40_000);
        let mut stream = encode(&content, Checks::PerBlock, Options::default(), link(1e6)).to_vec();
        let at = at.index(stream.len());
        stream[at] ^= with;
        if let Ok(decoded) = decode(&stream.into(), 1000, 1 << 20) {
            prop_assert_eq!(decoded, content);
        }
    }

    #[test]
    fn any_bytes_are_decoded_or_refused(mut bytes in prop::collection::vec(any::<u8>(), 0..300), known in any::<bool>()) {
        if known && bytes.len() > 2 {
            bytes[0] = 1;
            bytes[1] &= 1;
            bytes[2] %= 6;
        }
        let _ = decode(&bytes.into(), 50, 1 << 20);
    }
}
