//! The operator's command, run inside the lab.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::de::DeserializeOwned;

use super::namespace::NetNamespace;
use super::process;

/// `novacron` with a context file, in the members' namespace.
#[derive(Debug, Clone)]
pub struct Cli {
    entry: Vec<String>,
    binary: PathBuf,
    context: PathBuf,
    /// Instead of those in the context.
    endpoint: Option<String>,
}

impl Cli {
    pub fn new(net: &NetNamespace, binary: &Path, context: &Path) -> Self {
        Self {
            entry: net.entry(),
            binary: binary.to_owned(),
            context: context.to_owned(),
            endpoint: None,
        }
    }

    /// The same, asking one member only.
    #[must_use]
    pub fn via(&self, endpoint: &str) -> Self {
        Self { endpoint: Some(endpoint.to_owned()), ..self.clone() }
    }

    /// The command for `args`, to be run by the caller. It ends by itself after [`CALL_LIMIT`].
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new("timeout");
        process::without_our_variables(&mut command);
        command.arg(CALL_LIMIT.as_secs().to_string()).args(&self.entry).arg(&self.binary);
        command.arg("--config").arg(&self.context);
        if let Some(endpoint) = &self.endpoint {
            command.args(["--endpoint", endpoint]);
        }
        command.args(args);
        command
    }

    /// Standard output of a call that must succeed.
    pub fn run(&self, args: &[&str]) -> Result<String> {
        let output = self.output(args)?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            bail!("novacron {}: {}: {}", args.join(" "), output.status, said.trim());
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Whatever a call came to.
    pub fn output(&self, args: &[&str]) -> Result<Output> {
        let mut command = self.command(args);
        command.stdin(std::process::Stdio::null());
        command.output().with_context(|| format!("start novacron {}", args.join(" ")))
    }

    /// A call's `-o json`, parsed.
    pub fn json<T: DeserializeOwned>(&self, args: &[&str]) -> Result<T> {
        let text = self.run(&[args, &["-o", "json"]].concat())?;
        serde_json::from_str(&text)
            .with_context(|| format!("read what novacron {} said: {text}", args.join(" ")))
    }

    /// A script that lets a person outside call this command: `path vm list`.
    pub fn write_wrapper(&self, path: &Path) -> Result<()> {
        use std::os::unix::fs::PermissionsExt;
        let words = self.entry.iter().map(String::as_str).collect::<Vec<_>>().join(" ");
        let script = format!(
            "#!/bin/sh\n# Runs the operator's command inside the demo's network, as its admin.\n\
             sudo=; [ \"$(id -u)\" -eq 0 ] || sudo=sudo\n\
             exec $sudo {words} '{}' --config '{}' \"$@\"\n",
            self.binary.display(),
            self.context.display(),
        );
        if let Some(dir) = path.parent() {
            std::fs::create_dir_all(dir)?;
        }
        std::fs::write(path, script)?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755))?;
        Ok(())
    }
}

/// Nothing that a test asks for takes longer than this; a call that hangs is a failure.
const CALL_LIMIT: Duration = Duration::from_secs(120);
