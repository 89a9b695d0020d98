//! Daemons that the lab starts, kills and starts again.
//!
//! A daemon lives in a session of its own, so that neither Ctrl-C nor a closed terminal reaches
//! it, and outlives the program that started it: the demo leaves its fleet running. Teardown does
//! not rely on these handles; it asks the kernel who is in a namespace.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};

use super::interrupt;
use crate::wait;

/// How a daemon is started, and the one that runs now.
#[derive(Debug)]
pub struct Daemon {
    name: String,
    /// Program and arguments, namespace entry included.
    argv: Vec<String>,
    env: Vec<(String, String)>,
    log: PathBuf,
    child: Option<Child>,
}

impl Daemon {
    /// A daemon that is not running yet. `argv` must not be empty.
    pub fn new(name: &str, argv: Vec<String>, log: &Path) -> Self {
        assert!(!argv.is_empty(), "a daemon needs a program");
        Self { name: name.to_owned(), argv, env: Vec::new(), log: log.to_owned(), child: None }
    }

    pub fn with_env(mut self, key: &str, value: &str) -> Self {
        self.env.push((key.to_owned(), value.to_owned()));
        self
    }

    pub fn start(&mut self) -> Result<()> {
        interrupt::check()?;
        ensure!(!self.is_running(), "{} is running already", self.name);
        let open = || {
            File::options()
                .create(true)
                .append(true)
                .open(&self.log)
                .with_context(|| format!("open {}", self.log.display()))
        };
        // `setsid` execs in place here: a fresh child is never a group leader, so the pid is kept.
        let mut command = Command::new("setsid");
        without_our_variables(&mut command);
        let child = command
            .args(&self.argv)
            .envs(self.env.iter().map(|(key, value)| (key, value)))
            .current_dir("/")
            .stdin(Stdio::null())
            .stdout(open()?)
            .stderr(open()?)
            .spawn()
            .with_context(|| format!("start {}", self.name))?;
        self.child = Some(child);
        Ok(())
    }

    /// The `kill -9` of every story about failure. Returns once the process is gone.
    pub fn kill(&mut self) -> Result<()> {
        let Some(mut child) = self.child.take() else { return Ok(()) };
        child.kill().with_context(|| format!("kill {}", self.name))?;
        child.wait().with_context(|| format!("reap {}", self.name))?;
        Ok(())
    }

    /// Asks it to end and waits for that.
    pub fn stop(&mut self, grace: Duration) -> Result<()> {
        self.signal(Signal::TERM)?;
        wait::for_true(&format!("{} to stop", self.name), grace, || Ok(!self.is_running()))
    }

    pub fn signal(&self, signal: Signal) -> Result<()> {
        let pid = self.pid().with_context(|| format!("{} is not running", self.name))?;
        let raw = i32::try_from(pid).context("a pid fits an i32")?;
        let pid = Pid::from_raw(raw).context("a pid is not zero")?;
        kill_process(pid, signal).with_context(|| format!("signal {}", self.name))
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Reaps it if it has ended by itself.
    pub fn is_running(&mut self) -> bool {
        let running = match self.child.as_mut() {
            Some(child) => matches!(child.try_wait(), Ok(None)),
            None => false,
        };
        if !running {
            self.child = None;
        }
        running
    }

    /// Fails with the end of the log when the process has ended.
    pub fn expect_running(&mut self) -> Result<()> {
        if self.is_running() {
            return Ok(());
        }
        bail!("{} has ended; its log {} ends with:\n{}", self.name, self.log.display(), self.tail())
    }

    /// The newest part of its log.
    pub fn tail(&self) -> String {
        tail(&self.log, LOG_TAIL_BYTES).unwrap_or_default()
    }

    /// Resident memory, from `/proc/<pid>/status`.
    pub fn resident_bytes(&self) -> Result<u64> {
        let pid = self.pid().with_context(|| format!("{} is not running", self.name))?;
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kib = line.and_then(|rest| rest.trim().strip_suffix(" kB")).context("read VmRSS")?;
        Ok(kib.trim().parse::<u64>().context("parse VmRSS")? * 1024)
    }
}

/// Last `bytes` of a file, as text.
pub fn tail(path: &Path, bytes: u64) -> Result<String> {
    let mut file = File::open(path).with_context(|| format!("open {}", path.display()))?;
    let len = file.metadata()?.len();
    file.seek(SeekFrom::Start(len.saturating_sub(bytes)))?;
    let mut text = Vec::new();
    file.read_to_end(&mut text)?;
    Ok(String::from_utf8_lossy(&text).into_owned())
}

/// Keeps the variables that steer the tests from the programs under test, which take theirs from
/// the same family.
pub fn without_our_variables(command: &mut Command) -> &mut Command {
    let ours = std::env::vars_os().map(|(key, _)| key);
    for key in ours.filter(|key| key.to_string_lossy().starts_with("NOVACRON_")) {
        command.env_remove(key);
    }
    command
}

/// Waits until no other process holds `path`; the lock lasts as long as the file.
pub fn lock(path: &Path) -> Result<File> {
    let open = || File::options().create(true).append(true).open(path);
    let file = open().with_context(|| format!("open {}", path.display()))?;
    rustix::fs::flock(&file, rustix::fs::FlockOperation::LockExclusive)
        .with_context(|| format!("lock {}", path.display()))?;
    Ok(file)
}

/// Runs a command to its end; gives its standard output, or fails with what it said.
pub fn output(command: &mut Command) -> Result<String> {
    let shown = format!("{command:?}");
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("start {shown}"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("{shown}: {}: {}", output.status, said.trim());
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// [`output`] of a program with arguments.
pub fn run(program: &str, args: &[&str]) -> Result<String> {
    output(Command::new(program).args(args))
}

/// Enough of a log to see why a daemon ended.
const LOG_TAIL_BYTES: u64 = 4096;
