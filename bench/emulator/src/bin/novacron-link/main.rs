//! `novacron-link`: an emulated link by hand, and the emulator's proof against itself.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod calibrate;
mod ceiling;
mod run;

/// An emulated link between two network namespaces
#[derive(Debug, Parser)]
#[command(name = "novacron-link", version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a link, and run a command at one of its ends or wait for Ctrl-C
    Run(run::RunArguments),
    /// Measure rate, delay and loss of the link, and compare with what was asked for
    Calibrate(calibrate::CalibrateArguments),
    /// Find the highest rate that this machine carries within 2 %
    Ceiling(ceiling::CeilingArguments),
    /// Remove what killed programs left behind
    Sweep,
}

fn main() -> ExitCode {
    let done =
        novacron_emulator::guard_against_interrupts().and_then(|()| {
            match Arguments::parse().command {
                Command::Run(arguments) => run::run(&arguments),
                Command::Calibrate(arguments) => calibrate::run(&arguments),
                Command::Ceiling(arguments) => ceiling::run(&arguments),
                Command::Sweep => novacron_emulator::sweep().map(|()| ExitCode::SUCCESS),
            }
        });
    done.unwrap_or_else(|error| {
        eprintln!("novacron-link: {error:#}");
        ExitCode::FAILURE
    })
}
