//! A program under test: started, killed, started again, and never left behind.

use std::path::Path;

use anyhow::{Context, Result};
use novacron_tests::lab::process::Daemon;
use rustix::process::{Pid, Signal, kill_process};

use crate::usage::{Cpu, Memory};
use crate::workspace;

/// A program that runs until it is killed or dropped.
#[derive(Debug)]
pub(crate) struct Program {
    daemon: Daemon,
}

impl Program {
    /// Starts `argv` with its output in `log`. Only from a thread that lives as long as the
    /// program shall: the kernel kills it when that thread ends, and so when we are killed.
    pub(crate) fn start(
        name: &str,
        argv: &[String],
        variables: &[(String, String)],
        log: &Path,
    ) -> Result<Self> {
        // It execs in place, so the pid is the program's.
        let mut all = ["setpriv", "--pdeathsig", "KILL", "--"].map(str::to_owned).to_vec();
        all.extend_from_slice(argv);
        let mut daemon = Daemon::new(name, all, log);
        for (key, value) in variables {
            daemon = daemon.with_env(key, value);
        }
        let mut program = Self { daemon };
        program.restart()?;
        Ok(program)
    }

    /// Starts it again after [`Self::kill`].
    pub(crate) fn restart(&mut self) -> Result<()> {
        self.daemon.start()?;
        workspace::adopt(self.pid()?);
        Ok(())
    }

    /// `kill -9`; returns once the process is gone.
    pub(crate) fn kill(&mut self) -> Result<()> {
        let pid = self.daemon.pid();
        self.daemon.kill()?;
        if let Some(pid) = pid {
            workspace::release(pid);
        }
        Ok(())
    }

    /// Sends it a signal that it outlives.
    pub(crate) fn signal(&self, signal: Signal) -> Result<()> {
        let pid = i32::try_from(self.pid()?).ok().and_then(Pid::from_raw);
        kill_process(pid.context("a pid is a positive number")?, signal)
            .with_context(|| format!("signal {}", self.daemon.name()))
    }

    /// Fails with the end of its log when it has ended by itself.
    pub(crate) fn expect_running(&mut self) -> Result<()> {
        self.daemon.expect_running()
    }

    pub(crate) fn memory(&self) -> Result<Memory> {
        Memory::of(self.pid()?).with_context(|| format!("memory of {}", self.daemon.name()))
    }

    pub(crate) fn cpu(&self) -> Result<Cpu> {
        Cpu::of(self.pid()?).with_context(|| format!("processor time of {}", self.daemon.name()))
    }

    pub(crate) fn pid(&self) -> Result<u32> {
        self.daemon.pid().with_context(|| format!("{} does not run", self.daemon.name()))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        if let Err(error) = self.kill() {
            eprintln!("{error:#}");
        }
    }
}
