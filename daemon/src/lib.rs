//! What both daemons share: configuration, clock, logging, talking to systemd.

pub mod clock;
pub mod config;
pub mod log;
pub mod systemd;

pub use clock::Clock;
