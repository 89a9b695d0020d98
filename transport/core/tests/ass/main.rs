//! The stream scheduler against scripts that people can read and models that are slow and plain.

#![allow(clippy::unwrap_used, reason = "a test stops where it fails")]

mod caps;
mod deadlines;
mod fluid;
mod golden;
mod link;
mod robust;
mod shares;
mod urgent;
