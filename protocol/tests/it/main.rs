//! The protocol against its own past, and against hostile bytes.
//!
//! [`samples`] has one value of every variant, [`golden`] keeps their bytes, [`arbitrary`] draws any
//! value, and [`decoders`] feeds every decoder what it must survive.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod arbitrary;
mod decoders;
mod golden;
mod samples;
