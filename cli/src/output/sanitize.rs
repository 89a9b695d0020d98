//! Text from outside, made harmless for a terminal.
//!
//! Guests write their own serial consoles and drivers word their own errors. A terminal obeys
//! escape sequences in both: it can be made to change its title, to rewrite what was printed
//! before, or to type. So nothing from outside reaches one with its control characters alive.

use std::fmt::Write as _;

/// One line for a table cell or a message: line breaks become spaces, controls become visible.
pub(crate) fn one_line(text: &str) -> String {
    let spaced = text.replace("\r\n", " ").replace(['\n', '\r', '\t'], " ");
    escape(&spaced, |_| false)
}

/// Lines of a console: keeps line feed, carriage return and tab, shows every other control
/// character as `\xNN` or `\u{NNNN}`.
pub(crate) fn lines(text: &str) -> String {
    escape(text, |c| matches!(c, '\n' | '\r' | '\t'))
}

fn escape(text: &str, keep: impl Fn(char) -> bool) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            c if keep(c) => safe.push(c),
            c if c.is_ascii_control() => {
                let _ = write!(safe, "\\x{:02x}", u32::from(c));
            }
            c if c.is_control() || is_bidi(c) => {
                let _ = write!(safe, "\\u{{{:x}}}", u32::from(c));
            }
            c => safe.push(c),
        }
    }
    safe
}

/// Characters that reorder the text around them, so that it reads as something else.
fn is_bidi(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escape_sequences_are_shown_and_not_obeyed() {
        let hostile = "ok\x1b[2Jgone\x1b]52;c;cm0gLXJm\x07\r\n\tnext\u{9b}31m";
        assert_eq!(lines(hostile), "ok\\x1b[2Jgone\\x1b]52;c;cm0gLXJm\\x07\r\n\tnext\\u{9b}31m");
        assert_eq!(one_line("a\r\nb\tc\u{202e}d\x7f"), "a b c\\u{202e}d\\x7f");
    }
}
