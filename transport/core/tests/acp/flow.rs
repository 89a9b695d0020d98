//! One flow: a sender with RFC 9002's loss detection around a controller, and its receiver.

use std::collections::VecDeque;
use std::time::Duration;

use novacron_transport_core::acp::{Acp, Persistence};

use crate::cubic::Cubic;
use crate::sim::{Ack, Hosts, PAYLOAD_BYTES, Packet};

/// Who decides how much may be sent.
pub(crate) enum Brain {
    Acp(Box<Acp>),
    Cubic(Cubic),
}

impl Brain {
    pub(crate) fn acp(now: Duration) -> Self {
        Self::Acp(Box::new(Acp::new(now, PAYLOAD_BYTES as u16)))
    }
}

pub(crate) struct Flow {
    pub(crate) hosts: Hosts,
    pub(crate) sender: Sender,
    pub(crate) receiver: Receiver,
}

impl Flow {
    pub(crate) fn new(index: usize, start: Duration, brain: Brain, hosts: Hosts) -> Self {
        Self { hosts, sender: Sender::new(index, start, brain), receiver: Receiver::new(hosts) }
    }

    pub(crate) fn acp(&self) -> &Acp {
        match &self.sender.brain {
            Brain::Acp(acp) => acp,
            Brain::Cubic(_) => panic!("flow {} is not ours", self.sender.index),
        }
    }
}

pub(crate) struct Sender {
    index: usize,
    start: Duration,
    pub(crate) brain: Brain,
    inbox: Vec<Ack>,
    /// Packets from `first` on; `None` once acknowledged or lost.
    sent: VecDeque<Option<Duration>>,
    first: u64,
    next: u64,
    largest_acked: Option<u64>,
    in_flight: u64,
    srtt: Duration,
    rttvar: Duration,
    latest_rtt: Duration,
    loss_time: Option<Duration>,
    last_sent: Duration,
    pto_count: u32,
    first_sample: Option<Duration>,
    /// Round trips of acknowledgement frames, with their time.
    pub(crate) rtts: Vec<(Duration, Duration)>,
    pub(crate) lost: u64,
}

impl Sender {
    fn new(index: usize, start: Duration, brain: Brain) -> Self {
        Self {
            index,
            start,
            brain,
            inbox: Vec::new(),
            sent: VecDeque::new(),
            first: 0,
            next: 0,
            largest_acked: None,
            in_flight: 0,
            srtt: Duration::ZERO,
            rttvar: Duration::ZERO,
            latest_rtt: Duration::ZERO,
            loss_time: None,
            last_sent: start,
            pto_count: 0,
            first_sample: None,
            rtts: Vec::new(),
            lost: 0,
        }
    }

    pub(crate) fn handle_arrival(&mut self, ack: Ack) {
        self.inbox.push(ack);
    }

    /// Handles what came and gives the packets to send.
    pub(crate) fn turn(&mut self, now: Duration) -> Vec<Packet> {
        for ack in std::mem::take(&mut self.inbox) {
            self.handle_ack(now, &ack.numbers);
        }
        if self.loss_time.is_some_and(|at| at <= now) {
            self.detect_lost(now);
        }
        let mut packets = Vec::new();
        if self.pto_at().is_some_and(|at| at <= now) {
            self.pto_count += 1;
            packets.push(self.send(now));
        }
        while now >= self.start && packets.len() < 1_000 {
            let budget = match &mut self.brain {
                Brain::Acp(acp) => acp.send_budget(now),
                Brain::Cubic(cubic) => cubic.window_bytes().saturating_sub(self.in_flight),
            };
            let count = budget / PAYLOAD_BYTES;
            if count == 0 {
                break;
            }
            for _ in 0..count.min(44) {
                packets.push(self.send(now));
            }
        }
        packets
    }

    fn send(&mut self, now: Duration) -> Packet {
        let number = self.next;
        self.next += 1;
        self.sent.push_back(Some(now));
        self.in_flight += PAYLOAD_BYTES;
        self.last_sent = now;
        if let Brain::Acp(acp) = &mut self.brain {
            acp.handle_sent(now, PAYLOAD_BYTES);
        }
        Packet { flow: self.index, number }
    }

    pub(crate) fn poll_timeout(&self, now: Duration) -> Option<Duration> {
        let pacing = match &self.brain {
            Brain::Acp(acp) => acp.poll_timeout(),
            Brain::Cubic(_) => None,
        };
        let start = (now < self.start).then_some(self.start);
        [pacing, start, self.loss_time, self.pto_at()].into_iter().flatten().min()
    }

    fn pto_at(&self) -> Option<Duration> {
        if self.in_flight == 0 {
            return None;
        }
        let rtt = if self.srtt.is_zero() {
            Duration::from_millis(999)
        } else {
            self.srtt + self.rttvar * 4
        };
        Some(self.last_sent + (rtt + Duration::from_millis(5)) * (1 << self.pto_count.min(6)))
    }

    fn handle_ack(&mut self, now: Duration, numbers: &[u64]) {
        let (mut newest, mut any) = (None, false);
        for number in numbers {
            let Some(slot) = number.checked_sub(self.first) else { continue };
            let Some(sent) = self.sent.get_mut(slot as usize).and_then(Option::take) else {
                continue;
            };
            any = true;
            self.in_flight -= PAYLOAD_BYTES;
            newest = newest.max(Some((*number, sent)));
            match &mut self.brain {
                Brain::Acp(acp) => acp.handle_acked(now, sent, PAYLOAD_BYTES),
                Brain::Cubic(cubic) => cubic.handle_acked(now, now - sent),
            }
        }
        if !any {
            return;
        }
        self.pto_count = 0;
        if let Brain::Acp(acp) = &mut self.brain {
            acp.handle_acks_end(now, self.in_flight);
        }
        if let Some((number, sent)) = newest
            && self.largest_acked.is_none_or(|largest| number > largest)
        {
            self.largest_acked = Some(number);
            self.update_rtt(now, now - sent);
        }
        self.detect_lost(now);
        while self.sent.front().is_some_and(Option::is_none) {
            self.sent.pop_front();
            self.first += 1;
        }
    }

    /// RFC 9002, section 5.3.
    fn update_rtt(&mut self, now: Duration, rtt: Duration) {
        self.rtts.push((now, rtt));
        self.first_sample.get_or_insert(now);
        self.latest_rtt = rtt;
        if self.srtt.is_zero() {
            (self.srtt, self.rttvar) = (rtt, rtt / 2);
        } else {
            self.rttvar = (self.rttvar * 3 + self.srtt.abs_diff(rtt)) / 4;
            self.srtt = (self.srtt * 7 + rtt) / 8;
        }
    }

    /// RFC 9002, section 6.1, with quinn's idea of persistent congestion.
    fn detect_lost(&mut self, now: Duration) {
        let Some(largest) = self.largest_acked else { return };
        let delay = self.latest_rtt.max(self.srtt).mul_f64(9.0 / 8.0).max(Duration::from_millis(1));
        let persistent_after = (self.srtt + self.rttvar * 4 + Duration::from_millis(5)) * 3;
        self.loss_time = None;
        let (mut bytes, mut last, mut start, mut persistent) = (0, None, None, false);
        for number in self.first..largest {
            let slot = &mut self.sent[(number - self.first) as usize];
            let Some(sent) = *slot else {
                start = None;
                continue;
            };
            if now - sent >= delay || largest >= number + 3 {
                *slot = None;
                bytes += PAYLOAD_BYTES;
                last = Some(sent);
                match start {
                    Some(start) if sent - start > persistent_after => persistent = true,
                    None if self.first_sample.is_some_and(|at| sent > at) => start = Some(sent),
                    _ => {}
                }
            } else {
                self.loss_time = self.loss_time.into_iter().chain([sent + delay]).min();
                start = None;
            }
        }
        if let Some(sent) = last {
            self.in_flight -= bytes;
            self.lost += bytes / PAYLOAD_BYTES;
            match &mut self.brain {
                Brain::Acp(acp) => {
                    let persistence =
                        if persistent { Persistence::Persistent } else { Persistence::Passing };
                    acp.handle_lost(now, sent, bytes, persistence);
                }
                Brain::Cubic(cubic) => cubic.handle_lost(now, sent),
            }
        }
    }
}

/// Acknowledges every few packets at once, gaps at once, and the rest after a delay.
pub(crate) struct Receiver {
    hosts: Hosts,
    inbox: Vec<Packet>,
    unacked: u32,
    ack_at: Option<Duration>,
    largest: u64,
    /// Of the last acknowledgements, so that a lost one does no harm.
    recent: VecDeque<Vec<u64>>,
    fresh: Vec<u64>,
    /// Delivered packets by the second of their arrival.
    pub(crate) per_second: Vec<u64>,
    /// Packets by tenth of a second.
    pub(crate) per_tenth: Vec<u64>,
    pub(crate) received: u64,
}

impl Receiver {
    fn new(hosts: Hosts) -> Self {
        Self {
            hosts,
            inbox: Vec::new(),
            unacked: 0,
            ack_at: None,
            largest: 0,
            recent: VecDeque::new(),
            fresh: Vec::new(),
            per_second: Vec::new(),
            per_tenth: Vec::new(),
            received: 0,
        }
    }

    pub(crate) fn handle_arrival(&mut self, now: Duration, packet: Packet) {
        self.received += 1;
        for (counts, per) in [(&mut self.per_second, 1_000), (&mut self.per_tenth, 100)] {
            let slot = (now.as_millis() / per) as usize;
            counts.resize(counts.len().max(slot + 1), 0);
            counts[slot] += 1;
        }
        self.inbox.push(packet);
    }

    /// Takes what arrived; gives an acknowledgement when one is due.
    pub(crate) fn turn(&mut self, now: Duration) -> Option<Vec<u64>> {
        let mut is_due = self.ack_at.is_some_and(|at| at <= now);
        for packet in std::mem::take(&mut self.inbox) {
            is_due |= packet.number != self.largest + 1 && packet.number != 0;
            self.largest = self.largest.max(packet.number);
            self.fresh.push(packet.number);
            self.unacked += 1;
        }
        is_due |= self.unacked >= self.hosts.ack_every;
        if !is_due {
            if self.unacked > 0 && self.ack_at.is_none() {
                self.ack_at = Some(now + self.hosts.max_ack_delay);
            }
            return None;
        }
        (self.unacked, self.ack_at) = (0, None);
        self.recent.push_back(std::mem::take(&mut self.fresh));
        if self.recent.len() > 4 {
            self.recent.pop_front();
        }
        Some(self.recent.iter().flatten().copied().collect())
    }

    pub(crate) fn poll_timeout(&self) -> Option<Duration> {
        self.ack_at
    }
}
