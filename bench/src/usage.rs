//! What a process takes of the machine, as the kernel counts it.

use std::fs;

use anyhow::{Context, Result};

/// Memory of one process.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Memory {
    /// Resident: what `ps` and `top` show, pages shared with others counted in full.
    pub(crate) rss_bytes: u64,
    /// Shared pages counted by share.
    pub(crate) pss_bytes: u64,
    /// Not backed by a file: heap and stacks.
    pub(crate) anonymous_bytes: u64,
}

impl Memory {
    pub(crate) fn of(pid: u32) -> Result<Self> {
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))?;
        Ok(Self {
            rss_bytes: kib_line(&status, "VmRSS:")?,
            pss_bytes: kib_line(&rollup, "Pss:")?,
            anonymous_bytes: kib_line(&status, "RssAnon:")?,
        })
    }
}

/// Bytes of a line such as `VmRSS:     1234 kB`.
fn kib_line(text: &str, key: &str) -> Result<u64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(key));
    let kib = rest.and_then(|rest| rest.trim().strip_suffix(" kB"));
    let kib = kib.with_context(|| format!("no line {key}"))?;
    Ok(kib.trim().parse::<u64>().with_context(|| format!("read {key}"))? * 1024)
}

/// Processor time that a process has used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Cpu {
    own_ticks: u64,
    /// Of children that have ended and were waited for.
    ended_children_ticks: u64,
}

impl Cpu {
    pub(crate) fn of(pid: u32) -> Result<Self> {
        Self::parse(&fs::read_to_string(format!("/proc/{pid}/stat"))?)
    }

    /// `/proc/<pid>/stat`, see proc(5). The second field, the name, may contain anything.
    fn parse(stat: &str) -> Result<Self> {
        let (_, fields) = stat.rsplit_once(") ").context("no name in stat")?;
        let ticks: Vec<u64> =
            fields.split(' ').skip(11).take(4).filter_map(|field| field.parse().ok()).collect();
        let [user, system, children_user, children_system] = ticks[..] else {
            anyhow::bail!("stat is too short")
        };
        Ok(Self { own_ticks: user + system, ended_children_ticks: children_user + children_system })
    }

    /// Seconds used by the process itself since it began.
    pub(crate) fn seconds(self) -> f64 {
        self.own_ticks as f64 / TICKS_PER_SECOND
    }

    /// Seconds used by the process itself since `earlier`.
    pub(crate) fn seconds_since(self, earlier: Self) -> f64 {
        self.own_ticks.saturating_sub(earlier.own_ticks) as f64 / TICKS_PER_SECOND
    }
}

/// Bytes that a process has sent to disks, or will have when the cache is written back: see proc(5).
pub(crate) fn written_bytes(pid: u32) -> Result<u64> {
    let io = fs::read_to_string(format!("/proc/{pid}/io"))?;
    let written = io.lines().find_map(|line| line.strip_prefix("write_bytes: "));
    written.context("no line write_bytes")?.trim().parse().context("read write_bytes")
}

/// How much of the machine other work takes while something is measured: whether to believe it.
#[derive(Debug)]
pub(crate) struct Disturbance {
    machine: MachineTicks,
    ours: u64,
}

impl Disturbance {
    /// Begins to look. `programs` are the processes of the measurement that run now.
    pub(crate) fn begin(programs: &[u32]) -> Result<Self> {
        Ok(Self { machine: MachineTicks::read()?, ours: ours(programs)? })
    }

    /// Share of the processors' time since then that was spent on nothing of ours, in percent.
    pub(crate) fn percent(&self, programs: &[u32]) -> Result<f64> {
        let now = MachineTicks::read()?;
        let all = now.all.saturating_sub(self.machine.all).max(1);
        let busy = now.busy.saturating_sub(self.machine.busy);
        let foreign = busy.saturating_sub(ours(programs)?.saturating_sub(self.ours));
        Ok(foreign as f64 * 100.0 / all as f64)
    }
}

#[derive(Debug)]
struct MachineTicks {
    busy: u64,
    all: u64,
}

impl MachineTicks {
    fn read() -> Result<Self> {
        let stat = fs::read_to_string("/proc/stat").context("read /proc/stat")?;
        let line = stat.lines().next().and_then(|line| line.strip_prefix("cpu ")).context("cpu")?;
        // user nice system idle iowait irq softirq steal; guests are in user already.
        let ticks: Vec<u64> =
            line.split_ascii_whitespace().take(8).filter_map(|field| field.parse().ok()).collect();
        let all = ticks.iter().sum();
        let idle: u64 = ticks.iter().skip(3).take(2).sum();
        Ok(Self { busy: all - idle, all })
    }
}

fn ours(programs: &[u32]) -> Result<u64> {
    let own = Cpu::of(std::process::id())?;
    let running = programs.iter().filter_map(|pid| Cpu::of(*pid).ok());
    Ok(own.own_ticks + own.ended_children_ticks + running.map(|cpu| cpu.own_ticks).sum::<u64>())
}

/// USER_HZ, which Linux fixes at 100 for every architecture that we run on.
const TICKS_PER_SECOND: f64 = 100.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_name_with_brackets_does_not_shift_the_fields() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194560 100 0 0 0 11 22 33 44 20 0 4 0 1000 1 1";
        let cpu = Cpu { own_ticks: 33, ended_children_ticks: 77 };
        assert_eq!(Cpu::parse(stat).unwrap(), cpu);
    }

    #[test]
    fn our_own_memory_is_more_than_its_share_and_its_heap() {
        let memory = Memory::of(std::process::id()).unwrap();
        assert!(memory.rss_bytes >= memory.pss_bytes && memory.rss_bytes > memory.anonymous_bytes);
        assert!(memory.anonymous_bytes > 0);
    }
}
