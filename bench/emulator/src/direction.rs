//! One direction of the emulated link: the model, its gate, and what is told about both.

use std::sync::Arc;
use std::time::Duration;

use novacron_link::{Counters, Link, LinkConfig};

use crate::frame::{Frame, Run};
use crate::gate::{Gate, Refusal};

/// The way of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    AToB,
    BToA,
}

impl Direction {
    pub const BOTH: [Self; 2] = [Self::AToB, Self::BToA];

    pub(crate) fn index(self) -> usize {
        match self {
            Self::AToB => 0,
            Self::BToA => 1,
        }
    }
}

/// What became of the packets of a direction, and how punctual the emulator itself was. A figure
/// measured while `late_1ms` or `overrun` grew is one of this machine, not of the link.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Traffic {
    pub link: Counters,
    /// UDP that the firewall took.
    pub blocked: u64,
    /// For an alias that A no longer has.
    pub unmapped: u64,
    /// Not IPv4, so not for us.
    pub foreign: u64,
    /// Arrived, and not taken by the receiving device.
    pub refused: u64,
    /// Given to the receiver within 100 us of their time.
    pub punctual: u64,
    /// Later than 100 us, and later than 1 ms.
    pub late_100us: u64,
    pub late_1ms: u64,
    pub latest: Duration,
    /// Sum over all packets; early ones count against late ones.
    pub lateness_us: i64,
    /// System calls that took packets in and out: `delivered / writes` came out together.
    pub reads: u64,
    pub writes: u64,
    /// Time that the direction's thread has had on a CPU, the receiving end's stack included.
    pub cpu: Duration,
}

/// The model with its gate, shared between the pump and whoever changes it.
#[derive(Debug)]
pub(crate) struct Path {
    pub(crate) link: Link<(Arc<Frame>, u16)>,
    pub(crate) gate: Gate,
    pub(crate) traffic: Traffic,
}

impl Path {
    pub(crate) fn new(config: LinkConfig, seed: u64) -> Self {
        Self { link: Link::new(config, seed), gate: Gate::default(), traffic: Traffic::default() }
    }

    /// Takes in what a device gave, virtio-net header included.
    pub(crate) fn accept(&mut self, now: Duration, received: &[u8]) {
        self.traffic.reads += 1;
        let Some(frame) = Frame::parse(received) else {
            self.traffic.foreign += 1;
            return;
        };
        let packets = u64::from(frame.packets());
        let frame = match self.gate.admit(frame) {
            Ok(frame) => Arc::new(frame),
            Err(Refusal::Blocked) => {
                self.traffic.blocked += packets;
                return;
            }
            Err(Refusal::Unmapped) => {
                self.traffic.unmapped += packets;
                return;
            }
        };
        for packet in 0..frame.packets() {
            self.link.handle_packet(now, frame.packet_bytes(packet), (Arc::clone(&frame), packet));
        }
    }

    /// Moves what is due until `ahead` after `now` to `runs`, joined where it came together.
    pub(crate) fn depart(&mut self, now: Duration, ahead: Duration, runs: &mut Vec<Run>) {
        while runs.len() < RUNS_MAX
            && let Some((due, (frame, packet))) = self.link.poll_due(now, ahead)
        {
            self.note_punctuality(now, due);
            if !runs.last_mut().is_some_and(|last| last.extend(&frame, packet)) {
                runs.push(Run { frame, first: packet, last: packet });
            }
        }
    }

    fn note_punctuality(&mut self, now: Duration, due: Duration) {
        let late = now.saturating_sub(due);
        let early = due.saturating_sub(now);
        let traffic = &mut self.traffic;
        traffic.latest = traffic.latest.max(late);
        traffic.lateness_us += late.as_micros() as i64 - early.as_micros() as i64;
        if late > Duration::from_millis(1) {
            traffic.late_1ms += 1;
        } else if late > Duration::from_micros(100) {
            traffic.late_100us += 1;
        } else {
            traffic.punctual += 1;
        }
    }

    pub(crate) fn traffic(&self) -> Traffic {
        Traffic { link: self.link.counters(), ..self.traffic }
    }
}

/// Given away in one turn, before new frames are looked at: about a millisecond's work.
const RUNS_MAX: usize = 256;
