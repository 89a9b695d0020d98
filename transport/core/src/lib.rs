//! The pure part of DWCP: decisions without sockets, clocks or random sources.
//!
//! | module | decides |
//! |---|---|
//! | [`acp`] | how fast a connection may send |
//! | [`ass`] | which class of a connection sends next, how much, and why |
//! | [`backoff`] | how long to wait before the next dial |
//! | [`certificate`] | when to renew a certificate, and when to try again |
//! | [`class`] | how much of each class may wait |
//! | [`fallback`] | whether a session travels over UDP or through TCP |
//! | [`freshness`] | until when a telemetry sample is news |
//! | [`header`] | what the first byte of a stream says |
//! | [`hedge`] | which urgent messages are sent twice, and how copies become one again |
//! | [`lanes`] | how many parallel streams or connections a bulk transfer uses |
//! | [`link`] | what one link to a member does next |
//! | [`pba`] | how much a path will carry, and what that leaves for whom |
//!
//! Time comes in as an argument (`Duration` since an arbitrary start for spans, [`Timestamp`] for
//! what goes by the wall clock: ends of certificates, hours of a site), randomness as a `u64` of
//! entropy.
//!
//! [`Timestamp`]: novacron_protocol::Timestamp

pub mod acp;
pub mod ass;
pub mod backoff;
pub mod certificate;
pub mod class;
pub mod fallback;
pub mod freshness;
pub mod header;
pub mod hedge;
pub mod lanes;
pub mod link;
pub mod pba;

/// The share of `span` that `entropy` picks: uniform in `0..=span` when `entropy` is uniform.
fn share(span: std::time::Duration, entropy: u64) -> std::time::Duration {
    span.mul_f64(entropy as f64 / u64::MAX as f64)
}
