//! What every command has at hand: the global options, the output, and a client when it asks.

use std::path::PathBuf;
use std::time::Instant;

use novacron_protocol::Timestamp;

use crate::client::Client;
use crate::clock;
use crate::context::{self, Context, Endpoint};
use crate::failure::Failure;
use crate::output::{Format, Output};

/// Where help lists them, apart from a command's own.
const GLOBAL: &str = "Global options";

/// Options that every command takes.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Context file: endpoints, CA and your token [default: ~/.config/novacron/config.toml]
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "NOVACRON_CONFIG",
        hide_env_values = true,
        help_heading = GLOBAL
    )]
    config: Option<PathBuf>,

    /// Member to call instead of those in the context file; may be given again for fail-over
    #[arg(long = "endpoint", global = true, value_name = "URL", help_heading = GLOBAL)]
    endpoints: Vec<Endpoint>,

    /// Form of the answer: columns for people, or what the API answered
    #[arg(
        short,
        long,
        global = true,
        value_name = "FORM",
        default_value = "table",
        help_heading = GLOBAL
    )]
    output: Format,
}

/// One run of the command.
#[derive(Debug)]
pub(crate) struct Invocation {
    options: Options,
    pub(crate) output: Output,
    /// The wall clock when it began, for ages.
    pub(crate) now: Timestamp,
    started: Instant,
}

impl Invocation {
    pub(crate) fn new(options: Options) -> Self {
        let output = Output::to_stdout(options.output);
        Self { options, output, now: clock::wall(), started: Instant::now() }
    }

    /// How long it has taken so far: `3.2 s`.
    pub(crate) fn took(&self) -> String {
        format!("{:.1} s", self.started.elapsed().as_secs_f64())
    }

    /// The context file that was named, or the usual one.
    pub(crate) fn context_path(&self) -> Result<PathBuf, Failure> {
        self.options.config.clone().or_else(context::default_path).ok_or_else(|| {
            Failure::new("cannot tell where the context file is: HOME is not set")
                .hint("name it with --config or NOVACRON_CONFIG")
        })
    }

    pub(crate) fn context(&self) -> Result<Context, Failure> {
        Context::load(&self.context_path()?, &self.options.endpoints)
    }

    pub(crate) fn client(&self) -> Result<Client, Failure> {
        Ok(Client::new(&self.context()?))
    }
}
