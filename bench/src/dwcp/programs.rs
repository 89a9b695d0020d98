//! The programs that the benchmark starts: itself, and the peers.

use std::env;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};

#[derive(Debug, Clone)]
pub(crate) struct Programs {
    /// This program, which has NovaCron's own ends.
    pub(super) own: PathBuf,
    /// All peers in one.
    pub(super) peers: PathBuf,
}

impl Programs {
    /// The peers are built into the directory of this program, see `make bench-dwcp`.
    pub(super) fn obtain() -> Result<Self> {
        let own = env::current_exe().context("find this program")?;
        let peers = own.with_file_name("novacron-peers");
        ensure!(peers.is_file(), "{} is not built: run `make bench-dwcp`", peers.display());
        Ok(Self { own, peers })
    }
}
