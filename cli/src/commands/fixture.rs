//! What the tests of the commands share.

use clap::Parser as _;
use novacron_protocol::api::UtcTime;

use crate::invocation::{Invocation, Options};
use crate::output::table::Colour;

#[derive(Debug, clap::Parser)]
struct Line {
    #[command(flatten)]
    options: Options,
}

/// A run without colours at 2026-11-21T08:40:01Z.
pub(crate) fn invocation() -> Invocation {
    invoke(&[])
}

/// The same, with global options.
pub(crate) fn invoke(arguments: &[&str]) -> Invocation {
    let words = ["test"].iter().chain(arguments);
    let mut invocation = Invocation::new(Line::parse_from(words).options);
    let now: UtcTime = "2026-11-21T08:40:01Z".parse().unwrap();
    invocation.now = now.0;
    invocation.output.colour = Colour::Never;
    invocation
}
