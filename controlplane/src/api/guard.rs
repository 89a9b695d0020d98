//! Keeps failed logins from being free: a bound per address.
//!
//! Secrets have 256 random bits, so nobody guesses one; the bound is there so that guessing costs
//! neither reads of the cluster nor space in the log. A valid token is let in whatever others
//! behind the same address did.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::clock::Clock;

/// Failures of one address in one window after which it is answered with 429: far above what
/// somebody with an old token in a script produces by hand.
const FAILURES_MAX: u32 = 20;
const WINDOW: Duration = Duration::from_secs(60);
/// Addresses remembered, some 64 bytes each. At the bound those whose window has passed are
/// forgotten, then all: an attacker with that many addresses is not stopped by counting them.
const ADDRESSES_MAX: usize = 10_000;

/// What is remembered of failed logins.
#[derive(Debug)]
pub(crate) struct Guard {
    clock: Clock,
    state: Mutex<Ledger>,
}

#[derive(Debug, Default)]
struct Ledger {
    windows: BTreeMap<IpAddr, Window>,
}

#[derive(Debug, Clone, Copy)]
struct Window {
    since: Duration,
    failures: u32,
}

impl Guard {
    pub(crate) fn new(clock: Clock) -> Self {
        Self { clock, state: Mutex::default() }
    }

    /// Counts a failure. `Err` is how long this address must wait to be answered in earnest.
    pub(crate) fn count_failure(&self, address: IpAddr) -> Result<(), Duration> {
        self.locked().count_failure(self.clock.now(), network_of(address))
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, Ledger> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ledger {
    fn count_failure(&mut self, now: Duration, address: IpAddr) -> Result<(), Duration> {
        if self.windows.len() >= ADDRESSES_MAX && !self.windows.contains_key(&address) {
            self.windows.retain(|_, window| now < window.since + WINDOW);
            if self.windows.len() >= ADDRESSES_MAX {
                self.windows.clear();
            }
        }
        let window = self.windows.entry(address).or_insert(Window { since: now, failures: 0 });
        if now >= window.since + WINDOW {
            *window = Window { since: now, failures: 0 };
        }
        window.failures = window.failures.saturating_add(1);
        match window.failures > FAILURES_MAX {
            true => Err(window.since + WINDOW - now),
            false => Ok(()),
        }
    }
}

/// What is counted as one address: for IPv6 its /64, which one host has for itself.
fn network_of(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn address(n: u32) -> IpAddr {
        IpAddr::V4(std::net::Ipv4Addr::from_bits(n))
    }

    #[test]
    fn an_address_is_told_to_wait_after_its_share_and_no_other_address_is() {
        let mut ledger = Ledger::default();
        for _ in 0..FAILURES_MAX {
            assert_eq!(ledger.count_failure(SECOND, address(1)), Ok(()));
        }
        assert_eq!(ledger.count_failure(2 * SECOND, address(1)), Err(WINDOW - SECOND));
        assert_eq!(ledger.count_failure(2 * SECOND, address(2)), Ok(()));
        assert_eq!(ledger.count_failure(SECOND + WINDOW, address(1)), Ok(()));
    }

    #[test]
    fn the_ledger_never_outgrows_its_bound() {
        let mut ledger = Ledger::default();
        for n in 0..3 * u32::try_from(ADDRESSES_MAX).unwrap() {
            let _ = ledger.count_failure(SECOND, address(n));
            assert!(ledger.windows.len() <= ADDRESSES_MAX);
        }
    }

    #[test]
    fn neighbours_in_one_ipv6_subnet_are_one_address() {
        let one: IpAddr = "2001:db8:1:2::1".parse().unwrap();
        let other: IpAddr = "2001:db8:1:2:ffff::9".parse().unwrap();
        assert_eq!(network_of(one), network_of(other));
        let mapped: IpAddr = "::ffff:10.0.0.1".parse().unwrap();
        assert_eq!(network_of(mapped), "10.0.0.1".parse::<IpAddr>().unwrap());
    }
}
