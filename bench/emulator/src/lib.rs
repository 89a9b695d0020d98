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
pub mod probe;
mod pump;
mod registry;
mod tun;

pub use direction::{Direction, Traffic};
pub use emulator::{Emulator, Setup};
pub use end::End;
pub use gate::{Alias, Udp};
pub use registry::{guard_against_interrupts, sweep, take_down};
