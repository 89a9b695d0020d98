//! Content in, jobs out, coded blocks back.
//!
//! Pure: time comes in as measurements. The shell's loop:
//!
//! ```text
//! push content while wants() > 0
//! poll_job(link)          how the next block is made, from the link's speed and queue
//!   └─ job.run(compressor)   on any thread; measure its processor time
//!        └─ handle_coded(coded, took)   learns; the coded block goes to the wire, in order
//! ```
//! Blocks do not depend on each other, so several jobs may run at once.

use std::time::Duration;

use bytes::Bytes;

use crate::block::{self, Checks};
use crate::choice::Choice;
use crate::limits::PENDING_BYTES_MAX;
use crate::planner::{LENS, Link, Options, Planner, Whole};
use crate::probe::{self, NoiseProbe};
use crate::rope::Rope;
use crate::work::{Coded, Job, Task};

/// Codes one stream.
#[derive(Debug)]
pub struct Sender {
    pending: Rope,
    planner: Planner,
    probe: NoiseProbe,
    checks: Checks,
    content_len: u64,
    phase: Phase,
    fixed: bool,
    stats: SenderStats,
}

/// What a stream has come to so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SenderStats {
    pub content_bytes: u64,
    pub wire_bytes: u64,
    pub processor_time: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// More content may come.
    Open,
    /// All content is known.
    Finishing,
    Ended,
}

/// Whether to code what is there, however little.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flush {
    Yes,
    No,
}

/// Content that does not fit, or comes after the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PushError {
    #[error("{0} bytes wait for coding already")]
    Full(usize),
    #[error("the content has ended")]
    Finished,
}

/// Runs of one byte are looked for in units of this many bytes: as many pages of a guest as are
/// worth a block of their own.
const RUN_UNIT: usize = 32 << 10;
/// A block of less is worth waiting for more content, while the link is busy.
const LEN_MIN: usize = LENS[0];

impl Sender {
    pub fn new(checks: Checks, options: Options) -> Self {
        Self {
            pending: Rope::default(),
            planner: Planner::new(options),
            probe: NoiseProbe::default(),
            checks,
            content_len: 0,
            phase: Phase::Open,
            fixed: options.fixed.is_some(),
            stats: SenderStats::default(),
        }
    }

    /// The first bytes of the stream.
    pub fn preamble(&self) -> Bytes {
        Bytes::copy_from_slice(&block::preamble(self.checks))
    }

    /// How much more content it can use.
    pub fn wants(&self) -> usize {
        match self.phase {
            Phase::Open => PENDING_BYTES_MAX.saturating_sub(self.pending.len()),
            Phase::Finishing | Phase::Ended => 0,
        }
    }

    /// Takes the next content; keep to [`Self::wants`]. Large pieces are not copied.
    pub fn push(&mut self, content: Bytes) -> Result<(), PushError> {
        if content.is_empty() {
            return Ok(());
        }
        if self.phase != Phase::Open {
            return Err(PushError::Finished);
        }
        if content.len() > self.wants() {
            return Err(PushError::Full(self.pending.len()));
        }
        self.pending.push(content);
        Ok(())
    }

    /// No content follows.
    pub fn finish(&mut self) {
        if self.phase == Phase::Open {
            self.phase = Phase::Finishing;
        }
    }

    /// Whether no content waits for coding.
    pub fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }

    pub fn is_ended(&self) -> bool {
        self.phase == Phase::Ended
    }

    pub fn stats(&self) -> SenderStats {
        self.stats
    }

    /// The next block to code; `None` when there is nothing to code, the link has enough to do, or
    /// more content is worth waiting for.
    pub fn poll_job(&mut self, link: Link) -> Option<Job> {
        self.poll_flush(link, Flush::No)
    }

    /// As [`Self::poll_job`]; with [`Flush::Yes`] it waits for no more content.
    pub fn poll_flush(&mut self, link: Link, flush: Flush) -> Option<Job> {
        // What a link is worth must be known before much is coded for it.
        let unknown = link.bytes_per_s.is_none() && link.queued_bytes > 0 && !self.fixed;
        let full = link.queued_bytes >= Planner::queue_bytes_max(link, self.stats.wire_bytes);
        if unknown || full {
            return None;
        }
        let open = self.phase == Phase::Open && flush == Flush::No;
        let whole = if open { Whole::No } else { Whole::Yes };
        if self.pending.is_empty() {
            return (self.phase == Phase::Finishing).then(|| self.end());
        }
        let scarce = self.pending.len() < LEN_MIN && link.queued_bytes > 0;
        if scarce && whole == Whole::No {
            return None;
        }
        let job = self.next_job(whole, link);
        self.content_len += job.content_len() as u64;
        Some(job)
    }

    fn next_job(&mut self, whole: Whole, link: Link) -> Job {
        let front = self.pending.front();
        let run = if self.fixed { 0 } else { probe::run(front, RUN_UNIT) };
        if run > 0 {
            let content = self.pending.take(run);
            return self.job(Task::Fill { len: run }, content);
        }
        if !self.fixed && self.probe.is_noise(&front[..front.len().min(LENS[1])]) {
            let len = self.pending.len().min(LENS[1]).min(self.pending.front().len());
            let content = self.pending.take(len);
            return self.job(Task::Pass, content);
        }
        let plan = self.planner.plan(self.pending.len(), whole, link, self.stats.wire_bytes);
        let mut content = self.pending.take(plan.len);
        if !self.fixed
            && let Some(at) = probe::next_run(&content, RUN_UNIT)
        {
            self.pending.unshift(content.split_off(at));
        }
        self.job(Task::Code(plan.choice), content)
    }

    /// A reference to `len` bytes of the peer's base. What was pushed before must have been taken.
    pub(crate) fn reference(&mut self, len: usize, offset: u64) -> Job {
        assert!(self.pending.is_empty(), "content is coded in order");
        self.content_len += len as u64;
        self.job(Task::Copy { len, offset }, Bytes::new())
    }

    fn end(&mut self) -> Job {
        self.phase = Phase::Ended;
        self.job(Task::End { content_len: self.content_len }, Bytes::new())
    }

    fn job(&self, task: Task, content: Bytes) -> Job {
        Job { content, task, checks: self.checks }
    }

    /// Learns from a block that was coded in `took` of processor time.
    pub fn handle_coded(&mut self, coded: &Coded, took: Duration) {
        self.count(coded, took);
        if let Task::Code(choice) = coded.task
            && choice != Choice::Raw
        {
            self.planner.handle(choice, coded.content_len, coded.body.len(), took);
        }
    }

    /// Counts a block without learning from it.
    pub(crate) fn count(&mut self, coded: &Coded, took: Duration) {
        self.stats.content_bytes += coded.content_len as u64;
        self.stats.wire_bytes += coded.wire_len() as u64;
        self.stats.processor_time += took;
    }
}
