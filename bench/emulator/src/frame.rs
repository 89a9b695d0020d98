//! What a TUN device hands over: an IPv4 packet, or many that share their headers.
//!
//! The model sees each packet as it would be on the wire ([`Frame::packet_bytes`]); the bytes stay
//! where they are. Packets of one frame that arrive together leave as one again ([`Run`]), as a
//! network card with receive offload would hand them over.

use std::io::IoSlice;
use std::net::Ipv4Addr;
use std::sync::Arc;

use crate::checksum;

/// One or many packets as the kernel handed them over.
#[derive(Debug)]
pub(crate) struct Frame {
    /// From the IPv4 header on.
    bytes: Box<[u8]>,
    /// IPv4 and transport header, which each packet has a copy of. All of it for a lone packet.
    header_bytes: usize,
    /// Payload of each packet, the last one aside. 0 for a lone packet.
    segment_bytes: usize,
    /// The virtio-net header that it came with.
    offload: Offload,
}

/// Packets `first..=last` of a frame.
#[derive(Debug, Clone)]
pub(crate) struct Run {
    pub(crate) frame: Arc<Frame>,
    pub(crate) first: u16,
    pub(crate) last: u16,
}

/// `struct virtio_net_hdr`, in the machine's byte order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Offload {
    flags: u8,
    kind: u8,
    segment_bytes: u16,
    checksum_start: u16,
    checksum_offset: u16,
}

impl Offload {
    fn parse(bytes: &[u8; OFFLOAD_BYTES]) -> Self {
        let word = |at: usize| u16::from_ne_bytes([bytes[at], bytes[at + 1]]);
        Self {
            flags: bytes[0],
            kind: bytes[1],
            segment_bytes: word(4),
            checksum_start: word(6),
            checksum_offset: word(8),
        }
    }

    fn write(&self, header_bytes: u16) -> [u8; OFFLOAD_BYTES] {
        let mut bytes = [self.flags, self.kind, 0, 0, 0, 0, 0, 0, 0, 0];
        let words = [header_bytes, self.segment_bytes, self.checksum_start, self.checksum_offset];
        for (at, word) in words.into_iter().enumerate() {
            bytes[2 + 2 * at..4 + 2 * at].copy_from_slice(&word.to_ne_bytes());
        }
        bytes
    }
}

impl Frame {
    /// Reads what came from a device. `None` for what is not a whole IPv4 packet.
    pub(crate) fn parse(received: &[u8]) -> Option<Self> {
        let (offload, packet) = received.split_first_chunk::<OFFLOAD_BYTES>()?;
        let offload = Offload::parse(offload);
        let ip_bytes = usize::from(packet.first()? & 0x0f) * 4;
        let is_v4 = packet[0] >> 4 == 4 && ip_bytes >= IP_BYTES_MIN && packet.len() >= ip_bytes;
        if !is_v4 {
            return None;
        }
        let (header_bytes, segment_bytes) = match offload.kind {
            KIND_NONE => (packet.len(), 0),
            KIND_TCP4 if packet[9] == TCP => {
                let words = packet.get(ip_bytes + 12)? >> 4;
                let tcp_bytes = usize::from(words.max(5)) * 4;
                (ip_bytes + tcp_bytes, usize::from(offload.segment_bytes))
            }
            KIND_UDP if packet[9] == UDP => {
                (ip_bytes + UDP_BYTES, usize::from(offload.segment_bytes))
            }
            _ => return None,
        };
        let is_cut = offload.kind != KIND_NONE;
        let has_room = header_bytes <= HEADER_BYTES_MAX && packet.len() > header_bytes;
        if is_cut && (segment_bytes == 0 || !has_room) {
            return None;
        }
        Some(Self { bytes: packet.into(), header_bytes, segment_bytes, offload })
    }

    /// How many packets it is on the wire.
    pub(crate) fn packets(&self) -> u16 {
        match self.payload_bytes().checked_div(self.segment_bytes) {
            None => 1,
            Some(_) => {
                let packets = self.payload_bytes().div_ceil(self.segment_bytes);
                u16::try_from(packets).expect("a frame has less than 65,536 bytes")
            }
        }
    }

    /// Size of a packet on the wire, from its IPv4 header on.
    pub(crate) fn packet_bytes(&self, packet: u16) -> usize {
        let before = usize::from(packet) * self.segment_bytes;
        let left = self.payload_bytes() - before;
        let payload = if self.segment_bytes == 0 { left } else { left.min(self.segment_bytes) };
        self.header_bytes + payload
    }

    fn payload_bytes(&self) -> usize {
        self.bytes.len() - self.header_bytes
    }

    pub(crate) fn protocol(&self) -> u8 {
        self.bytes[9]
    }

    pub(crate) fn source(&self) -> Ipv4Addr {
        self.address(SOURCE)
    }

    pub(crate) fn target(&self) -> Ipv4Addr {
        self.address(TARGET)
    }

    fn address(&self, at: usize) -> Ipv4Addr {
        let octets: [u8; 4] = self.bytes[at..at + 4].try_into().expect("four bytes");
        octets.into()
    }

    /// Makes it come from `address`, and from a port `shift` above.
    pub(crate) fn translate_source(&mut self, address: Ipv4Addr, shift: u16) {
        self.translate(SOURCE, 0, address, shift);
    }

    /// Makes it go to `address`, and to a port `shift` above.
    pub(crate) fn translate_target(&mut self, address: Ipv4Addr, shift: u16) {
        self.translate(TARGET, 2, address, shift);
    }

    fn translate(&mut self, address_at: usize, port_at: usize, address: Ipv4Addr, shift: u16) {
        let (old, new) = (self.address(address_at).octets(), address.octets());
        let (old_sum, new_sum) = (checksum::sum(&old), checksum::sum(&new));
        self.bytes[address_at..address_at + 4].copy_from_slice(&new);
        let ip_sum = !self.word(IP_CHECKSUM);
        self.set_word(IP_CHECKSUM, !checksum::changed(ip_sum, old_sum, new_sum));

        let ip_bytes = self.ip_bytes();
        let checksum_at = match self.protocol() {
            TCP => ip_bytes + TCP_CHECKSUM,
            UDP => ip_bytes + UDP_CHECKSUM,
            _ => return,
        };
        // Only a packet's first fragment has ports.
        if self.word(FRAGMENT) & 0x1fff != 0 || self.bytes.len() < checksum_at + 2 {
            return;
        }
        let port_at = ip_bytes + port_at;
        let (old_port, new_port) = {
            let old = self.word(port_at);
            (old, old.wrapping_add(shift))
        };
        self.set_word(port_at, new_port);
        if self.offload.flags & NEEDS_CHECKSUM != 0 {
            // The field has the sum of the pseudo header, which knows no ports.
            let sum = checksum::changed(self.word(checksum_at), old_sum, new_sum);
            self.set_word(checksum_at, sum);
        } else if self.protocol() == TCP || self.word(checksum_at) != 0 {
            let sum = checksum::changed(!self.word(checksum_at), old_sum, new_sum);
            self.set_word(checksum_at, !checksum::changed(sum, old_port, new_port));
        }
    }

    fn ip_bytes(&self) -> usize {
        usize::from(self.bytes[0] & 0x0f) * 4
    }

    fn word(&self, at: usize) -> u16 {
        u16::from_be_bytes([self.bytes[at], self.bytes[at + 1]])
    }

    fn set_word(&mut self, at: usize, word: u16) {
        self.bytes[at..at + 2].copy_from_slice(&word.to_be_bytes());
    }
}

impl Run {
    /// Whether `packet` of `frame` was added at its end.
    pub(crate) fn extend(&mut self, frame: &Arc<Frame>, packet: u16) -> bool {
        let is_next = Arc::ptr_eq(&self.frame, frame) && packet == self.last + 1;
        if is_next {
            self.last = packet;
        }
        is_next
    }

    pub(crate) fn packets(&self) -> u16 {
        self.last - self.first + 1
    }

    /// Shows the parts to write: a virtio-net header, the packets' headers, their payload.
    pub(crate) fn write<R>(&self, write: impl FnOnce(&[IoSlice<'_>]) -> R) -> R {
        let frame = &*self.frame;
        if frame.segment_bytes == 0 {
            let offload = frame.offload.write(0);
            return write(&[IoSlice::new(&offload), IoSlice::new(&frame.bytes)]);
        }
        let from = frame.header_bytes + usize::from(self.first) * frame.segment_bytes;
        let until =
            (from + usize::from(self.packets()) * frame.segment_bytes).min(frame.bytes.len());
        let payload = &frame.bytes[from..until];
        let mut header = [0; HEADER_BYTES_MAX];
        let header = &mut header[..frame.header_bytes];
        header.copy_from_slice(&frame.bytes[..frame.header_bytes]);
        self.rewrite(header, payload.len());
        let offload = match self.packets() {
            1 => Offload { kind: KIND_NONE, segment_bytes: 0, ..frame.offload },
            _ => frame.offload,
        };
        let header_bytes = u16::try_from(header.len()).expect("it is below HEADER_BYTES_MAX");
        let offload = offload.write(header_bytes);
        write(&[IoSlice::new(&offload), IoSlice::new(header), IoSlice::new(payload)])
    }

    /// Turns the frame's headers into those of this run.
    fn rewrite(&self, header: &mut [u8], payload_bytes: usize) {
        let set = |header: &mut [u8], at: usize, word: u16| {
            header[at..at + 2].copy_from_slice(&word.to_be_bytes());
        };
        let frame = &*self.frame;
        let ip_bytes = frame.ip_bytes();
        let total = u16::try_from(header.len() + payload_bytes).expect("it is part of a packet");
        let transport_bytes = total - u16::try_from(ip_bytes).expect("it is at most 60");
        set(header, IP_LENGTH, total);
        set(header, IP_ID, frame.word(IP_ID).wrapping_add(self.first));
        set(header, IP_CHECKSUM, 0);
        let ip_sum = checksum::sum(&header[..ip_bytes]);
        set(header, IP_CHECKSUM, !ip_sum);

        let protocol = frame.protocol();
        let pseudo =
            checksum::pseudo_header(frame.source(), frame.target(), protocol, transport_bytes);
        if protocol == UDP {
            set(header, ip_bytes + UDP_LENGTH, transport_bytes);
            set(header, ip_bytes + UDP_CHECKSUM, pseudo);
            return;
        }
        let sequence_at = ip_bytes + TCP_SEQUENCE;
        let sequence: [u8; 4] =
            header[sequence_at..sequence_at + 4].try_into().expect("four bytes");
        let before = u32::from(self.first) * u32::from(frame.offload.segment_bytes);
        let sequence = u32::from_be_bytes(sequence).wrapping_add(before);
        header[sequence_at..sequence_at + 4].copy_from_slice(&sequence.to_be_bytes());
        // As RFC 793's own sender would: the end is told by the last, the window's cut by the first.
        let flags = &mut header[ip_bytes + TCP_FLAGS];
        if self.last + 1 < frame.packets() {
            *flags &= !(TCP_FIN | TCP_PSH);
        }
        if self.first > 0 {
            *flags &= !TCP_CWR;
        }
        set(header, ip_bytes + TCP_CHECKSUM, pseudo);
    }
}

pub(crate) const TCP: u8 = 6;
pub(crate) const UDP: u8 = 17;

const OFFLOAD_BYTES: usize = 10;
/// The transport checksum's field has the sum of the pseudo header; the rest is still to be added.
const NEEDS_CHECKSUM: u8 = 1;
const KIND_NONE: u8 = 0;
const KIND_TCP4: u8 = 1;
const KIND_UDP: u8 = 5;

const IP_BYTES_MIN: usize = 20;
const UDP_BYTES: usize = 8;
/// IPv4 and TCP with all the options that they can have.
const HEADER_BYTES_MAX: usize = 60 + 60;
// Where things are in the headers of IPv4, TCP and UDP.
const IP_LENGTH: usize = 2;
const IP_ID: usize = 4;
const FRAGMENT: usize = 6;
const IP_CHECKSUM: usize = 10;
const SOURCE: usize = 12;
const TARGET: usize = 16;
const TCP_SEQUENCE: usize = 4;
const TCP_FLAGS: usize = 13;
const TCP_CHECKSUM: usize = 16;
const UDP_LENGTH: usize = 4;
const UDP_CHECKSUM: usize = 6;
const TCP_FIN: u8 = 0x01;
const TCP_PSH: u8 = 0x08;
const TCP_CWR: u8 = 0x80;

#[cfg(test)]
mod tests;
