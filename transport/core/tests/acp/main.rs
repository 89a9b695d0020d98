//! The congestion controller in a simulated network: what it must reach, and stories of how.
//!
//! `cargo test -p novacron-transport-core --test acp -- --nocapture` prints the figures.

mod cubic;
mod fairness;
mod figures;
mod flow;
mod hostile;
mod random;
mod sim;
mod story;
