//! One direction of a network link, as a pure value.
//!
//! ```text
//! handle_packet ─> MTU ─> queue ─> transmitter (rate) ─> blackout, loss ─> delay, jitter,
//!                        (drop-tail or CoDel)            reorder, duplicate ─> poll_delivery
//! ```
//!
//! The same seed, configuration and packets give the same deliveries, on every machine and however
//! often the link is polled: what happens inside happens at its own exact time, not at the time of
//! the call that learns of it. Loss comes after the queue, as on a radio, so a lost packet has used
//! its share of the rate.
//!
//! To drive it: [`Link::handle_packet`] for each packet, [`Link::poll_delivery`] until it gives
//! `None`, then sleep until [`Link::poll_timeout`]. `now` is the time since a start of the caller's
//! choice, and never goes back. Sizes are those of IP packets, headers included.

mod codel;
mod config;
mod counters;
mod link;
mod loss;
mod queue;
mod random;
mod rate;
pub mod trace;
mod wire;

pub use config::{LinkConfig, Reorder};
pub use counters::Counters;
pub use link::Link;
pub use loss::Loss;
pub use queue::Queue;
pub use rate::Rate;
