//! The rules of the house, applied to the whole tree. What each rule finds is shown by the unit
//! tests in `src/tidy.rs`.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use novacron_tests::lab::binaries::workspace;
use novacron_tests::tidy::{self, Violation};

/// Crates that must not know the outside world.
const PURE: [(&str, &str); 5] = [
    ("novacron-protocol", "protocol/src/"),
    ("novacron-transport-core", "transport/core/src/"),
    ("novacron-agent-core", "agent/core/src/"),
    ("novacron-controlplane-core", "controlplane/core/src/"),
    ("novacron-link", "bench/link/src/"),
];

#[test]
fn pure_cores_reach_no_runtime_clock_or_random_source() {
    for (package, _) in PURE {
        // The features that this crate asks for itself: in a build of the whole workspace other
        // crates' wishes are added to a shared dependency's features.
        let output = Command::new(env!("CARGO"))
            .args(["tree", "--locked", "--offline", "--edges", "normal,no-proc-macro"])
            .args(["--prefix", "none", "--format", "{p}", "--package", package])
            .current_dir(workspace())
            .output()
            .expect("cargo starts");
        let tree = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        assert!(tree.starts_with(package), "the tree of {package} was not read: {tree}");
        let impure = tidy::impure_dependencies(&tree);
        assert!(impure.is_empty(), "{package} reaches {impure:?}");
    }
}

#[test]
fn pure_cores_do_not_look_outside() {
    let pure = |path: &str| PURE.iter().any(|(_, dir)| path.starts_with(dir));
    check_product_sources(
        |path, text| if pure(path) { tidy::impure_source(path, text) } else { vec![] },
    );
}

#[test]
fn only_the_raft_module_names_raft_types() {
    check_sources(tidy::stray_raft);
}

#[test]
fn only_the_libvirt_driver_and_the_tun_device_are_unsafe() {
    check_sources(tidy::stray_unsafe);
}

#[test]
fn nothing_unwraps_outside_tests() {
    check_product_sources(tidy::stray_unwrap);
}

#[test]
fn every_file_says_what_it_is_and_stays_under_the_ceiling() {
    check_sources(tidy::shape);
}

#[test]
fn no_private_key_is_in_the_tree() {
    check(&files(workspace(), |_| true), tidy::secrets);
}

#[track_caller]
fn check_sources(rule: impl Fn(&str, &str) -> Vec<Violation>) {
    let sources = files(workspace(), |path| path.ends_with(".rs"));
    assert!(sources.len() > 50, "only {} sources were found", sources.len());
    check(&sources, rule);
}

/// [`check_sources`] without the modules that only tests compile.
#[track_caller]
fn check_product_sources(rule: impl Fn(&str, &str) -> Vec<Violation>) {
    let sources = files(workspace(), |path| path.ends_with(".rs"));
    let of_tests: BTreeSet<String> =
        sources.iter().flat_map(|(path, text)| tidy::test_modules(path, text)).collect();
    check_sources(|path, text| if of_tests.contains(path) { vec![] } else { rule(path, text) });
}

#[track_caller]
fn check(files: &[(String, String)], rule: impl Fn(&str, &str) -> Vec<Violation>) {
    let found: Vec<String> = files
        .iter()
        .flat_map(|(path, text)| rule(path, text))
        .map(|violation| violation.to_string())
        .collect();
    assert!(found.is_empty(), "\n{}", found.join("\n"));
}

/// Every text file of the tree that `wanted` accepts, by its path from the root.
fn files(root: &Path, wanted: impl Fn(&str) -> bool) -> Vec<(String, String)> {
    const NOT_OURS: [&str; 5] = [".git", "target", "node_modules", "corpus", "artifacts"];
    let (mut found, mut dirs) = (Vec::new(), vec![root.to_owned()]);
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(&dir).expect("the tree can be listed") {
            let entry = entry.expect("the tree can be listed");
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = entry.path();
            if path.is_dir() {
                if !NOT_OURS.contains(&name.as_str()) {
                    dirs.push(path);
                }
                continue;
            }
            let shown =
                path.strip_prefix(root).expect("it is below").to_string_lossy().into_owned();
            if wanted(&shown)
                && let Ok(text) = fs::read_to_string(&path)
            {
                found.push((shown, text));
            }
        }
    }
    found.sort();
    found
}
