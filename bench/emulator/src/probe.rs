//! What a link's ends see of it: the emulator measured from outside, with sockets of the kernel.
//!
//! The senders here know no congestion control (or the kernel's own), so that nothing but the link
//! is measured. Both ends are threads of one process and share its clock.

pub mod datagrams;
pub mod round_trips;
pub mod tcp;

use std::thread;
use std::time::{Duration, Instant};

/// Bytes that IPv4 and UDP put before a datagram.
pub const UDP_HEADER_BYTES: usize = 28;

/// Sleeps to a time as exactly as the kernel can without spinning.
fn sleep_until(time: Instant) {
    let pause = time.saturating_duration_since(Instant::now());
    if !pause.is_zero() {
        thread::sleep(pause);
    }
}

/// The value below which `share` of the values are; they get sorted. Zero of none.
pub fn quantile(values: &mut [Duration], share: f64) -> Duration {
    values.sort_unstable();
    let at = (values.len() as f64 * share) as usize;
    values.get(at.min(values.len().saturating_sub(1))).copied().unwrap_or_default()
}
