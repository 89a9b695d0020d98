//! The admin API as clients meet it: a member of one, its real log, real TLS, real HTTP.

#![allow(clippy::unwrap_used, reason = "a test stops where it fails")]

mod access;
mod fixture;
mod images;
mod input;
mod reading;
mod vms;
