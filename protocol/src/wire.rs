//! Messages between processes, by family.
//!
//! | family | from, to | carried by |
//! |---|---|---|
//! | [`hello`] | both | first frame of every session |
//! | [`join`] | newcomer, member | the join ALPN, before there is a certificate |
//! | [`agent`] | agent, member | long-lived streams, one per class |
//! | [`member`] | member, member | long-lived streams and calls |
//! | [`raft`] | member, member | `lease`-class frames, our own bounded encoding of raft messages |
//! | [`call`] | both | one question and one answer on a stream of their own |
//! | [`telemetry`] | agent, member | `telemetry`-class frames |

pub mod agent;
pub mod call;
pub mod class;
pub mod hello;
pub mod join;
pub mod member;
pub mod raft;
pub mod telemetry;

pub use class::Class;
