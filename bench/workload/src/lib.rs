//! What transports are measured with: the same work for all, told in the same words.
//!
//! ```text
//!   plan ──> sender ── bulk: streams as fast as they go ─────> meter ──> bytes per 100 ms
//!                   ── commands: 200 bytes, 50 a second ─────> answer
//!                   <───────────────── answers, with stamps ──        ──> one-way, round trip
//! ```
//! Both ends run on one machine, so the stamps are of one clock ([`clock`]). Each end tells what
//! happens as [`Event`]s, one JSON line each on standard output; the harness reads them. A system
//! under test is a [`Carrier`], or just [`streams::Streams`]. Nothing here knows what it measures.

pub mod arguments;
pub mod bulk;
pub mod clock;
pub mod command;
pub mod event;
pub mod meter;
pub mod sender;
pub mod streams;

pub use arguments::{SendArguments, ServeArguments, Span};
pub use bulk::Feed;
pub use event::Event;
pub use meter::Meter;
pub use sender::{Carrier, Incoming, Outgoing};
