//! Configuration: a TOML file, then `*.toml` in the directory beside it that is named after it
//! (`agent.d` for `agent.toml`), by name, then the environment.
//!
//! Later sources override single keys of earlier ones. `NOVACRON_RAFT__TICK_MS=20` sets `tick_ms` of
//! `[raft]`. A key that nobody knows is an error, not a surprise.

use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use toml::{Table, Value};

/// Prefix of variables that override keys.
const PREFIX: &str = "NOVACRON_";
/// Variables with that prefix that are not keys of a configuration.
const OTHER_VARIABLES: [&str; 3] = ["NOVACRON_LOG", "NOVACRON_CONFIG", "NOVACRON_TOKEN"];

/// A configuration that cannot be used, with the source that is to blame.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    #[error("cannot read {path}: {source}")]
    Unreadable { path: PathBuf, source: std::io::Error },
    #[error("{path}: {detail}")]
    Malformed { path: PathBuf, detail: String },
    #[error("{path} with its overrides: {detail}")]
    Invalid { path: PathBuf, detail: String },
}

/// Loads the configuration at `path`, with `variables` as the environment.
pub fn load<T: DeserializeOwned>(
    path: &Path,
    variables: impl IntoIterator<Item = (String, String)>,
) -> Result<T, ConfigError> {
    let mut table = read(path)?;
    for extra in fragments(path)? {
        merge(&mut table, read(&extra)?);
    }
    for (name, value) in variables {
        if let Some(keys) = keys_of(&name) {
            set(&mut table, &keys, parse_value(&value));
        }
    }
    Value::Table(table).try_into().map_err(|error: toml::de::Error| ConfigError::Invalid {
        path: path.to_owned(),
        detail: error.to_string().trim().to_owned(),
    })
}

fn read(path: &Path) -> Result<Table, ConfigError> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
    text.parse().map_err(|error: toml::de::Error| ConfigError::Malformed {
        path: path.to_owned(),
        detail: error.to_string().trim().to_owned(),
    })
}

/// The files that override single keys of `path`, sorted by name. Each daemon has a directory of
/// its own: one does not know the keys of the other.
fn fragments(path: &Path) -> Result<Vec<PathBuf>, ConfigError> {
    let dir = path.with_extension("d");
    let entries = match std::fs::read_dir(&dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(source) => return Err(ConfigError::Unreadable { path: dir, source }),
    };
    let mut files = Vec::new();
    for entry in entries {
        let entry =
            entry.map_err(|source| ConfigError::Unreadable { path: dir.clone(), source })?;
        if entry.path().extension().is_some_and(|extension| extension == "toml") {
            files.push(entry.path());
        }
    }
    files.sort();
    Ok(files)
}

fn merge(into: &mut Table, from: Table) {
    for (key, value) in from {
        match (into.get_mut(&key), value) {
            (Some(Value::Table(old)), Value::Table(new)) => merge(old, new),
            (_, value) => {
                into.insert(key, value);
            }
        }
    }
}

fn keys_of(variable: &str) -> Option<Vec<String>> {
    if OTHER_VARIABLES.contains(&variable) {
        return None;
    }
    let keys = variable.strip_prefix(PREFIX)?.to_ascii_lowercase();
    Some(keys.split("__").map(str::to_owned).collect())
}

/// A TOML value if it reads as one, else the text itself: `8` is a number, `edge-1` a string.
fn parse_value(text: &str) -> Value {
    let document: Result<Table, _> = format!("value = {text}").parse();
    let parsed = document.ok().and_then(|mut table| table.remove("value"));
    parsed.unwrap_or_else(|| Value::String(text.to_owned()))
}

fn set(table: &mut Table, keys: &[String], value: Value) {
    match keys {
        [] => {}
        [key] => {
            table.insert(key.clone(), value);
        }
        [section, rest @ ..] => {
            let inner = table.entry(section.clone()).or_insert_with(|| Value::Table(Table::new()));
            if let Value::Table(inner) = inner {
                set(inner, rest, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Example {
        name: String,
        raft: Raft,
    }

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Raft {
        tick_ms: u32,
        heartbeat_ticks: u32,
    }

    fn write(dir: &Path, name: &str, text: &str) {
        let path = dir.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn example(dir: &Path) -> PathBuf {
        write(dir, "x.toml", "name = 'a'\n[raft]\ntick_ms = 1\nheartbeat_ticks = 1\n");
        dir.join("x.toml")
    }

    #[test]
    fn later_sources_override_single_keys() {
        let dir = tempfile::tempdir().unwrap();
        let path = example(dir.path());
        write(dir.path(), "x.d/20.toml", "name = 'c'");
        write(dir.path(), "x.d/10.toml", "name = 'b'\n[raft]\ntick_ms = 2");
        let variables = [
            ("NOVACRON_RAFT__HEARTBEAT_TICKS".to_owned(), "3".to_owned()),
            ("HOME".into(), "/".into()),
        ];
        let loaded: Example = load(&path, variables).unwrap();
        assert_eq!(loaded.name, "c");
        assert_eq!((loaded.raft.tick_ms, loaded.raft.heartbeat_ticks), (2, 3));
    }

    #[test]
    fn unknown_keys_and_wrong_types_name_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = example(dir.path());
        for (name, value) in [("NOVACRON_NAMES", "x"), ("NOVACRON_RAFT__TICK_MS", "soon")] {
            let error = load::<Example>(&path, [(name.to_owned(), value.to_owned())]).unwrap_err();
            assert!(error.to_string().contains("x.toml"), "{error}");
        }
        write(dir.path(), "x.toml", "name = ");
        assert!(matches!(load::<Example>(&path, []), Err(ConfigError::Malformed { .. })));
    }
}
