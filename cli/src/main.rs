//! `novacron`: the operator's command.
//!
//! A command line is parsed into a noun and a verb ([`commands`]), which calls the admin API of
//! the cluster that the context file names ([`context`], [`client`]) and prints the answer
//! ([`output`]). What goes wrong ends as one [`failure::Failure`], told here and nowhere else.

mod client;
mod clock;
mod commands;
mod context;
mod failure;
mod import;
mod interrupt;
mod invocation;
mod output;
mod progress;
mod resolve;
mod wait;

use std::process::ExitCode;

use clap::Parser as _;

use commands::CommandLine;

fn main() -> ExitCode {
    let line = CommandLine::parse();
    match line.run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            output::tell(&failure);
            ExitCode::from(failure.exit_code())
        }
    }
}
