//! The pure part of the agent: which desired sets are taken, one owner per VM, what is reported.
//!
//! Nothing in here knows a clock, a socket, a disk or a hypervisor. `now` is the time since an
//! arbitrary start, handed in by whoever drives it. To drive a [`Host`]:
//!
//! 1. make it from what the journal holds;
//! 2. feed it what happens through the `handle_*` functions, in the order in which it happens;
//! 3. after each of them call [`Host::poll_action`] until it gives `None` and carry the actions
//!    out, in any order and at any speed, answering each with the `handle_*` it names;
//! 4. call [`Host::handle_timeout`] when [`Host::poll_timeout`] has come;
//! 5. send [`Host::report`] whenever [`Host::report_version`] has grown.
//!
//! Invariants: nothing is done for a desired set before it is journalled; a VM has at most one
//! task in flight; an id that is missing from the desired set is never named in an action; without
//! a look at the hypervisor nothing is guessed.

pub mod desired;
pub mod host;
pub mod leadership;
pub mod rendezvous;
pub mod telemetry;
pub mod vm;

pub use desired::{Acceptance, DesiredRefusal, Journal, Persist};
pub use host::{Action, Host};
pub use vm::{Domain, DomainState, Outcome, Task};
