//! DWCP over QUIC: who talks to whom, and over which streams.
//!
//! | module | noun |
//! |---|---|
//! | [`authority`] | the cluster CA: signs hosts and members |
//! | [`identity`] | one process's key, certificate and CA, on disk and in memory |
//! | [`certificate`] | what a certificate says: cluster, peer, serial, life |
//! | [`endpoint`] | the UDP socket: dials sessions, accepts sessions and joins |
//! | [`session`] | one mutually authenticated connection: class streams and calls |
//! | [`call`] | one question, one answer, and the [`body`] that may follow either |
//! | [`links`] | keeps one warm session to every member |
//! | [`join`] | a newcomer's only exchange: token in, certificate out |
//! | [`renew`] | new certificates at two thirds of the old one's life |
//! | [`revocation`] | who may no longer talk, live sessions included |
//! | [`driver`] | moves packets: our shell around quinn-proto
//! | [`stats`] | how a session is doing, for people and programs |
//! | [`close`] | why a session ended, in words and as QUIC close codes |
//!
//! Decisions without I/O (backoff, when to renew, link states, class priorities) live in
//! `novacron-transport-core`. Every byte from a peer is bounded before it is read and decoded
//! through one fallible function; a peer that breaks the protocol loses its session with a reason.

pub mod authority;
pub mod body;
pub mod call;
pub mod certificate;
mod clock;
pub mod close;
mod driver;
pub mod endpoint;
pub mod identity;
pub mod join;
pub mod links;
mod quic;
pub mod renew;
pub mod revocation;
pub mod session;
pub mod stats;
mod tls;

pub use authority::{AuthorityError, ClusterAuthority};
pub use body::Body;
pub use call::IncomingCall;
pub use certificate::{PeerCertificate, Serial};
pub use close::CloseReason;
pub use endpoint::{ConnectError, Endpoint, EndpointOptions, Incoming, Refused, Tcp};
pub use identity::{Identity, IdentityStore, KeyRequest};
pub use join::{JoinError, JoinExchange};
pub use links::{LinkEvent, Links};
pub use novacron_protocol::wire::hello::Peer;
pub use novacron_transport_core::fallback::Way;
pub use novacron_transport_core::pba::Prediction;
pub use revocation::RevokedSet;
pub use session::{Session, SessionError};
pub use stats::{ClassStats, SessionStats};
