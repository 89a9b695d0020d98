//! An emulated link between two network namespaces.
//!
//! ```text
//! namespace a                 this process                   namespace b
//!  10.78.0.1  link0 ──> gate ──> model (novacron-link) ──> link0  10.78.0.2
//!                   <── model (its own configuration) <── gate <──
//! ```
//! Whatever speaks IPv4 runs at the ends, unchanged: kernel TCP and our QUIC see the same link. The
//! gate blocks UDP and plays the NAT; the model does all the rest, packet by packet as they are on
//! the wire, also where the kernel hands over many in one piece ([`Traffic`] says how many).
//!
//! How good it is: `novacron-link calibrate` and `novacron-link ceiling` tell for the machine at hand.
//! On two cores shared with both ends it carried within 2 % of what was asked: 500 Mbit/s of UDP with
//! a system call for each datagram (the sender's own limit is near), 6 Gbit/s of UDP with
//! segmentation offload, 1 Gbit/s of kernel TCP; idle round trips of 2 ms were within 40 us. What
//! else runs on the machine hardly matters to the link (its threads are real-time ones), but does to
//! the programs at its ends. [`Traffic`] says when the link itself was late.
//!
//! ```no_run
//! # fn main() -> anyhow::Result<()> {
//! use novacron_emulator::{Direction, Setup, Udp};
//! use novacron_link::{LinkConfig, Loss, Rate};
//! use std::net::TcpListener;
//! use std::time::Duration;
//!
//! let rtt = Duration::from_millis(150);
//! let config = LinkConfig::path(Rate::mbps(100.0), rtt, Loss::percent(1.0), 2.0);
//! let link = Setup::symmetric(config, 7).create()?;
//! let listener = link.b().enter(|| TcpListener::bind("10.78.0.2:0"))??;
//! link.a().command("ping").arg("10.78.0.2").spawn()?;
//! link.configure(Direction::AToB, |config| config.rate = Rate::mbps(20.0));
//! link.black_out(Duration::from_secs(30));
//! link.set_udp(Udp::Blocked);
//! println!("{:?}", link.traffic(Direction::AToB));
//! # Ok(())
//! # }
//! ```

pub mod calibration;
mod checksum;
mod direction;
mod emulator;
mod end;
mod frame;
mod gate;
mod precedence;
pub mod probe;
mod pump;
mod registry;
mod tun;

pub use direction::{Direction, Traffic};
pub use emulator::{Emulator, Setup};
pub use end::End;
pub use gate::{Alias, Udp};
pub use registry::{guard_against_interrupts, sweep, take_down};
