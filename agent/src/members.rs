//! Where the members are: kept on disk, so that a host that boots finds its cluster.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use novacron_protocol::limits::MEMBERS_MAX;
use novacron_protocol::record;
use novacron_protocol::wire::join::MemberAddress;

use crate::files;

/// The list of members on disk.
#[derive(Debug)]
pub struct MembersFile {
    path: PathBuf,
    held: Vec<MemberAddress>,
}

/// Why the list cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum MembersError {
    #[error("{} is no list of members ({detail}); join again with a new token", path.display())]
    Damaged { path: PathBuf, detail: String },
    #[error("cannot use {}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
}

const FILE: &str = "members.bin";
const FORMAT: u16 = 1;

impl MembersFile {
    /// Reads the list that a join left in `data_dir`.
    pub fn open(data_dir: &Path) -> Result<Self, MembersError> {
        let path = data_dir.join(FILE);
        let bytes =
            fs::read(&path).map_err(|source| MembersError::Io { path: path.clone(), source })?;
        let held: Vec<MemberAddress> = record::open(FORMAT, &bytes).map_err(|error| {
            MembersError::Damaged { path: path.clone(), detail: error.to_string() }
        })?;
        Ok(Self { path, held })
    }

    /// Begins a list in `data_dir`.
    pub fn create(data_dir: &Path, members: &[MemberAddress]) -> Result<(), MembersError> {
        Self { path: data_dir.join(FILE), held: Vec::new() }.replace(members).map(drop)
    }

    pub fn list(&self) -> &[MemberAddress] {
        &self.held
    }

    /// Takes a new list; tells whether it is another one. An empty list, or one longer than any
    /// cluster, is not believed: with it the agent would never hear of its cluster again.
    pub fn replace(&mut self, members: &[MemberAddress]) -> Result<bool, MembersError> {
        let plausible = (1..=MEMBERS_MAX).contains(&members.len());
        if !plausible || members == self.held {
            return Ok(false);
        }
        let bytes = record::seal(FORMAT, &members.to_vec()).map_err(|error| {
            MembersError::Damaged { path: self.path.clone(), detail: error.to_string() }
        })?;
        files::replace(&self.path, &bytes, files::Sync::Yes)
            .map_err(|source| MembersError::Io { path: self.path.clone(), source })?;
        self.held = members.to_vec();
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use novacron_protocol::MemberId;

    fn member(id: u64) -> MemberAddress {
        MemberAddress { id: MemberId(id), cluster: "127.0.0.1:7410".parse().unwrap() }
    }

    #[test]
    fn a_list_is_found_again_and_an_empty_one_not_believed() {
        let dir = tempfile::tempdir().unwrap();
        assert!(MembersFile::open(dir.path()).is_err());
        MembersFile::create(dir.path(), &[member(1)]).unwrap();
        let mut file = MembersFile::open(dir.path()).unwrap();
        assert!(!file.replace(&[]).unwrap());
        assert!(!file.replace(&[member(1)]).unwrap());
        assert!(file.replace(&[member(1), member(2)]).unwrap());
        let again = MembersFile::open(dir.path()).unwrap();
        assert_eq!(again.list(), [member(1), member(2)]);
    }

    #[test]
    fn a_damaged_list_says_what_to_do() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(FILE), b"junk").unwrap();
        let error = MembersFile::open(dir.path()).unwrap_err().to_string();
        assert!(error.contains("join again"), "{error}");
    }
}
