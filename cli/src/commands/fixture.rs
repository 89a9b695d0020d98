//! What the tests of the commands share.

use clap::Parser as _;
use novacron_protocol::api::UtcTime;

use super::CommandLine;
use crate::client::fake::{FakeAuthority, FakeMember};
use crate::failure::Failure;
use crate::invocation::Invocation;
use crate::output::Sink;
use crate::output::table::Colour;

/// A run without colours at 2026-11-21T08:40:01Z.
pub(crate) fn invocation() -> Invocation {
    invoke(CommandLine::parse_from(["novacron", "doctor"]).options)
}

fn invoke(options: crate::invocation::Options) -> Invocation {
    let mut invocation = Invocation::new(options);
    let now: UtcTime = "2026-11-21T08:40:01Z".parse().unwrap();
    invocation.now = now.0;
    invocation.output.colour = Colour::Never;
    invocation.output.sink = Sink::Memory(std::cell::RefCell::default());
    invocation
}

/// Runs a command line against members, the first of them first. Gives what went to stdout.
pub(crate) fn run(
    authority: &FakeAuthority,
    members: &[&FakeMember],
    line: &str,
) -> (String, Result<(), Failure>) {
    let dir = tempfile::tempdir().unwrap();
    let config = authority.write_context(dir.path());
    let mut words = vec!["novacron".to_owned(), "--config".to_owned(), config];
    for member in members {
        words.extend(["--endpoint".to_owned(), member.endpoint.to_string()]);
    }
    words.extend(line.split_whitespace().map(str::to_owned));
    let line = CommandLine::parse_from(words);
    let invocation = invoke(line.options);
    let outcome = line.noun.run(&invocation);
    let Sink::Memory(memory) = invocation.output.sink else { unreachable!("set above") };
    (String::from_utf8(memory.into_inner()).unwrap(), outcome)
}
