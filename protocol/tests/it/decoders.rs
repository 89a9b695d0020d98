//! Every decoder against what it must survive: cuts, additions, flipped bits, noise, and length
//! prefixes that promise more than there is. None may panic, and what one accepts it must also be
//! able to say.

use std::fmt::Debug;

use bincode::{Decode, Encode};
use bytes::BytesMut;
use novacron_protocol::codec::{self, CodecError};
use novacron_protocol::frame::{FrameDecoder, put_frame};
use novacron_protocol::image::{FileRole, ImageFile, Manifest, ManifestError, ManifestFile};
use novacron_protocol::join_token::JoinToken;
use novacron_protocol::limits::{FRAME_BYTES_MAX, HELLO_BYTES_MAX};
use novacron_protocol::vm::DesiredSet;
use novacron_protocol::wire::agent::{FromAgent, ToAgent};
use novacron_protocol::wire::call::{Request, Response};
use novacron_protocol::wire::hello::{CertificateUpdate, Hello, HelloAnswer};
use novacron_protocol::wire::join::{JoinAnswer, JoinRequest};
use novacron_protocol::wire::member::FromMember;
use novacron_protocol::wire::raft::Message;
use novacron_protocol::wire::telemetry::HostMetrics;
use novacron_protocol::{ByteCount, Digest, record};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use crate::{arbitrary, samples};

/// A decoder, its limit, and honest bytes for it.
struct Decoder {
    name: &'static str,
    max: usize,
    honest: Vec<Vec<u8>>,
    /// Decodes; what it takes must encode, and decode to the same once more.
    decode: fn(&[u8], usize) -> Result<(), CodecError>,
}

impl Decoder {
    fn of<T>(name: &'static str, max: usize, samples: samples::Samples<T>) -> Self
    where
        T: Encode + Decode<()> + PartialEq + Debug,
    {
        let honest = samples.iter().map(|(_, value)| codec::encode(value).unwrap()).collect();
        Self { name, max, honest, decode: reopen::<T> }
    }

    fn try_on(&self, bytes: &[u8]) -> Result<(), CodecError> {
        (self.decode)(bytes, self.max)
    }
}

fn reopen<T: Encode + Decode<()> + PartialEq + Debug>(
    bytes: &[u8],
    max: usize,
) -> Result<(), CodecError> {
    let value: T = codec::decode(bytes, max)?;
    let again = codec::encode(&value).expect("what was decoded can be encoded");
    assert_eq!(codec::decode::<T>(&again, max).as_ref(), Ok(&value));
    Ok(())
}

/// Every type that is decoded from what a peer sent, with the limit that its reader uses.
fn decoders() -> Vec<Decoder> {
    let (small, large) = (HELLO_BYTES_MAX, FRAME_BYTES_MAX);
    vec![
        Decoder::of::<Hello>("hello", small, samples::hello()),
        Decoder::of::<HelloAnswer>("hello answer", small, samples::hello_answer()),
        Decoder::of::<CertificateUpdate>("update", small, samples::certificate_update()),
        Decoder::of::<JoinRequest>("join request", small, samples::join_request()),
        Decoder::of::<JoinAnswer>("join answer", small, samples::join_answer()),
        Decoder::of::<FromAgent>("from agent", large, samples::from_agent()),
        Decoder::of::<ToAgent>("to agent", large, samples::to_agent()),
        Decoder::of::<DesiredSet>("desired set", large, samples::desired()),
        Decoder::of::<Request>("request", large, samples::request()),
        Decoder::of::<Response>("response", large, samples::response()),
        Decoder::of::<FromMember>("from member", large, samples::from_member()),
        Decoder::of::<HostMetrics>("metrics", large, samples::telemetry()),
    ]
}

#[test]
fn every_cut_and_every_addition_is_refused() {
    for decoder in decoders() {
        for honest in &decoder.honest {
            assert_eq!(decoder.try_on(honest), Ok(()), "{}", decoder.name);
            for cut in 0..honest.len() {
                let error = decoder.try_on(&honest[..cut]);
                let refused = matches!(error, Err(CodecError::Malformed { .. }));
                assert!(refused, "{} cut at {cut}: {error:?}", decoder.name);
            }
            let mut longer = honest.clone();
            longer.push(0);
            let error = decoder.try_on(&longer);
            let refused = matches!(error, Err(CodecError::Trailing { count: 1, .. }));
            assert!(refused, "{} with a byte more: {error:?}", decoder.name);
        }
    }
}

#[test]
fn bytes_over_the_limit_are_refused_before_they_are_read() {
    for decoder in decoders() {
        let len = decoder.max + 1;
        let error = decoder.try_on(&vec![0; len]);
        assert_eq!(error, Err(CodecError::TooLong { len, max: decoder.max }), "{}", decoder.name);
    }
}

/// Each byte in turn becomes the largest length prefix there is.
#[test]
fn a_length_prefix_that_lies_is_refused() {
    for decoder in decoders() {
        for honest in &decoder.honest {
            for at in 0..honest.len() {
                let mut lying = honest[..at].to_vec();
                lying.push(253);
                lying.extend(u64::MAX.to_le_bytes());
                lying.extend(&honest[at + 1..]);
                // Some bytes are not lengths: then it is a number, or a byte too many.
                let _ = decoder.try_on(&lying);
            }
        }
    }
}

proptest! {
    #[test]
    fn flipped_bits_never_panic(
        at in any::<Index>(),
        flips in vec((any::<Index>(), 1_u8..=255), 1..6),
    ) {
        for decoder in decoders() {
            let mut bytes = decoder.honest[at.index(decoder.honest.len())].clone();
            for (at, mask) in &flips {
                let at = at.index(bytes.len());
                bytes[at] ^= mask;
            }
            let _ = decoder.try_on(&bytes);
        }
    }

    #[test]
    fn noise_never_panics(noise in vec(any::<u8>(), 0..600)) {
        for decoder in decoders() {
            let _ = decoder.try_on(&noise);
        }
        let _ = Manifest::open(&noise);
        let _ = record::open::<DesiredSet>(u16::MAX, &noise);
        let _ = codec::decode_prefix::<Hello>(&noise, HELLO_BYTES_MAX);
    }

    /// Behind a valid checksum, as a writer that is broken or hostile could leave it.
    #[test]
    fn noise_in_a_valid_record_never_panics(noise in vec(any::<u8>(), 0..600)) {
        let sealed = record::seal(1, &Raw(noise)).unwrap();
        let _ = record::open::<DesiredSet>(1, &sealed);
    }
}

/// Bytes that encode as themselves.
struct Raw(Vec<u8>);

impl Encode for Raw {
    fn encode<E: bincode::enc::Encoder>(
        &self,
        encoder: &mut E,
    ) -> Result<(), bincode::error::EncodeError> {
        use bincode::enc::write::Writer as _;
        encoder.writer().write(&self.0)
    }
}

macro_rules! gives_back {
    ($($test:ident: $type:ty = $strategy:expr;)+) => {
        proptest! {$(
            #[test]
            fn $test(value in $strategy) {
                let bytes = codec::encode(&value).unwrap();
                prop_assert_eq!(codec::decode::<$type>(&bytes, FRAME_BYTES_MAX), Ok(value));
            }
        )+}
    };
}

gives_back! {
    any_hello_comes_back: Hello = arbitrary::hello();
    any_hello_answer_comes_back: HelloAnswer = arbitrary::hello_answer();
    any_join_request_comes_back: JoinRequest = arbitrary::join_request();
    any_join_answer_comes_back: JoinAnswer = arbitrary::join_answer();
    any_word_of_an_agent_comes_back: FromAgent = arbitrary::from_agent();
    any_word_to_an_agent_comes_back: ToAgent = arbitrary::to_agent();
    any_desired_set_comes_back: DesiredSet = arbitrary::desired_set();
    any_request_comes_back: Request = arbitrary::request();
    any_response_comes_back: Response = arbitrary::response();
    any_raft_message_comes_back: Message = arbitrary::message();
    any_metrics_come_back: HostMetrics = arbitrary::metrics();
}

proptest! {
    #[test]
    fn any_join_token_comes_back_from_its_text(token in arbitrary::join_token()) {
        prop_assert_eq!(token.to_string().parse(), Ok(token));
    }

    #[test]
    fn a_join_token_with_another_character_is_another_token_or_none(
        token in arbitrary::join_token(),
        at in any::<Index>(),
        character in any::<char>(),
    ) {
        let mut text: Vec<char> = token.to_string().chars().collect();
        let at = at.index(text.len());
        text[at] = character;
        let text: String = text.into_iter().collect();
        if let Ok(other) = text.trim().parse::<JoinToken>() {
            prop_assert_eq!(other.to_string(), text.trim());
        }
    }

    #[test]
    fn a_record_gives_back_what_was_sealed(
        set in arbitrary::desired_set(),
        version in 0_u16..9,
    ) {
        let sealed = record::seal(version, &set).unwrap();
        prop_assert_eq!(record::open::<DesiredSet>(8, &sealed), Ok(set));
    }

    #[test]
    fn a_manifest_whose_chunks_do_not_add_up_is_refused(
        chunks in vec(arbitrary::chunk(), 0..4),
        size in any::<u64>(),
    ) {
        let (digest, total) =
            (Digest([0; 32]), chunks.iter().map(|chunk| u64::from(chunk.len)).sum::<u64>());
        let file = ImageFile {
            role: FileRole::RawDisk,
            digest,
            size: ByteCount(size),
            virtual_size: ByteCount(size),
        };
        let manifest = Manifest {
            files: vec![ManifestFile { file, chunks }],
            cmdline: String::new(),
        };
        let opened = Manifest::open(&codec::encode(&manifest).unwrap());
        if total != size || size == 0 {
            prop_assert!(matches!(opened, Err(ManifestError::Chunks { .. })), "{:?}", opened);
        }
    }

    #[test]
    fn frames_of_noise_end_in_frames_or_a_refusal(noise in vec(any::<u8>(), 0..600)) {
        let mut decoder = FrameDecoder::new(HELLO_BYTES_MAX);
        let mut again = BytesMut::new();
        decoder.push(&noise);
        while let Ok(Some(frame)) = decoder.poll_frame() {
            put_frame(&mut again, &frame, HELLO_BYTES_MAX).unwrap();
        }
        prop_assert!(noise.starts_with(&again));
    }
}
