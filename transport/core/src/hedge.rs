//! The second copy of a small urgent message, so that one lost packet does not cost a round trip.
//!
//! ```text
//! sent on the stream ──────────────> stream ─────┐
//!   └─ max(2 ms, srtt / 8) later ──> datagram ───┴─> Sequencer: whichever comes first, in order
//! ```
//!
//! A lost packet is found out a round trip later at best, and takes another half to come again; a
//! copy costs an eighth. It goes later than the first so that one burst of loss, or one full queue,
//! does not take both. Copies are sent only where they may help and are cheap: messages of at most
//! 1 KiB, of `lease` and `command`, while the path is young or has lost packets lately, and for at
//! most 5 % more bytes.
//!
//! Streams need no numbers on the wire: the n-th message of a class's stream is number n (from 0) on
//! both sides. A datagram carries class, number and message.
//!
//! Feed [`Hedge`] what was sent and what is known of the path; when [`Hedge::poll_timeout`] is due,
//! send what [`Hedge::poll_copy`] gives until it gives nothing.

use std::collections::VecDeque;
use std::time::Duration;

use novacron_protocol::wire::Class;

mod sequencer;

pub use sequencer::{Messages, SequenceError, Sequencer};

/// Longest message that is sent twice. It fits a packet of any path with room for the headers.
pub const COPY_BYTES_MAX: usize = 1 << 10;
/// Copies that may wait to be sent. Messages beyond it go once.
pub const COPIES_WAITING_MAX: usize = 64;
/// A copy goes no sooner: bursts of loss in a switch last about so long.
const DELAY_MIN: Duration = Duration::from_millis(2);
/// How long a path counts as young, or as lossy after a loss: at 0.1 % loss and a hundred packets a
/// second there is one in 10 s.
const MEMORY: Duration = Duration::from_secs(30);
/// One byte of copies for so many of other traffic: 5 %.
const TRAFFIC_PER_COPY: u64 = 20;
/// What may be saved up, which is also what a young path starts with: sixteen largest messages.
const CREDIT_MAX_BYTES: u64 = 16 << 10;
/// Earned without other traffic, or a quiet session's heartbeats could never be copied. No link
/// feels 1 KiB in a second.
const CREDIT_PER_SECOND_BYTES: u64 = 1 << 10;
/// What a datagram costs beside its message: headers of IP, UDP and QUIC, and the seal.
const OVERHEAD_BYTES: u64 = 64;

/// Decides which messages of one connection are sent twice, and when.
#[derive(Debug, Clone)]
pub struct Hedge<M> {
    waiting: VecDeque<Waiting<M>>,
    delay: Duration,
    /// Copies are worth it until then.
    active_until: Duration,
    lost_packets: u64,
    /// Bytes that copies may take, times [`TRAFFIC_PER_COPY`].
    credit: u64,
    credited_at: Duration,
}

/// A message to be sent once more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UrgentCopy<M> {
    pub class: Class,
    pub seq: u64,
    pub message: M,
}

#[derive(Debug, Clone)]
struct Waiting<M> {
    due_at: Duration,
    copy: UrgentCopy<M>,
}

impl<M: AsRef<[u8]>> Hedge<M> {
    /// For a new connection; its path is young.
    pub fn new(now: Duration) -> Self {
        Self {
            waiting: VecDeque::with_capacity(COPIES_WAITING_MAX),
            delay: DELAY_MIN,
            active_until: now + MEMORY,
            lost_packets: 0,
            credit: CREDIT_MAX_BYTES * TRAFFIC_PER_COPY,
            credited_at: now,
        }
    }

    /// A message has left on its stream, as number `seq` of its class.
    pub fn handle_sent(&mut self, now: Duration, class: Class, seq: u64, message: M) {
        let is_urgent = matches!(class, Class::Lease | Class::Command);
        let is_small = message.as_ref().len() <= COPY_BYTES_MAX;
        let has_room = self.waiting.len() < COPIES_WAITING_MAX;
        if !(is_urgent && is_small && has_room && now < self.active_until) {
            return;
        }
        // In the order of sending, also where the delay has just become shorter.
        let after = self.waiting.back().map_or(Duration::ZERO, |last| last.due_at);
        let due_at = after.max(now + self.delay);
        let copy = UrgentCopy { class, seq, message };
        self.waiting.push_back(Waiting { due_at, copy });
    }

    /// So many bytes of any kind have left on this connection, copies aside.
    pub fn handle_traffic(&mut self, bytes: u64) {
        self.earn(bytes);
    }

    /// The path's smoothed round-trip time.
    pub fn handle_srtt(&mut self, srtt: Duration) {
        self.delay = DELAY_MIN.max(srtt / 8);
    }

    /// How many packets of this connection were lost so far.
    pub fn handle_lost_packets(&mut self, now: Duration, total: u64) {
        if total > self.lost_packets {
            self.active_until = now + MEMORY;
        }
        self.lost_packets = total;
    }

    /// The connection has moved to another path, of which nothing is known.
    pub fn handle_new_path(&mut self, now: Duration) {
        self.active_until = now + MEMORY;
    }

    /// The peer has every message of the class below number `next`.
    pub fn handle_acked(&mut self, class: Class, next: u64) {
        self.waiting.retain(|waiting| waiting.copy.class != class || waiting.copy.seq >= next);
    }

    /// A message to send once more now. What is due and not affordable is not sent later either.
    pub fn poll_copy(&mut self, now: Duration) -> Option<UrgentCopy<M>> {
        self.earn_for(now);
        while self.waiting.front().is_some_and(|waiting| waiting.due_at <= now) {
            let copy = self.waiting.pop_front()?.copy;
            let bytes = copy.message.as_ref().len() as u64 + OVERHEAD_BYTES;
            if let Some(rest) = self.credit.checked_sub(bytes * TRAFFIC_PER_COPY) {
                self.credit = rest;
                return Some(copy);
            }
        }
        None
    }

    /// When the next copy is due.
    pub fn poll_timeout(&self) -> Option<Duration> {
        self.waiting.front().map(|waiting| waiting.due_at)
    }

    fn earn_for(&mut self, now: Duration) {
        let passed = now.saturating_sub(self.credited_at);
        let millis = u64::try_from(passed.as_millis()).unwrap_or(u64::MAX);
        self.credited_at += Duration::from_millis(millis);
        let earned = millis.saturating_mul(CREDIT_PER_SECOND_BYTES * TRAFFIC_PER_COPY) / 1_000;
        self.earn(earned);
    }

    fn earn(&mut self, credit: u64) {
        let most = CREDIT_MAX_BYTES * TRAFFIC_PER_COPY;
        self.credit = self.credit.saturating_add(credit).min(most);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const S: Duration = Duration::from_secs(1);
    const MS: Duration = Duration::from_millis(1);

    fn sent(hedge: &mut Hedge<Vec<u8>>, now: Duration, seq: u64, bytes: usize) {
        hedge.handle_sent(now, Class::Command, seq, vec![0; bytes]);
    }

    fn copies(hedge: &mut Hedge<Vec<u8>>, now: Duration) -> Vec<u64> {
        std::iter::from_fn(|| hedge.poll_copy(now)).map(|copy| copy.seq).collect()
    }

    #[test]
    fn a_copy_goes_an_eighth_of_a_round_trip_later_and_not_before() {
        for (srtt, delay) in [(Duration::ZERO, 2 * MS), (10 * MS, 2 * MS), (160 * MS, 20 * MS)] {
            let mut hedge = Hedge::new(Duration::ZERO);
            hedge.handle_srtt(srtt);
            sent(&mut hedge, S, 7, 200);
            assert_eq!(hedge.poll_timeout(), Some(S + delay));
            assert!(copies(&mut hedge, S + delay - Duration::from_nanos(1)).is_empty());
            assert_eq!(copies(&mut hedge, S + delay), [7]);
            assert_eq!((copies(&mut hedge, 2 * S), hedge.poll_timeout()), (vec![], None));
        }
    }

    #[test]
    fn only_small_urgent_messages_are_sent_twice() {
        let mut hedge = Hedge::new(Duration::ZERO);
        for (seq, class) in Class::ALL.into_iter().enumerate() {
            hedge.handle_sent(S, class, seq as u64, vec![0; COPY_BYTES_MAX]);
            hedge.handle_sent(S, class, 10 + seq as u64, vec![0; COPY_BYTES_MAX + 1]);
        }
        assert_eq!(copies(&mut hedge, 2 * S), [Class::Lease as u64, Class::Command as u64]);
    }

    #[test]
    fn a_calm_path_gets_no_copies_until_it_loses_a_packet_or_changes() {
        let mut hedge = Hedge::new(Duration::ZERO);
        let old = MEMORY;
        sent(&mut hedge, old, 1, 200);
        assert_eq!(hedge.poll_timeout(), None);
        hedge.handle_lost_packets(old, 1);
        sent(&mut hedge, old, 2, 200);
        assert_eq!(copies(&mut hedge, old + S), [2]);
        hedge.handle_lost_packets(2 * MEMORY, 1);
        sent(&mut hedge, 2 * MEMORY, 3, 200);
        assert_eq!(hedge.poll_timeout(), None);
        hedge.handle_new_path(2 * MEMORY);
        sent(&mut hedge, 2 * MEMORY, 4, 200);
        assert_eq!(copies(&mut hedge, 3 * MEMORY), [4]);
    }

    #[test]
    fn what_has_arrived_is_not_sent_again() {
        let mut hedge = Hedge::new(Duration::ZERO);
        (0..4).for_each(|seq| sent(&mut hedge, S, seq, 200));
        hedge.handle_acked(Class::Lease, 9);
        hedge.handle_acked(Class::Command, 3);
        assert_eq!(copies(&mut hedge, 2 * S), [3]);
    }

    #[test]
    fn copies_that_wait_are_bounded() {
        let mut hedge = Hedge::new(Duration::ZERO);
        (0..200).for_each(|seq| sent(&mut hedge, S, seq, 1));
        assert_eq!(hedge.waiting.len(), COPIES_WAITING_MAX);
    }

    proptest! {
        #[test]
        fn copies_take_five_percent_of_the_traffic_beside_the_first_16_kib_and_1_kib_a_second(
            steps in proptest::collection::vec(
                (0_u64..50, 1_usize..=COPY_BYTES_MAX, 0_u64..100_000), 1..300,
            ),
        ) {
            let mut hedge = Hedge::new(Duration::ZERO);
            let (mut now, mut traffic, mut extra) = (Duration::ZERO, 0, 0);
            for (seq, (wait_ms, bytes, others)) in steps.into_iter().enumerate() {
                now += Duration::from_millis(wait_ms);
                hedge.handle_new_path(now);
                sent(&mut hedge, now, seq as u64, bytes);
                hedge.handle_traffic(bytes as u64 + others);
                traffic += bytes as u64 + others;
                while let Some(copy) = hedge.poll_copy(now) {
                    extra += copy.message.len() as u64 + OVERHEAD_BYTES;
                }
                let allowed = traffic as f64 / 20.0
                    + (16 << 10) as f64
                    + 1024.0 * now.as_secs_f64();
                prop_assert!(extra as f64 <= allowed + 1.0, "{extra} of {allowed}");
            }
        }
    }
}
