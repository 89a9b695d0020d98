//! The programs under test, and where their build lies.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::{env, fs};

use anyhow::{Context, Result, ensure};

/// Paths of the three binaries and of the build directory.
#[derive(Debug, Clone)]
pub struct Binaries {
    pub member: PathBuf,
    pub agent: PathBuf,
    pub cli: PathBuf,
    /// Cargo's target directory: caches and the demo's door are kept under it.
    pub target: PathBuf,
}

impl Binaries {
    /// The binaries of the build that this program belongs to, brought up to date first unless
    /// `NOVACRON_BIN_DIR` names a directory that has them.
    pub fn obtain() -> Result<Self> {
        let (target, profile) = build_dirs()?;
        let dir = match env::var_os("NOVACRON_BIN_DIR") {
            Some(dir) => fs::canonicalize(&dir).with_context(|| format!("find {dir:?}"))?,
            None => {
                static BUILT: OnceLock<Result<(), String>> = OnceLock::new();
                let built = BUILT.get_or_init(|| build().map_err(|error| format!("{error:#}")));
                built.clone().map_err(anyhow::Error::msg)?;
                target.join(profile)
            }
        };
        let program = |name: &str| {
            let path = dir.join(name);
            ensure!(path.is_file(), "{} is not built: run `make build`", path.display());
            Ok(path)
        };
        Ok(Self {
            member: program("novacron-controlplane")?,
            agent: program("novacron-agent")?,
            cli: program("novacron")?,
            target,
        })
    }
}

impl Binaries {
    /// Where the tiny guest is kept between runs.
    pub fn guest_cache(&self) -> PathBuf {
        guest_cache(&self.target)
    }
}

/// Where the tiny guest is kept below a target directory.
pub fn guest_cache(target: &Path) -> PathBuf {
    target.join("lab/guest")
}

/// Root of the source tree.
pub fn workspace() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests crate is inside the workspace")
}

/// Cargo's target directory.
pub fn target_dir() -> Result<PathBuf> {
    build_dirs().map(|(target, _)| target)
}

/// Target directory and profile of the program that runs now.
fn build_dirs() -> Result<(PathBuf, String)> {
    let exe = env::current_exe()?;
    let mut dir = exe.parent().context("a program is in a directory")?;
    if dir.ends_with("deps") {
        dir = dir.parent().context("deps is in the profile's directory")?;
    }
    let target = dir.parent().context("a profile is in the target directory")?;
    let profile = dir.file_name().context("a profile has a name")?;
    Ok((target.to_owned(), profile.to_string_lossy().into_owned()))
}

fn build() -> Result<()> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let (_, profile) = build_dirs()?;
    let mut command = Command::new(cargo);
    command.args(["build", "--quiet", "--workspace", "--bins"]).current_dir(workspace());
    if profile == "release" {
        command.arg("--release");
    }
    let status = command.status().context("start cargo")?;
    ensure!(status.success(), "the binaries do not build");
    Ok(())
}
