//! JSON values as YAML.
//!
//! Only writing is needed, of values that came from JSON, so this is shorter than any dependency:
//! serde_yaml is deprecated, and its forks bring a whole parser. Block style for mappings and
//! sequences; a string is written plain only when no YAML 1.1 or 1.2 reader could take it for
//! anything but that string, and as a JSON string (which YAML is a superset of) otherwise.

use std::fmt::Write as _;

use serde_json::Value;
use uuid::Uuid;

/// `value` as a YAML document, with a final line break.
pub(crate) fn to_yaml(value: &Value) -> String {
    let mut text = String::new();
    block(&mut text, value, 0);
    if !text.ends_with('\n') {
        text.push('\n');
    }
    text.trim_start_matches(['\n', ' ']).to_owned()
}

/// Writes `value` after a key or dash: a scalar on the same line, anything else on lines below.
fn block(text: &mut String, value: &Value, depth: usize) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            text.push('\n');
            for (key, value) in map {
                indent(text, depth);
                text.push_str(&scalar(key));
                text.push(':');
                block(text, value, depth + 1);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            text.push('\n');
            for item in items {
                indent(text, depth);
                text.push('-');
                entry(text, item, depth + 1);
            }
        }
        value => {
            text.push(' ');
            text.push_str(&flat(value));
            text.push('\n');
        }
    }
}

/// An item of a sequence: the first line of a mapping stands on the line of the dash.
fn entry(text: &mut String, item: &Value, depth: usize) {
    let mut body = String::new();
    block(&mut body, item, depth);
    match body.strip_prefix('\n') {
        Some(lines) => {
            text.push(' ');
            text.push_str(lines.trim_start_matches(' '));
        }
        None => text.push_str(&body),
    }
}

fn flat(value: &Value) -> String {
    match value {
        Value::String(string) => scalar(string),
        Value::Object(_) => "{}".to_owned(),
        Value::Array(_) => "[]".to_owned(),
        other => other.to_string(),
    }
}

fn indent(text: &mut String, depth: usize) {
    (0..depth).for_each(|_| text.push_str("  "));
}

/// A string, plain where that is safe.
fn scalar(string: &str) -> String {
    if is_plain(string) { string.to_owned() } else { quoted(string) }
}

fn is_plain(string: &str) -> bool {
    /// What YAML 1.1 or 1.2 takes for something else than a string, in lower case.
    const RESERVED: [&str; 9] = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"];
    let first = |c: char| c.is_ascii_alphabetic() || c == '_' || c == '/';
    let inner = |c: char| c.is_ascii_alphanumeric() || " _-./=@+(),".contains(c);
    let word = string.starts_with(first)
        && string.chars().all(inner)
        && !string.ends_with(' ')
        && !RESERVED.contains(&string.to_ascii_lowercase().as_str());
    word || (string.len() == 36 && Uuid::try_parse(string).is_ok())
}

/// A double-quoted scalar: JSON's escapes, and those of the characters that JSON leaves alone but
/// YAML does not print.
fn quoted(string: &str) -> String {
    let mut text = String::with_capacity(string.len() + 2);
    text.push('"');
    for c in string.chars() {
        match c {
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            '\n' => text.push_str("\\n"),
            '\t' => text.push_str("\\t"),
            '\r' => text.push_str("\\r"),
            '\u{feff}' | '\u{2028}' | '\u{2029}' => push_escape(&mut text, c),
            c if c.is_control() => push_escape(&mut text, c),
            c => text.push(c),
        }
    }
    text.push('"');
    text
}

fn push_escape(text: &mut String, c: char) {
    let _ = write!(text, "\\u{:04x}", u32::from(c));
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn nested_values_keep_their_shape() {
        let value = json!({
            "name": "web1",
            "spec": { "cpus": 2, "labels": {}, "disk": null },
            "hosts": [{ "id": "0192ab00-0000-7000-8000-000000000001", "reasons": ["cpu: 2 of 4 left", "cordoned"] }, {}, []],
            "matrix": [[1, 2], [3.5]],
            "empty": [],
        });
        insta::assert_snapshot!(to_yaml(&value), @r#"
        empty: []
        hosts:
          - id: 0192ab00-0000-7000-8000-000000000001
            reasons:
              - "cpu: 2 of 4 left"
              - cordoned
          - {}
          - []
        matrix:
          - - 1
            - 2
          - - 3.5
        name: web1
        spec:
          cpus: 2
          disk: null
          labels: {}
        "#);
    }

    #[test]
    fn a_string_never_reads_as_another_type() {
        for text in [
            "",
            "true",
            "No",
            "NULL",
            "~",
            "1",
            "1e5",
            "0x1f",
            ".5",
            ".inf",
            "2026-11-21",
            "12:30:45",
            "- a",
            "a: b",
            "a #b",
            "#a",
            "&a",
            "*a",
            "!a",
            "%a",
            "@a",
            "`a",
            "'a",
            "\"a",
            "{a",
            "[a",
            "a ",
            " a",
            "a:",
            "line\nbreak",
            "tab\t",
            "nul\0",
            "\u{85}",
            "\u{2028}",
            "\u{feff}",
            "---",
            "...",
            "=",
            "?",
        ] {
            let yaml = to_yaml(&json!(text));
            assert!(yaml.starts_with('"') && yaml.ends_with("\"\n"), "{text:?} -> {yaml}");
        }
        for text in ["web1", "/dev/vda", "https", "Running on host-1 (tcg), now", "a=b"] {
            assert_eq!(to_yaml(&json!(text)), format!("{text}\n"));
        }
    }

    #[test]
    fn quoted_strings_are_json_strings() {
        for text in ["a\"b\\c\n\t\r\u{1}\u{7f}\u{9b}\u{2028}", "ünï: 🦀"] {
            assert_eq!(serde_json::from_str::<String>(&quoted(text)).unwrap(), text);
        }
    }

    #[test]
    fn a_top_level_sequence_and_scalar_have_no_leading_space() {
        assert_eq!(to_yaml(&json!([{ "a": 1, "b": [2] }])), "- a: 1\n  b:\n    - 2\n");
        assert_eq!(to_yaml(&json!(7)), "7\n");
    }
}
