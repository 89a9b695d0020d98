//! What a command ends with when it cannot do what it was asked: one line of cause, one of hint.

use std::fmt;
use std::io;

/// A command that did not succeed, told for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    cause: String,
    /// Fields of the request that were refused, each with its reason.
    fields: Vec<(String, String)>,
    hint: Option<String>,
    kind: Kind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Told,
    /// The answer was printed already; only the exit code is left.
    Silent,
    /// Whoever read our output has gone, as `head` does. No fault of anybody.
    ReaderGone,
}

impl Failure {
    pub(crate) fn new(cause: impl Into<String>) -> Self {
        Self { cause: cause.into(), fields: Vec::new(), hint: None, kind: Kind::Told }
    }

    /// Fails without another word, because the output already said why.
    pub(crate) fn silent() -> Self {
        Self { kind: Kind::Silent, ..Self::new("") }
    }

    #[must_use]
    pub(crate) fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    #[must_use]
    pub(crate) fn fields(self, fields: Vec<(String, String)>) -> Self {
        Self { fields, ..self }
    }

    pub(crate) fn hint_text(&self) -> Option<&str> {
        self.hint.as_deref()
    }

    pub(crate) fn exit_code(&self) -> u8 {
        u8::from(self.kind != Kind::ReaderGone)
    }

    /// The text for stderr, or `None` when there is nothing left to say.
    pub(crate) fn render(&self, styled: impl Fn(&str) -> String) -> Option<String> {
        if self.kind != Kind::Told {
            return None;
        }
        let mut text = format!("{} {}\n", styled("error:"), one_line(&self.cause));
        for (field, message) in &self.fields {
            text.push_str(&format!("  {}: {}\n", one_line(field), one_line(message)));
        }
        if let Some(hint) = &self.hint {
            text.push_str(&format!("{} {}\n", styled("hint:"), one_line(hint)));
        }
        Some(text)
    }
}

/// Text on one line, without characters that could drive the terminal.
fn one_line(text: &str) -> String {
    crate::output::sanitize::one_line(text.trim())
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.cause)
    }
}

impl std::error::Error for Failure {}

/// Failures to write our own output; files of the user are opened with their name in the cause.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self { kind: Kind::ReaderGone, ..Self::new("") },
            _ => Self::new(format!("cannot write the output: {error}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_is_one_line_of_cause_the_fields_and_one_line_of_hint() {
        let failure = Failure::new("the request is not valid\n")
            .fields(vec![
                ("spec.memory".into(), "must be 16 MiB to 16 TiB, not 1 B".into()),
                ("name".into(), "a name needs\nat least one character".into()),
            ])
            .hint("see `novacron vm create --help`");
        insta::assert_snapshot!(failure.render(str::to_owned).unwrap(), @r"
        error: the request is not valid
          spec.memory: must be 16 MiB to 16 TiB, not 1 B
          name: a name needs at least one character
        hint: see `novacron vm create --help`
        ");
    }

    #[test]
    fn a_cause_from_outside_cannot_drive_the_terminal() {
        let text = Failure::new("\x1b]0;owned\x07").render(str::to_owned).unwrap();
        assert!(!text.contains('\x1b') && !text.contains('\x07'), "{text:?}");
    }

    #[test]
    fn a_reader_that_went_away_is_no_fault() {
        let failure = Failure::from(io::Error::from(io::ErrorKind::BrokenPipe));
        assert_eq!((failure.exit_code(), failure.render(str::to_owned)), (0, None));
    }
}
