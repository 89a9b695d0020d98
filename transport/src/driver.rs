//! Drives QUIC: an async shell of our own around quinn-proto's state machines.
//!
//! ```text
//!   writers ──> Outgoing ──ASS──> quinn-proto ──poll_transmit──> socket
//!               per class   ^                      ^
//!                           └── ACP: how much may leave now ──┘
//!   readers <── quinn-proto <── Endpoint's receiver <── socket
//! ```
//!
//! quinn's own driver moves what is written straight into its send buffers, where nothing can
//! overtake it, and paces by a formula that a congestion controller cannot change. Here data stays
//! with the driver until the moment it may leave: each turn asks ACP how many bytes that are, asks
//! ASS whose they are, and hands just these to quinn-proto. Nothing waits behind bulk but the
//! burst that is being sent, and a burst is sent in one system call of up to
//! [`socket::SEGMENTS_MAX`] packets.
//!
//! | module | noun |
//! |---|---|
//! | [`endpoint`] | the socket's receiver and the list of connections |
//! | [`connection`] | one connection: its handle, its state, its waiters |
//! | [`turn`] | one turn of a connection: timers, filling, sending |
//! | [`outgoing`] | bytes that wait to be sent, by class and stream |
//! | [`stream`] | the two ends of a stream |
//! | [`forecast`] | what the path will carry |
//! | [`goodput`] | what left in the last second |
//! | [`congestion`] | ACP as quinn-proto's congestion controller |
//! | [`ways`] | where packets go: the UDP socket or a tunnel |
//! | [`socket`] | UDP with segmentation offload |
//! | [`tunnel`] | packets through TCP and TLS, where UDP is blocked |
//! | [`tunnels`] | opens and accepts these |
//!
//! A lock order holds throughout: the endpoint's state is never locked while a connection's is.

mod congestion;
mod connection;
mod endpoint;
mod forecast;
mod goodput;
mod outgoing;
mod socket;
mod stream;
mod tunnel;
mod tunnels;
mod turn;
mod ways;

pub(crate) use congestion::AcpFactory;
pub(crate) use connection::Connection;
pub(crate) use endpoint::{Endpoint, Incoming};
pub(crate) use stream::{ReadError, RecvStream, SendStream, WriteError};
