//! The command line: nouns, each with its verbs.

pub(crate) mod cluster;
pub(crate) mod doctor;
pub(crate) mod dwcp;
pub(crate) mod event;
#[cfg(test)]
pub(crate) mod fixture;
pub(crate) mod host;
pub(crate) mod image;
pub(crate) mod member;
pub(crate) mod metrics;
pub(crate) mod operation;
pub(crate) mod token;
pub(crate) mod user;
pub(crate) mod vm;

use clap::{CommandFactory as _, Parser, Subcommand};
use clap_complete::Shell;

use crate::failure::Failure;
use crate::invocation::{Invocation, Options};

/// Runs fleets of virtual machines
///
/// A command is a noun and a verb. Things are called by name, by id, or by the beginning of an id
/// that nothing else begins with.
#[derive(Debug, Parser)]
#[command(name = "novacron", version, max_term_width = 100, disable_help_subcommand = true)]
#[command(after_help = "Examples:
  novacron cluster status
  novacron image import debian --disk debian-12.qcow2
  novacron vm create web1 --image debian --cpus 2 --memory 2GiB
  novacron vm list -o json
  novacron doctor")]
pub(crate) struct CommandLine {
    #[command(flatten)]
    options: Options,
    #[command(subcommand)]
    noun: Noun,
}

#[derive(Debug, Subcommand)]
enum Noun {
    /// Virtual machines
    #[command(subcommand)]
    Vm(vm::Verb),
    /// Images that VMs boot from
    #[command(subcommand)]
    Image(image::Verb),
    /// Hypervisor hosts
    #[command(subcommand)]
    Host(host::Verb),
    /// Members of the control plane
    #[command(subcommand)]
    Member(member::Verb),
    /// The cluster as a whole
    #[command(subcommand)]
    Cluster(cluster::Verb),
    /// The transport between members and hosts
    #[command(subcommand)]
    Dwcp(dwcp::Verb),
    /// Join tokens for new hosts and members
    #[command(subcommand)]
    Token(token::Verb),
    /// Users of the API
    #[command(subcommand)]
    User(user::Verb),
    /// Long-running requests
    #[command(subcommand)]
    Operation(operation::Verb),
    /// What happened, also the audit record
    #[command(subcommand)]
    Event(event::Verb),
    /// Check everything between this machine and a healthy cluster
    #[command(after_help = doctor::AFTER_HELP)]
    Doctor,
    /// Print a completion script for a shell
    #[command(after_help = "Examples:
  novacron completions bash > ~/.local/share/bash-completion/completions/novacron
  novacron completions fish > ~/.config/fish/completions/novacron.fish")]
    Completions {
        /// Shell to complete for
        shell: Shell,
    },
}

impl CommandLine {
    pub(crate) fn run(self) -> Result<(), Failure> {
        self.noun.run(&Invocation::new(self.options))
    }
}

impl Noun {
    fn run(self, invocation: &Invocation) -> Result<(), Failure> {
        match self {
            Self::Vm(verb) => vm::run(invocation, verb),
            Self::Image(verb) => image::run(invocation, verb),
            Self::Host(verb) => host::run(invocation, verb),
            Self::Member(verb) => member::run(invocation, verb),
            Self::Cluster(verb) => cluster::run(invocation, verb),
            Self::Dwcp(verb) => dwcp::run(invocation, verb),
            Self::Token(verb) => token::run(invocation, verb),
            Self::User(verb) => user::run(invocation, verb),
            Self::Operation(verb) => operation::run(invocation, verb),
            Self::Event(verb) => event::run(invocation, verb),
            Self::Doctor => doctor::run(invocation),
            Self::Completions { shell } => completions(invocation, shell),
        }
    }
}

fn completions(invocation: &Invocation, shell: Shell) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut CommandLine::command(), "novacron", &mut script);
    invocation.output.bytes(&script)
}

#[cfg(test)]
mod flows;
#[cfg(test)]
mod tests;
