//! `novacron-lab`: the demo, and labs by hand.

use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::{Parser, Subcommand, ValueEnum};
use novacron_tests::demo::{self, Ending};
use novacron_tests::lab::hypervisor::Driver;
use novacron_tests::lab::privilege::{self, Privilege};
use novacron_tests::lab::{Lab, Plan, binaries, interrupt, is_lab_name, teardown};

/// A NovaCron fleet on one machine, for show and for tests
#[derive(Parser)]
#[command(name = "novacron-lab", version)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the demo
    Demo {
        /// Take everything down at the end
        #[arg(long)]
        once: bool,
    },
    /// Start a fleet and leave it running
    Up {
        #[arg(long, default_value = "lab")]
        name: String,
        #[arg(long, default_value_t = 3)]
        members: u8,
        #[arg(long, default_value_t = 3)]
        hosts: u8,
        /// The hypervisor on each host; the best that works here when it is not given
        #[arg(long, value_enum)]
        driver: Option<DriverName>,
    },
    /// Take a fleet down, whoever started it
    Down {
        #[arg(default_value = "lab")]
        name: String,
        /// Every lab on this machine, and what killed ones left behind
        #[arg(long)]
        all: bool,
    },
}

#[derive(Clone, Copy, ValueEnum)]
enum DriverName {
    Qemu,
    Test,
    Sim,
}

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        // Ctrl-C speaks for itself.
        Err(_) if interrupt::is_interrupted() => interrupt::wait_for_the_end(),
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let args = Args::parse();
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    if privilege::acquire(&words)? == Privilege::Delegated {
        return Ok(());
    }
    match args.command {
        Command::Demo { once: true } => demo::run(Ending::TakeDown),
        Command::Demo { once: false } => demo::run(Ending::LeaveRunning),
        Command::Up { name, members, hosts, driver } => up(name, members, hosts, driver),
        Command::Down { all: true, .. } => {
            for name in teardown::existing()? {
                teardown::down(&name)?;
                println!("lab {name} is gone");
            }
            demo::down()
        }
        Command::Down { name, .. } if name == demo::NAME => demo::down(),
        Command::Down { name, .. } if is_lab_name(&name) => teardown::down(&name),
        Command::Down { name, .. } => bail!("{name:?} cannot be the name of a lab"),
    }
}

fn up(name: String, members: u8, hosts: u8, driver: Option<DriverName>) -> Result<()> {
    let driver = match driver {
        Some(DriverName::Qemu) => Driver::Qemu,
        Some(DriverName::Test) => Driver::LibvirtTest,
        Some(DriverName::Sim) => Driver::Simulated,
        None => Driver::best(),
    };
    let door = binaries::target_dir()?.join("lab").join(format!("novacron-{name}"));
    let mut lab = Lab::lay_out(Plan { name, members, hosts, driver })?;
    lab.start()?;
    lab.cli().write_wrapper(&door)?;
    lab.leave_running();
    println!("{}", door.display());
    Ok(())
}
