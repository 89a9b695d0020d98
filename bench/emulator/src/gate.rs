//! What stands at the entry of a direction: a firewall for UDP, and an address translator.

use std::net::Ipv4Addr;

use crate::frame::{Frame, UDP};

/// Whether UDP gets through.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Udp {
    #[default]
    Open,
    /// It vanishes without a word, as at most firewalls.
    Blocked,
}

/// How a translator between the ends shows end A to end B. Giving A another alias, or the first
/// one, is a NAT rebinding: A notices nothing, B sees the same flow come from elsewhere, and what B
/// sends to where it came from before is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Alias {
    pub address: Ipv4Addr,
    /// Added to each port of A; wraps around.
    pub port_shift: u16,
}

/// What a translator does to one direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Translation {
    #[default]
    None,
    /// Packets of A.
    Source(Alias),
    /// Packets to A, which has this address.
    Target { alias: Alias, address: Ipv4Addr },
}

/// The entry of a direction.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Gate {
    pub(crate) udp: Udp,
    pub(crate) translation: Translation,
}

/// Why a packet did not get in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    Blocked,
    /// It is for an address and port that no longer belong to anybody.
    Unmapped,
}

impl Gate {
    pub(crate) fn admit(&self, mut frame: Frame) -> Result<Frame, Refusal> {
        if self.udp == Udp::Blocked && frame.protocol() == UDP {
            return Err(Refusal::Blocked);
        }
        match self.translation {
            Translation::None => {}
            Translation::Source(alias) => frame.translate_source(alias.address, alias.port_shift),
            Translation::Target { alias, address } if frame.target() == alias.address => {
                frame.translate_target(address, alias.port_shift.wrapping_neg());
            }
            Translation::Target { .. } => return Err(Refusal::Unmapped),
        }
        Ok(frame)
    }
}
