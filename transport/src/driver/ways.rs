//! The ways of an endpoint's packets: its UDP socket, and tunnels where UDP is blocked.
//!
//! A tunnel stands for an address. On the dialling side that is the address that was dialled, so
//! that the connection notices nothing. On the accepting side it is an address made up for the
//! tunnel, out of a block that no network routes (RFC 6666), so that QUIC takes a change between
//! tunnel and UDP for the migration that it is.

use std::collections::HashMap;
use std::io;
use std::net::{Ipv6Addr, SocketAddr};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use quinn_proto::Transmit;

use super::socket::Socket;
use super::tunnel::Tunnel;

/// All ways of one endpoint.
#[derive(Debug)]
pub(super) struct Ways {
    pub(super) udp: Socket,
    tunnels: RwLock<HashMap<SocketAddr, Arc<Tunnel>>>,
    /// As many as `tunnels`, so that who has none need not lock.
    count: AtomicUsize,
    accepted: AtomicUsize,
}

impl Ways {
    pub(super) fn new(udp: Socket) -> Self {
        Self {
            udp,
            tunnels: RwLock::default(),
            count: AtomicUsize::new(0),
            accepted: AtomicUsize::new(0),
        }
    }

    /// Sends to whatever stands for the destination, or says `WouldBlock`.
    pub(super) fn try_send(&self, transmit: &Transmit, bytes: &[u8]) -> io::Result<()> {
        match self.tunnel(transmit.destination) {
            Some(tunnel) => {
                let segment_bytes = transmit.segment_size.unwrap_or(transmit.size);
                tunnel.try_send(&bytes[..transmit.size], segment_bytes)
            }
            None => self.udp.try_send(transmit, bytes),
        }
    }

    /// Waits until more may be sent to `destination`.
    pub(super) async fn writable(&self, destination: SocketAddr) {
        match self.tunnel(destination) {
            Some(tunnel) => tunnel.writable().await,
            // Fails only when the socket is gone, and then so is all else.
            None => drop(self.udp.writable().await),
        }
    }

    pub(super) fn tunnel(&self, addr: SocketAddr) -> Option<Arc<Tunnel>> {
        if self.count.load(Ordering::Acquire) == 0 {
            return None;
        }
        self.tunnels.read().unwrap_or_else(PoisonError::into_inner).get(&addr).cloned()
    }

    /// The address behind a made-up one; others are what they are.
    pub(super) fn real_address(&self, addr: SocketAddr) -> SocketAddr {
        self.tunnel(addr).map_or(addr, |tunnel| tunnel.peer())
    }

    /// Packets to `addr` go through a tunnel from now on.
    pub(super) fn divert(&self, addr: SocketAddr, tunnel: Arc<Tunnel>) {
        let mut tunnels = self.tunnels.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(old) = tunnels.insert(addr, tunnel) {
            old.close();
        }
        self.count.store(tunnels.len(), Ordering::Release);
    }

    /// Packets to `addr` go over UDP again. If `only` is given, just when that is their tunnel.
    pub(super) fn undivert(&self, addr: SocketAddr, only: Option<&Arc<Tunnel>>) {
        let mut tunnels = self.tunnels.write().unwrap_or_else(PoisonError::into_inner);
        let is_meant = |tunnel: &Arc<Tunnel>| only.is_none_or(|only| Arc::ptr_eq(only, tunnel));
        if tunnels.get(&addr).is_some_and(is_meant)
            && let Some(tunnel) = tunnels.remove(&addr)
        {
            tunnel.close();
        }
        self.count.store(tunnels.len(), Ordering::Release);
    }

    /// An address for a tunnel that was accepted.
    pub(super) fn made_up_address(&self) -> SocketAddr {
        let number = self.accepted.fetch_add(1, Ordering::Relaxed) as u64;
        let ip = Ipv6Addr::from((0x0100_u128 << 112) | u128::from(number));
        (ip, 1).into()
    }
}
