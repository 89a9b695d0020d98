//! Adding members' endpoints to a context file, and changing nothing else in it.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::Spanned;

use super::{Endpoint, unreadable};
use crate::failure::Failure;

/// The one value that is changed, and where in the text it is.
#[derive(Deserialize)]
struct Listed {
    endpoints: Spanned<Vec<String>>,
}

/// Adds to the file at `path` those of `endpoints` that it does not list, at the end, because an
/// operator may prefer the first; tells which.
pub(crate) fn add(path: &Path, endpoints: &[Endpoint]) -> Result<Vec<Endpoint>, Failure> {
    let text = fs::read_to_string(path).map_err(|error| unreadable(path, &error))?;
    let (changed, added) = added_to(&text, endpoints)
        .map_err(|why| Failure::new(format!("{} is not a context file: {why}", path.display())))?;
    if !added.is_empty() {
        replace(path, &changed).map_err(|error| {
            Failure::new(format!("cannot write the context file {}: {error}", path.display()))
        })?;
    }
    Ok(added)
}

/// The text with its endpoints and the missing ones of `endpoints`, and these.
fn added_to(text: &str, endpoints: &[Endpoint]) -> Result<(String, Vec<Endpoint>), String> {
    let listed: Listed = toml::from_str(text).map_err(|error| error.message().to_owned())?;
    let known: Result<Vec<Endpoint>, String> =
        listed.endpoints.get_ref().iter().map(|text| text.parse()).collect();
    let mut all = known?;
    let is_new = |endpoint: &&Endpoint| !all.contains(endpoint);
    let added: Vec<Endpoint> = endpoints.iter().filter(is_new).cloned().collect();
    all.extend(added.iter().cloned());
    let lines: String = all.iter().map(|endpoint| format!("    \"{endpoint}\",\n")).collect();
    let mut changed = text.to_owned();
    changed.replace_range(listed.endpoints.span(), &format!("[\n{lines}]"));
    Ok((changed, added))
}

/// Puts `text` in the place of the file, with the same permissions, at once or not at all.
fn replace(path: &Path, text: &str) -> io::Result<()> {
    // Behind a link the file itself is replaced.
    let path = fs::canonicalize(path)?;
    let mode = fs::metadata(&path)?.permissions().mode() & 0o777;
    let new = PathBuf::from(format!("{}.new", path.display()));
    let written = write_private(&new, text, mode).and_then(|()| fs::rename(&new, &path));
    written.inspect_err(|_| {
        let _ = fs::remove_file(&new);
    })
}

fn write_private(path: &Path, text: &str, mode: u32) -> io::Result<()> {
    let mut file = File::options().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(text.as_bytes())?;
    file.set_permissions(fs::Permissions::from_mode(mode))?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# of the lab\nendpoints = [\"https://m1.example:7411\"] # mine\n\
                        token = \"secret\"\nca_pem = \"\"\"\nPEM\n\"\"\"\nnewer = 1\n";

    fn endpoints(urls: &[&str]) -> Vec<Endpoint> {
        urls.iter().map(|url| url.parse().unwrap()).collect()
    }

    #[test]
    fn what_is_missing_is_added_and_all_else_stays_as_it_was_written() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("admin.toml");
        fs::write(&path, TEXT).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        let all = endpoints(&["https://10.0.0.2:7411", "https://m1.example:7411"]);
        assert_eq!(add(&path, &all).unwrap(), all[..1]);
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(
            text,
            TEXT.replace(
                "[\"https://m1.example:7411\"]",
                "[\n    \"https://m1.example:7411\",\n    \"https://10.0.0.2:7411\",\n]"
            )
        );
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(add(&path, &all).unwrap(), []);
        assert_eq!(fs::read_to_string(&path).unwrap(), text, "nothing to add, nothing written");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing is left beside it");
    }

    #[test]
    fn a_file_that_is_none_of_ours_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("admin.toml");
        for text in ["endpoints = 1", "token = \"t\"", "endpoints = [\"http://a:1\"]", "?"] {
            fs::write(&path, text).unwrap();
            let failure = add(&path, &endpoints(&["https://10.0.0.2:7411"])).unwrap_err();
            assert!(failure.to_string().contains("is not a context file"), "{failure}");
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
        }
    }
}
