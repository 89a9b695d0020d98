//! Which member takes a host's telemetry: highest random weight (Thaler and Ravishankar, 1998).
//!
//! Every agent picks by itself, hosts spread evenly over members, and a member that comes or goes
//! moves only the hosts that it takes or leaves.

use novacron_protocol::{Digest, HostId, MemberId};

/// The member among `members` that takes the telemetry of `host`.
pub fn choose(host: HostId, members: impl IntoIterator<Item = MemberId>) -> Option<MemberId> {
    members.into_iter().max_by_key(|member| (weight(host, *member), *member))
}

fn weight(host: HostId, member: MemberId) -> [u8; 32] {
    let mut bytes = [0; 24];
    bytes[..16].copy_from_slice(host.as_bytes());
    bytes[16..].copy_from_slice(&member.0.to_le_bytes());
    Digest::of(&bytes).0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts() -> impl Iterator<Item = HostId> {
        (0..3000).map(|id| format!("00000000-0000-4000-8000-{id:012x}").parse().unwrap())
    }

    #[test]
    fn hosts_spread_evenly_over_members() {
        let members = [1, 2, 3].map(MemberId);
        for member in members {
            let share = hosts().filter(|host| choose(*host, members) == Some(member)).count();
            assert!((900..1100).contains(&share), "{member} takes {share} of 3000");
        }
        assert_eq!(hosts().find_map(|host| choose(host, [])), None);
    }

    #[test]
    fn a_member_that_goes_moves_only_its_own_hosts() {
        for host in hosts() {
            let before = choose(host, [1, 2, 3].map(MemberId));
            let after = choose(host, [1, 3].map(MemberId));
            assert!(before == after || before == Some(MemberId(2)));
        }
    }
}
