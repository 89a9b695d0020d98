//! A network in virtual time: flows over one bottleneck, each with a sender, a receiver that
//! acknowledges as quinn does, and the schedulers of both.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use novacron_link::{Link, LinkConfig};

use crate::cubic::Cubic;
use crate::flow::{Brain, Flow};
use crate::random::Random;

/// Of an IP packet, as the link counts.
pub(crate) const PACKET_BYTES: u64 = 1500;
/// Of its UDP payload, as the controller counts.
pub(crate) const PAYLOAD_BYTES: u64 = 1472;

/// What the two hosts of a flow add to the path.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Hosts {
    /// A wake-up is late by up to this much, uniformly.
    pub(crate) noise: Duration,
    /// Timers fire at multiples of this.
    pub(crate) granularity: Duration,
    /// Packets per acknowledgement while they keep coming.
    pub(crate) ack_every: u32,
    pub(crate) max_ack_delay: Duration,
}

impl Hosts {
    pub(crate) const QUIET: Self = Self {
        noise: Duration::from_micros(50),
        granularity: Duration::from_millis(1),
        ack_every: 2,
        max_ack_delay: Duration::from_millis(5),
    };
    pub(crate) const BUSY: Self = Self { noise: Duration::from_millis(2), ..Self::QUIET };
    /// A machine at its limit.
    pub(crate) const LATE: Self = Self { noise: Duration::from_millis(6), ..Self::QUIET };
    pub(crate) const LUMPY: Self = Self { ack_every: 10, ..Self::BUSY };
}

/// A packet on the bottleneck.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Packet {
    pub(crate) flow: usize,
    pub(crate) number: u64,
}

/// An acknowledgement on the way back: the packets received lately.
#[derive(Debug, Clone)]
pub(crate) struct Ack {
    pub(crate) flow: usize,
    pub(crate) numbers: Vec<u64>,
}

/// Flows over one bottleneck. The way back has the same delay and loses nothing.
pub(crate) struct Network {
    pub(crate) now: Duration,
    pub(crate) flows: Vec<Flow>,
    pub(crate) link: Link<Packet>,
    back: Link<Ack>,
    /// When what wakes up next: a flow's sender or receiver.
    wakes: BTreeSet<(Duration, usize, Side)>,
    due: BTreeMap<(usize, Side), Duration>,
    random: Random,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Side {
    Sender,
    Receiver,
}

impl Network {
    pub(crate) fn new(config: LinkConfig, seed: u64) -> Self {
        let back = LinkConfig {
            delay: config.delay,
            blackouts: config.blackouts.clone(),
            ..LinkConfig::default()
        };
        Self {
            now: Duration::ZERO,
            flows: Vec::new(),
            link: Link::new(config, seed),
            back: Link::new(back, seed ^ 1),
            wakes: BTreeSet::new(),
            due: BTreeMap::new(),
            random: Random::new(seed),
        }
    }

    /// Adds a flow that has data from `start` on.
    pub(crate) fn join(&mut self, start: Duration, brain: Brain, hosts: Hosts) -> usize {
        let index = self.flows.len();
        self.flows.push(Flow::new(index, start, brain, hosts));
        self.wake(index, Side::Sender, start);
        index
    }

    pub(crate) fn join_acp(&mut self, start: Duration, hosts: Hosts) -> usize {
        self.join(start, Brain::acp(start), hosts)
    }

    pub(crate) fn join_cubic(&mut self, start: Duration) -> usize {
        let hosts = Hosts { granularity: Duration::from_micros(10), ..Hosts::QUIET };
        self.join(start, Brain::Cubic(Cubic::new()), hosts)
    }

    /// The earliest of two wake-ups counts.
    fn wake(&mut self, flow: usize, side: Side, at: Duration) {
        if let Some(known) = self.due.get(&(flow, side)) {
            if *known <= at {
                return;
            }
            self.wakes.remove(&(*known, flow, side));
        }
        self.due.insert((flow, side), at);
        self.wakes.insert((at, flow, side));
    }

    fn noise(&mut self, flow: usize) -> Duration {
        self.flows[flow].hosts.noise.mul_f64(self.random.fraction())
    }

    /// Lets time pass until `end`.
    pub(crate) fn run_until(&mut self, end: Duration) {
        loop {
            let wake = self.wakes.first().map(|wake| wake.0);
            let next = [wake, self.link.poll_timeout(), self.back.poll_timeout()];
            let Some(next) = next.into_iter().flatten().min() else { break };
            if next > end {
                break;
            }
            self.now = self.now.max(next);
            self.step();
        }
        self.now = end;
    }

    fn step(&mut self) {
        while let Some(packet) = self.link.poll_delivery(self.now) {
            self.flows[packet.flow].receiver.handle_arrival(self.now, packet);
            let at = self.now + self.noise(packet.flow);
            self.wake(packet.flow, Side::Receiver, at);
        }
        while let Some(ack) = self.back.poll_delivery(self.now) {
            let flow = ack.flow;
            self.flows[flow].sender.handle_arrival(ack);
            let at = self.now + self.noise(flow);
            self.wake(flow, Side::Sender, at);
        }
        while let Some((at, flow, side)) = self.wakes.first().copied()
            && at <= self.now
        {
            self.wakes.pop_first();
            self.due.remove(&(flow, side));
            match side {
                Side::Sender => self.run_sender(flow),
                Side::Receiver => self.run_receiver(flow),
            }
        }
    }

    fn run_sender(&mut self, index: usize) {
        let flow = &mut self.flows[index];
        let packets = flow.sender.turn(self.now);
        for packet in packets {
            self.link.handle_packet(self.now, PACKET_BYTES as usize, packet);
        }
        if let Some(timeout) = self.flows[index].sender.poll_timeout(self.now) {
            let grain = self.flows[index].hosts.granularity.as_nanos() as u64;
            let ticks = (timeout.max(self.now).as_nanos() as u64).div_ceil(grain);
            let at = Duration::from_nanos((ticks * grain).max(self.now.as_nanos() as u64 + 1));
            let at = at + self.noise(index);
            self.wake(index, Side::Sender, at);
        }
    }

    fn run_receiver(&mut self, index: usize) {
        if let Some(numbers) = self.flows[index].receiver.turn(self.now) {
            self.back.handle_packet(self.now, 60, Ack { flow: index, numbers });
        }
        if let Some(timeout) = self.flows[index].receiver.poll_timeout() {
            let at = timeout.max(self.now) + self.noise(index);
            self.wake(index, Side::Receiver, at);
        }
    }

    /// How long a packet that enters the bottleneck now would wait there.
    pub(crate) fn queue_delay(&self, rate_mbps: f64) -> Duration {
        let bytes = self.link.counters().queue_bytes as f64;
        Duration::from_secs_f64(bytes * 8.0 / (rate_mbps * 1e6))
    }
}
