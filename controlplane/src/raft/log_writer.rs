//! The thread that writes the log, so that a slow disk holds up no message.
//!
//! Jobs are done in order. Those that wait together share one sync: while the disk is busy with one
//! batch, the next gathers. What is durable is told by [`LogWriter::progress`]; after a failure
//! nothing more is written.

use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use novacron_protocol::LogIndex;
use novacron_protocol::wire::raft::SnapshotMeta;
use raft::eraftpb;

use super::convert;
use super::metrics::RaftMetrics;
use super::store::{HardState, LogStore, StoreError, StoredSnapshot};

/// Jobs whose work shares one sync, at most.
const JOBS_MAX: usize = 1_024;

/// Gives the thread its work, and knows how far it got.
#[derive(Debug)]
pub(super) struct LogWriter {
    jobs: Option<Sender<Job>>,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    done: Mutex<Done>,
}

#[derive(Debug, Default)]
struct Done {
    /// The highest number given to [`LogWriter::append`] of which everything is on disk.
    persisted: u64,
    failure: Option<StoreError>,
}

enum Job {
    Append {
        number: u64,
        entries: Vec<eraftpb::Entry>,
        hard_state: Option<HardState>,
    },
    Compact {
        meta: SnapshotMeta,
        cut: LogIndex,
    },
    Install {
        snapshot: StoredSnapshot,
        hard_state: HardState,
        done: SyncSender<()>,
    },
    /// Answered once this and everything before it is durable.
    Flush {
        hard_state: HardState,
        done: SyncSender<()>,
    },
}

impl LogWriter {
    /// Starts the thread. `wake` is called whenever there is progress, on that thread: it must not
    /// block.
    pub(super) fn start(
        store: Box<dyn LogStore>,
        metrics: Arc<RaftMetrics>,
        wake: impl Fn() + Send + 'static,
    ) -> std::io::Result<Self> {
        let (jobs, todo) = channel();
        let shared = Arc::new(Shared::default());
        let worker = Worker { store, metrics, shared: Arc::clone(&shared) };
        let thread = std::thread::Builder::new()
            .name("raft-log".to_owned())
            .spawn(move || worker.run(&todo, wake))?;
        Ok(Self { jobs: Some(jobs), shared, thread: Some(thread) })
    }

    /// Writes entries and hard state; `number` counts up.
    pub(super) fn append(
        &self,
        number: u64,
        entries: Vec<eraftpb::Entry>,
        hard_state: Option<HardState>,
    ) {
        self.give(Job::Append { number, entries, hard_state });
    }

    pub(super) fn compact(&self, meta: SnapshotMeta, cut: LogIndex) {
        self.give(Job::Compact { meta, cut });
    }

    /// Replaces everything by a snapshot; returns when it is durable.
    pub(super) fn install(
        &self,
        snapshot: StoredSnapshot,
        hard_state: HardState,
    ) -> Result<(), StoreError> {
        self.wait_for(|done| Job::Install { snapshot, hard_state, done })
    }

    /// Returns when everything given so far, and this hard state, is durable.
    pub(super) fn flush(&self, hard_state: HardState) -> Result<(), StoreError> {
        self.wait_for(|done| Job::Flush { hard_state, done })
    }

    /// The highest number of which everything is durable; fails once the disk has failed.
    pub(super) fn progress(&self) -> Result<u64, StoreError> {
        let mut done = self.shared.lock();
        match done.failure.take() {
            Some(failure) => Err(failure),
            None => Ok(done.persisted),
        }
    }

    fn give(&self, job: Job) {
        // When the thread has ended, its failure is found with the next look at its progress.
        if let Some(jobs) = &self.jobs {
            let _ = jobs.send(job);
        }
    }

    fn wait_for(&self, job: impl FnOnce(SyncSender<()>) -> Job) -> Result<(), StoreError> {
        let (done, is_done) = sync_channel(1);
        self.give(job(done));
        match is_done.recv() {
            Ok(()) => Ok(()),
            Err(_) => Err(self.shared.lock().failure.take().unwrap_or_else(|| {
                StoreError::Failed("the thread that writes it has ended".to_owned())
            })),
        }
    }
}

impl Drop for LogWriter {
    /// Writes what was given, and lets go of the log.
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn lock(&self) -> std::sync::MutexGuard<'_, Done> {
        self.done.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Worker {
    store: Box<dyn LogStore>,
    metrics: Arc<RaftMetrics>,
    shared: Arc<Shared>,
}

impl Worker {
    fn run(mut self, todo: &Receiver<Job>, wake: impl Fn()) {
        while let Ok(first) = todo.recv() {
            let more = std::iter::from_fn(|| todo.try_recv().ok()).take(JOBS_MAX - 1);
            let jobs: Vec<Job> = std::iter::once(first).chain(more).collect();
            let ended = self.work(jobs);
            let failed = ended.is_err();
            if let Err(failure) = ended {
                self.shared.lock().failure = Some(failure);
            }
            wake();
            if failed {
                return;
            }
        }
    }

    /// Does all of `jobs`; those that wait for an answer get it after the sync.
    fn work(&mut self, jobs: Vec<Job>) -> Result<(), StoreError> {
        let mut number = self.shared.lock().persisted;
        let mut waiting = Vec::new();
        for job in jobs {
            match job {
                Job::Append { number: of, entries, hard_state } => {
                    let entries: Vec<_> = entries.into_iter().map(convert::entry_to_wire).collect();
                    self.store.append(&entries, hard_state);
                    number = of;
                }
                Job::Compact { meta, cut } => self.store.compact(&meta, cut),
                Job::Install { snapshot, hard_state, done } => {
                    self.store.install_snapshot(&snapshot, hard_state)?;
                    waiting.push(done);
                }
                Job::Flush { hard_state, done } => {
                    self.store.append(&[], Some(hard_state));
                    waiting.push(done);
                }
            }
        }
        let began = Instant::now();
        self.store.sync()?;
        self.note_sync(began.elapsed());
        self.shared.lock().persisted = number;
        for done in waiting {
            let _ = done.send(());
        }
        Ok(())
    }

    fn note_sync(&self, took: Duration) {
        self.metrics.syncs.observe(took);
        if took >= SLOW_SYNC {
            tracing::warn!(took_ms = took.as_millis() as u64, "the disk is slow to sync the log");
        }
    }
}

/// A sync that an operator should hear of: writes wait for it.
const SLOW_SYNC: Duration = Duration::from_millis(500);
