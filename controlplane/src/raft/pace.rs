//! How fast Raft's clock goes, and whose patience ends first.
//!
//! Raft counts ticks; how long one is follows from the network. The configured tick suits a LAN. Where
//! the slowest member is further away, ticks are longer, so that a round trip always fits well into
//! the time after which a leader counts as lost. Each member measures for itself: it needs no
//! agreement, because a longer tick only makes a member more patient.
//!
//! Patience is staggered: each member has a slot of its own, by its place in the configuration. Two
//! that lose their leader at the same moment do not stand for election at the same moment, and no
//! time is lost to split votes or to a wide random range.

use std::time::Duration;

use novacron_protocol::MemberId;
use novacron_protocol::limits::MEMBERS_MAX;

/// A tick is at least this part of the slowest round trip: with the default of 15 ticks for the
/// shortest patience, one round trip takes at most a fifth of it.
const TICKS_PER_ROUND_TRIP: u32 = 3;
/// No network is so slow that a member should wait longer for each tick.
const TICK_MAX: Duration = Duration::from_secs(1);

/// Ticks that a member waits for its leader: `min..max`, drawn by Raft.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Patience {
    pub(super) min_ticks: usize,
    pub(super) max_ticks: usize,
}

impl Patience {
    /// The slot of `own` among `members` (sorted), from `election_ticks` up. A slot is as wide as a
    /// third of the shortest patience: wider than an election takes on the network that it suits.
    pub(super) fn of(own: MemberId, members: &[MemberId], election_ticks: usize) -> Self {
        let slots = MEMBERS_MAX as u64;
        let place = members.iter().position(|member| *member == own);
        let place = place.unwrap_or_else(|| (own.0 % slots) as usize);
        let width = (election_ticks / 3).max(2);
        let min_ticks = election_ticks + place * width;
        Self { min_ticks, max_ticks: min_ticks + width }
    }
}

/// The tick for a network whose slowest round trip takes `slowest`.
pub(super) fn tick(configured: Duration, slowest: Duration) -> Duration {
    configured.max(slowest / TICKS_PER_ROUND_TRIP).min(TICK_MAX.max(configured))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patiences_of_members_do_not_overlap() {
        let members: Vec<MemberId> = [2, 5, 9].map(MemberId).to_vec();
        let slots: Vec<Patience> =
            members.iter().map(|own| Patience::of(*own, &members, 15)).collect();
        assert_eq!(slots[0], Patience { min_ticks: 15, max_ticks: 20 });
        assert!(slots.windows(2).all(|pair| pair[0].max_ticks <= pair[1].min_ticks), "{slots:?}");
    }

    #[test]
    fn a_distant_member_slows_the_clock_and_a_near_one_does_not() {
        let lan = Duration::from_millis(10);
        assert_eq!(tick(lan, Duration::from_micros(300)), lan);
        assert_eq!(tick(lan, Duration::from_millis(90)), Duration::from_millis(30));
        assert_eq!(tick(lan, Duration::from_secs(60)), TICK_MAX);
        assert_eq!(tick(TICK_MAX * 2, Duration::ZERO), TICK_MAX * 2);
    }
}
