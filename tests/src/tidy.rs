//! The rules of the house that a compiler does not check, as functions of text.
//!
//! Each takes what it judges and gives the violations, so that a test can show that it would
//! speak up. `tests/tidy.rs` applies them to the whole tree.

use std::fmt;

/// One broken rule, where it is broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    pub path: String,
    /// Counted from 1; 0 for the file as a whole.
    pub line: usize,
    pub rule: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.rule)
    }
}

/// Crates of a `cargo tree --prefix none` that a pure core must not reach.
pub fn impure_dependencies(tree: &str) -> Vec<String> {
    let names = tree.lines().filter_map(|line| line.split_whitespace().next());
    let mut found: Vec<String> = names.filter(|name| is_impure(name)).map(str::to_owned).collect();
    found.sort();
    found.dedup();
    found
}

fn is_impure(name: &str) -> bool {
    const FAMILIES: [&str; 18] = [
        "async-",
        "axum",
        "futures",
        "getrandom",
        "hyper",
        "mio",
        "quinn",
        "raft",
        "reqwest",
        "rustls",
        "s2n",
        "sled",
        "smol",
        "socket2",
        "sysinfo",
        "tokio",
        "tracing",
        "virt",
    ];
    const CRATES: [&str; 12] = [
        "chrono",
        "fastrand",
        "notify",
        "openssl",
        "rand",
        "rand_chacha",
        "rand_os",
        "ring",
        "rustix",
        "time",
        "ureq",
        "zstd",
    ];
    let in_family = |family: &&str| {
        name.strip_prefix(*family)
            .is_some_and(|rest| family.ends_with('-') || rest.is_empty() || rest.starts_with('-'))
    };
    CRATES.contains(&name) || FAMILIES.iter().any(in_family)
}

/// Uses of the outside world in the source of a pure core, its tests aside.
pub fn impure_source(path: &str, text: &str) -> Vec<Violation> {
    const FORBIDDEN: [(&str, &str); 14] = [
        ("Instant::now", "a core is told the time"),
        ("SystemTime", "a core is told the time"),
        ("thread_rng", "a core is given its randomness"),
        ("rand::", "a core is given its randomness"),
        ("new_v4", "a core is given its ids"),
        ("now_v7", "a core is given its ids"),
        ("RandomState", "a core does not depend on hash order"),
        ("std::env", "a core has no environment"),
        ("std::fs", "a core does no I/O"),
        ("std::net::Tcp", "a core does no I/O"),
        ("std::net::Udp", "a core does no I/O"),
        ("std::process", "a core does no I/O"),
        ("std::thread", "a core has no threads"),
        ("println!", "a core does not print"),
    ];
    words(path, without_tests(&code_of(text)), &FORBIDDEN)
}

/// Names of raft-rs outside the one module that may use them.
pub fn stray_raft(path: &str, text: &str) -> Vec<Violation> {
    if path.starts_with("controlplane/src/raft") {
        return Vec::new();
    }
    const RULE: &str = "only controlplane/src/raft* names raft-rs";
    let found = words(
        path,
        &code_of(text),
        &[(" raft::", RULE), ("(raft::", RULE), ("<raft::", RULE), ("&raft::", RULE)],
    );
    // Our own modules of that name are spelt from their crate.
    let own = ["crate::raft::", "self::raft::", "super::raft::", "protocol::raft::"];
    let line = |number: usize| text.lines().nth(number - 1).unwrap_or_default();
    found.into_iter().filter(|v| !own.iter().any(|own| line(v.line).contains(own))).collect()
}

/// `unsafe` outside the modules that may use it: the libvirt driver, and the two ioctls without
/// which there is no TUN device.
pub fn stray_unsafe(path: &str, text: &str) -> Vec<Violation> {
    let may = ["agent/src/hypervisor/libvirt", "bench/emulator/src/tun.rs"];
    if may.iter().any(|module| path.starts_with(module)) {
        return Vec::new();
    }
    const RULE: &str =
        "only agent/src/hypervisor/libvirt* and bench/emulator/src/tun.rs may be unsafe";
    let code = code_of(text);
    words(path, &code, &[("unsafe {", RULE), ("unsafe fn", RULE), ("unsafe impl", RULE)])
}

/// `unwrap()` outside tests.
pub fn stray_unwrap(path: &str, text: &str) -> Vec<Violation> {
    if is_test_file(path) {
        return Vec::new();
    }
    words(path, without_tests(&code_of(text)), &[(".unwrap()", "say why it cannot fail: expect")])
}

/// A file that does not say what it is, or that has outgrown its subject.
pub fn shape(path: &str, text: &str) -> Vec<Violation> {
    let mut found = Vec::new();
    if !text.starts_with("//!") {
        let rule = "a file begins with `//!`: what it is".to_owned();
        found.push(Violation { path: path.to_owned(), line: 1, rule });
    }
    let lines = without_tests(text).lines().count();
    if lines > FILE_LINES_MAX {
        let rule = format!("{lines} lines; the ceiling is {FILE_LINES_MAX}, tests aside");
        found.push(Violation { path: path.to_owned(), line: 0, rule });
    }
    found
}

/// Private keys that somebody saved into the tree.
pub fn secrets(path: &str, text: &str) -> Vec<Violation> {
    // In two parts, so that this file does not accuse itself.
    let marker = ["PRIVATE KEY", "-----"].concat();
    let has_body = |rest: &str| {
        rest.lines().nth(1).is_some_and(|line| {
            line.trim().len() >= 40
                && line.trim().chars().all(|c| c.is_ascii_alphanumeric() || "+/=".contains(c))
        })
    };
    text.match_indices(&marker)
        .filter(|(at, _)| has_body(&text[*at..]))
        .map(|(at, _)| Violation {
            path: path.to_owned(),
            line: text[..at].lines().count(),
            rule: "a private key does not belong here".to_owned(),
        })
        .collect()
}

fn words(path: &str, code: &str, forbidden: &[(&str, &str)]) -> Vec<Violation> {
    let mut found = Vec::new();
    for (at, line) in code.lines().enumerate() {
        for (word, why) in forbidden {
            if line.contains(word) {
                let rule = format!("`{}`: {why}", word.trim());
                found.push(Violation { path: path.to_owned(), line: at + 1, rule });
            }
        }
    }
    found
}

/// A file in a directory of tests, benchmarks or examples.
fn is_test_file(path: &str) -> bool {
    let inside = path.strip_prefix("tests/").unwrap_or(path);
    ["tests", "benches", "examples"].iter().any(|dir| inside.split('/').any(|part| part == *dir))
}

/// Files of the modules that the file at `path` declares for tests only.
pub fn test_modules(path: &str, text: &str) -> Vec<String> {
    let (dir, name) = path.rsplit_once('/').unwrap_or((".", path));
    let stem = name.strip_suffix(".rs").unwrap_or(name);
    let dir = match stem {
        "lib" | "main" | "mod" => dir.to_owned(),
        stem => format!("{dir}/{stem}"),
    };
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    lines
        .windows(2)
        .filter(|pair| pair[0] == "#[cfg(test)]")
        .filter_map(|pair| pair[1].strip_suffix(';')?.rsplit_once("mod "))
        .map(|(_, module)| format!("{dir}/{module}.rs"))
        .collect()
}

/// What comes before the test module, which by house rule is the last thing in a file.
fn without_tests(text: &str) -> &str {
    text.find("#[cfg(test)]\nmod ").map_or(text, |at| &text[..at])
}

/// The text with comments, strings and characters blanked out, line for line.
fn code_of(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let skipped = match c {
            '/' if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            '/' if rest.starts_with("/*") => rest.find("*/").map_or(rest.len(), |end| end + 2),
            'r' if !ends_in_word(&code) => raw_string_len(rest),
            '"' => string_len(rest),
            '\'' => char_len(rest),
            _ => 0,
        };
        if skipped == 0 {
            code.push(c);
            rest = &rest[c.len_utf8()..];
        } else {
            code.extend(rest[..skipped].chars().filter(|c| *c == '\n'));
            rest = &rest[skipped..];
        }
    }
    code
}

fn ends_in_word(code: &str) -> bool {
    code.chars().next_back().is_some_and(|c| c.is_alphanumeric() || c == '_')
}

/// Length of the raw string that `text` begins with, or 0.
fn raw_string_len(text: &str) -> usize {
    let hashes = text[1..].chars().take_while(|c| *c == '#').count();
    if !text[1 + hashes..].starts_with('"') {
        return 0;
    }
    let end = format!("\"{}", "#".repeat(hashes));
    let body = 2 + hashes;
    text[body..].find(&end).map_or(text.len(), |at| body + at + end.len())
}

/// Length of the string that `text` begins with.
fn string_len(text: &str) -> usize {
    let mut is_escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' => is_escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// Length of the character that `text` begins with, or 0 for a lifetime.
fn char_len(text: &str) -> usize {
    let mut chars = text.char_indices().skip(1);
    match (chars.next(), chars.next()) {
        (Some((_, '\\')), Some(_)) => {
            text.char_indices().skip(3).find(|(_, c)| *c == '\'').map_or(0, |(at, _)| at + 1)
        }
        (Some(_), Some((at, '\''))) => at + 1,
        _ => 0,
    }
}

/// STYLE: past 800 lines look for the seam; this is where looking ends.
const FILE_LINES_MAX: usize = 1_200;

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(found: &[Violation]) -> Vec<(usize, &str)> {
        found.iter().map(|v| (v.line, v.rule.split(':').next().unwrap_or_default())).collect()
    }

    #[test]
    fn a_core_that_reaches_the_world_through_a_dependency_is_found() {
        let tree = "novacron-agent-core v0.1.0\nuuid v1.18.1\ngetrandom v0.3.4\nrand_core v0.9.3\n\
                    tokio-util v0.7.1\nrand v0.9.2\nfuturesque v1.0.0\nquinn-proto v0.11.19";
        assert_eq!(
            impure_dependencies(tree),
            ["getrandom", "quinn-proto", "rand", "tokio-util"],
            "rand_core is traits alone"
        );
    }

    #[test]
    fn a_core_that_looks_at_the_clock_is_found_but_not_its_comments() {
        let text = "//! Never calls Instant::now.\nfn f() { let t = Instant::now(); }\n\
                    const S: &str = \"std::env\";\nuse std::env;\n";
        assert_eq!(rules(&impure_source("x.rs", text)), [(2, "`Instant"), (4, "`std")]);
    }

    #[test]
    fn raft_types_are_found_outside_their_module_only() {
        let text =
            "//! x\nuse raft::RawNode;\nuse crate::raft::Driver;\nfn f(s: &raft::Storage) {}\n";
        assert_eq!(
            rules(&stray_raft("controlplane/src/api.rs", text)),
            [(2, "`raft"), (4, "`&raft")]
        );
        assert_eq!(stray_raft("controlplane/src/raft/driver.rs", text), []);
        let typed = "//! x\nfn f(s: raft::Storage) {}\n";
        assert_eq!(stray_raft("agent/src/x.rs", typed).len(), 1);
    }

    #[test]
    fn unsafe_is_found_outside_the_libvirt_driver_and_the_tun_device_only() {
        let text = "// unsafe { no }\nfn f() { unsafe { g() } }\n";
        assert_eq!(rules(&stray_unsafe("agent/src/main.rs", text)), [(2, "`unsafe {`")]);
        assert_eq!(rules(&stray_unsafe("bench/emulator/src/pump.rs", text)), [(2, "`unsafe {`")]);
        assert_eq!(stray_unsafe("agent/src/hypervisor/libvirt/events.rs", text), []);
        assert_eq!(stray_unsafe("bench/emulator/src/tun.rs", text), []);
    }

    #[test]
    fn unwrap_is_found_before_the_tests_only() {
        let text =
            "fn f() { g().unwrap() }\n#[cfg(test)]\nmod tests {\n fn t() { g().unwrap() }\n}";
        assert_eq!(rules(&stray_unwrap("agent/src/x.rs", text)).len(), 1);
        assert_eq!(stray_unwrap("transport/tests/x.rs", text), []);
        assert_eq!(stray_unwrap("tests/tests/x.rs", text), []);
        assert_eq!(stray_unwrap("tests/src/x.rs", text).len(), 1);
    }

    #[test]
    fn a_module_for_tests_is_told_from_others() {
        let text = "mod a;\n#[cfg(test)]\nmod tests;\n#[cfg(test)]\npub(crate) mod fake;\n\
                    #[cfg(test)]\nmod inline {\n}";
        let of = |path| test_modules(path, text);
        assert_eq!(of("cli/src/client.rs"), ["cli/src/client/tests.rs", "cli/src/client/fake.rs"]);
        assert_eq!(of("cli/src/main.rs"), ["cli/src/tests.rs", "cli/src/fake.rs"]);
    }

    #[test]
    fn a_file_without_an_opening_or_an_end_is_found() {
        assert_eq!(shape("x.rs", "//! What it is.\n"), []);
        assert_eq!(shape("x.rs", "use std::fmt;\n").len(), 1);
        let long = format!("//! x\n{}", "\n".repeat(1_200));
        assert_eq!(shape("x.rs", &long).len(), 1);
        let tested = format!("//! x\n#[cfg(test)]\nmod tests {{\n{}}}", "\n".repeat(1_200));
        assert_eq!(shape("x.rs", &tested), []);
    }

    #[test]
    fn a_private_key_is_found_and_the_mention_of_one_is_not() {
        let key =
            format!("x\n-----BEGIN {}\n{}\n", ["PRIVATE KEY", "-----"].concat(), "A".repeat(64));
        assert_eq!(secrets("x.pem", &key).len(), 1);
        assert_eq!(secrets("x.md", &key.replace(&"A".repeat(64), "...")), []);
    }

    #[test]
    fn code_keeps_its_lines_and_loses_its_texts() {
        let text =
            "let a = 'x'; // y\nlet b: &'a str = r#\"un\"safe\n\"#; /* z\n */ let c = \"\\\"q\";";
        assert_eq!(code_of(text), "let a = ; \nlet b: &'a str = \n; \n let c = ;");
    }
}
