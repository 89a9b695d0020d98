//! What a command prints on stdout: a table for people, or JSON or YAML for programs.
//!
//! The answer goes to stdout and nothing else does; progress, notes and errors go to stderr. JSON
//! and YAML carry the member's own answer, so a field newer than this command is not lost.

pub(crate) mod age;
pub(crate) mod sanitize;
pub(crate) mod sparkline;
pub(crate) mod table;
pub(crate) mod yaml;

use std::io::{self, IsTerminal as _, Write as _};

use serde_json::Value;

use crate::failure::Failure;
use table::{Colour, Fields, Table, Tone};

/// The form of the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    Table,
    Json,
    Yaml,
}

/// Where and how a command prints.
#[derive(Debug)]
pub(crate) struct Output {
    pub(crate) format: Format,
    pub(crate) colour: Colour,
    pub(crate) sink: Sink,
}

/// Where the answer goes.
#[derive(Debug)]
pub(crate) enum Sink {
    Stdout,
    #[cfg(test)]
    Memory(std::cell::RefCell<Vec<u8>>),
}

impl Output {
    /// Colours only where a person looks at stdout and has not asked for none
    /// (<https://no-color.org>).
    pub(crate) fn to_stdout(format: Format) -> Self {
        Self { format, colour: colour_for(io::stdout().is_terminal()), sink: Sink::Stdout }
    }

    /// The value for programs, or what `people` makes of it for people.
    pub(crate) fn show(
        &self,
        value: &Value,
        people: impl FnOnce() -> Result<String, Failure>,
    ) -> Result<(), Failure> {
        match self.format {
            Format::Table => self.text(&people()?),
            Format::Json => self.text(&format!("{value:#}\n")),
            Format::Yaml => self.text(&yaml::to_yaml(value)),
        }
    }

    /// One value of a stream: a line of JSON, or a YAML document.
    pub(crate) fn item(
        &self,
        value: &Value,
        people: impl FnOnce() -> String,
    ) -> Result<(), Failure> {
        match self.format {
            Format::Table => self.text(&people()),
            Format::Json => self.text(&format!("{value}\n")),
            Format::Yaml => self.text(&format!("---\n{}", yaml::to_yaml(value))),
        }
    }

    /// Text as it is, flushed, because the next line may be a long time coming.
    pub(crate) fn text(&self, text: &str) -> Result<(), Failure> {
        self.bytes(text.as_bytes())
    }

    pub(crate) fn bytes(&self, bytes: &[u8]) -> Result<(), Failure> {
        match &self.sink {
            Sink::Stdout => {
                let mut stdout = io::stdout().lock();
                stdout.write_all(bytes)?;
                stdout.flush()?;
            }
            #[cfg(test)]
            Sink::Memory(memory) => memory.borrow_mut().extend_from_slice(bytes),
        }
        Ok(())
    }

    /// A table for people; an empty one is nothing on stdout and a note on stderr.
    pub(crate) fn table_or(&self, table: &Table, when_empty: &str) -> String {
        if table.is_empty() {
            note(when_empty);
            return String::new();
        }
        table.render(self.colour)
    }

    pub(crate) fn fields(&self, fields: &Fields) -> String {
        fields.render(self.colour)
    }
}

/// A line on stderr that is neither the answer nor an error.
pub(crate) fn note(text: &str) {
    let label = Tone::Dim.paint("note:", colour_for(io::stderr().is_terminal()));
    // Nobody reads stderr: then there is nobody to tell either.
    let _ = writeln!(io::stderr(), "{label} {}", sanitize::one_line(text));
}

/// Tells a failure on stderr.
pub(crate) fn tell(failure: &Failure) {
    let colour = colour_for(io::stderr().is_terminal());
    let label = |label: &str| match label {
        "error:" => Tone::Bad.paint(label, colour),
        _ => Tone::Warn.paint(label, colour),
    };
    if let Some(text) = failure.render(label) {
        let _ = io::stderr().write_all(text.as_bytes());
    }
}

fn colour_for(is_terminal: bool) -> Colour {
    let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
        || std::env::var_os("TERM").is_some_and(|value| value == "dumb");
    if is_terminal && !unwanted { Colour::Ansi } else { Colour::Never }
}
