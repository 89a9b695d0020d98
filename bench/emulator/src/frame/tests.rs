//! Frames as a kernel would hand them over, cut and put together.

use super::*;

const A: Ipv4Addr = Ipv4Addr::new(10, 78, 0, 1);
const B: Ipv4Addr = Ipv4Addr::new(10, 78, 0, 2);

/// A TCP frame of `payload` bytes (0, 1, 2, ..) to be cut every `segment` bytes, or not at 0.
fn tcp(payload: usize, segment: u16) -> Vec<u8> {
    let mut packet = ip(TCP, 20 + payload);
    packet.extend([0x10, 0, 0x20, 0, 0xff, 0xff, 0xff, 0xf0, 0, 0, 0, 1, 0x50]);
    packet.extend([TCP_FIN | TCP_PSH | TCP_CWR, 1, 0, 0, 0, 0, 0]);
    finish(packet, payload, segment, KIND_TCP4, TCP_CHECKSUM)
}

fn udp(payload: usize, segment: u16) -> Vec<u8> {
    let mut packet = ip(UDP, 8 + payload);
    packet.extend([0x10, 0, 0x20, 0]);
    packet.extend(((8 + payload) as u16).to_be_bytes());
    packet.extend([0, 0]);
    finish(packet, payload, segment, KIND_UDP, UDP_CHECKSUM)
}

fn ip(protocol: u8, after: usize) -> Vec<u8> {
    let mut packet = vec![0x45, 0];
    packet.extend(((20 + after) as u16).to_be_bytes());
    packet.extend([0, 7, 0x40, 0, 64, protocol, 0, 0]);
    packet.extend(A.octets());
    packet.extend(B.octets());
    let sum = !checksum::sum(&packet);
    packet[IP_CHECKSUM..IP_CHECKSUM + 2].copy_from_slice(&sum.to_be_bytes());
    packet
}

fn finish(mut packet: Vec<u8>, payload: usize, segment: u16, kind: u8, sum_at: usize) -> Vec<u8> {
    let protocol = packet[9];
    packet.extend((0..payload).map(|n| n as u8));
    let pseudo = checksum::pseudo_header(A, B, protocol, (packet.len() - 20) as u16);
    packet[20 + sum_at..22 + sum_at].copy_from_slice(&pseudo.to_be_bytes());
    let offload = Offload {
        flags: NEEDS_CHECKSUM,
        kind: if segment == 0 { KIND_NONE } else { kind },
        segment_bytes: segment,
        checksum_start: 20,
        checksum_offset: sum_at as u16,
    };
    [offload.write(0).as_slice(), &packet].concat()
}

/// What a run writes, in one piece.
fn written(frame: &Arc<Frame>, first: u16, last: u16) -> Vec<u8> {
    let run = Run { frame: Arc::clone(frame), first, last };
    run.write(|parts| parts.iter().flat_map(|part| part.iter().copied()).collect())
}

/// Checks what a receiver would, and gives the packet.
fn packet_of(written: &[u8]) -> &[u8] {
    let packet = &written[OFFLOAD_BYTES..];
    assert_eq!(checksum::sum(&packet[..20]), 0xffff, "the IPv4 header's sum");
    let total = u16::from_be_bytes([packet[2], packet[3]]);
    assert_eq!(usize::from(total), packet.len());
    let frame = Frame::parse(written).expect("it reads back");
    let sum_at = 20 + if frame.protocol() == TCP { TCP_CHECKSUM } else { UDP_CHECKSUM };
    let pseudo = checksum::pseudo_header(frame.source(), frame.target(), packet[9], total - 20);
    assert_eq!(frame.word(sum_at), pseudo, "the pseudo header's sum");
    packet
}

#[test]
fn a_frame_is_as_many_packets_as_on_the_wire() {
    let frame = Frame::parse(&tcp(3_000, 1_448)).expect("it is a frame");
    let sizes: Vec<usize> = (0..frame.packets()).map(|n| frame.packet_bytes(n)).collect();
    assert_eq!(sizes, [1_488, 1_488, 40 + 104]);
    let lone = Frame::parse(&tcp(900, 0)).expect("it is a frame");
    assert_eq!((lone.packets(), lone.packet_bytes(0)), (1, 940));
}

#[test]
fn packets_of_a_frame_have_their_own_sequence_and_flags() {
    let frame = Arc::new(Frame::parse(&tcp(3_000, 1_448)).expect("it is a frame"));
    let all: Vec<Vec<u8>> = (0..3).map(|n| written(&frame, n, n)).collect();
    let of = |n: usize, at: usize| packet_of(&all[n])[20 + at];
    let sequences: Vec<u32> =
        (0..3).map(|n| u32::from_be_bytes([of(n, 4), of(n, 5), of(n, 6), of(n, 7)])).collect();
    assert_eq!(sequences, [0xffff_fff0, 1_432, 2_880], "it wraps");
    let flags: Vec<u8> = (0..3).map(|n| of(n, TCP_FLAGS)).collect();
    assert_eq!(flags, [TCP_CWR, 0, TCP_FIN | TCP_PSH]);
    let payload: Vec<u8> = all.iter().flat_map(|one| packet_of(one)[40..].to_vec()).collect();
    assert_eq!(payload, (0..3_000).map(|n| n as u8).collect::<Vec<_>>());
    assert!(all.iter().all(|one| one[1] == KIND_NONE));
}

#[test]
fn packets_that_arrive_together_leave_as_one() {
    let frame = Arc::new(Frame::parse(&udp(5_000, 1_200)).expect("it is a frame"));
    assert_eq!(frame.packets(), 5);
    let middle = written(&frame, 1, 3);
    assert_eq!(packet_of(&middle).len(), 28 + 3_600);
    assert_eq!(&packet_of(&middle)[24..26], (8_u16 + 3_600).to_be_bytes());
    assert_eq!(middle[1], KIND_UDP);
    let end = Frame::parse(&written(&frame, 3, 4)).expect("it reads back");
    assert_eq!((end.packets(), end.packet_bytes(1)), (2, 28 + 200));
}

#[test]
fn a_run_grows_only_by_the_next_packet_of_its_frame() {
    let frame = Arc::new(Frame::parse(&udp(5_000, 1_200)).expect("it is a frame"));
    let other = Arc::new(Frame::parse(&udp(5_000, 1_200)).expect("it is a frame"));
    let mut run = Run { frame: Arc::clone(&frame), first: 1, last: 1 };
    assert!(!run.extend(&frame, 1), "a duplicate");
    assert!(!run.extend(&frame, 3), "after a loss");
    assert!(!run.extend(&other, 2));
    assert!(run.extend(&frame, 2));
    assert_eq!((run.first, run.last, run.packets()), (1, 2, 2));
}

#[test]
fn a_translated_packet_has_a_right_sum() {
    let alias = Ipv4Addr::new(10, 78, 0, 77);
    // With the sum left to the receiver, and with a whole one.
    for whole in [false, true] {
        let mut bytes = udp(301, 0);
        if whole {
            let packet = &mut bytes[OFFLOAD_BYTES..];
            let sum = !checksum::sum(&packet[20..]);
            packet[20 + UDP_CHECKSUM..22 + UDP_CHECKSUM].copy_from_slice(&sum.to_be_bytes());
            bytes[0] = 0;
        }
        let mut frame = Frame::parse(&bytes).expect("it is a frame");
        frame.translate_source(alias, 1_000);
        assert_eq!((frame.source(), frame.word(20)), (alias, 0x1000 + 1_000));
        assert_eq!(checksum::sum(&frame.bytes[..20]), 0xffff);
        let pseudo = checksum::pseudo_header(alias, B, UDP, 309);
        if whole {
            let all = u32::from(pseudo) + u32::from(checksum::sum(&frame.bytes[20..]));
            assert_eq!(all % 0xffff, 0, "a sum of all is zero");
        } else {
            assert_eq!(frame.word(20 + UDP_CHECKSUM), pseudo);
        }
        frame.translate_target(A, 0_u16.wrapping_sub(5));
        assert_eq!((frame.target(), frame.word(22)), (A, 0x2000 - 5));
    }
}

#[test]
fn what_is_no_whole_ipv4_packet_is_refused() {
    assert!(Frame::parse(&[]).is_none());
    assert!(Frame::parse(&[0; 11]).is_none());
    let good = tcp(3_000, 1_448);
    for cut in [12, 29, 41, 50] {
        assert!(Frame::parse(&good[..cut]).is_none(), "{cut}");
    }
    let mut v6 = good.clone();
    v6[OFFLOAD_BYTES] = 0x65;
    assert!(Frame::parse(&v6).is_none());
    let mut endless = good;
    endless[4..6].copy_from_slice(&[0, 0]);
    assert!(Frame::parse(&endless).is_none(), "segments of nothing");
}
