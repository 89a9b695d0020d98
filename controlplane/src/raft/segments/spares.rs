//! What the next segment is made of: a file of the right length whose blocks are allocated, so that
//! a write into it changes nothing but its own sectors.
//!
//! It is made, and old segments are turned into it, on a thread of its own: that takes longer than
//! anybody who waits for a write should. A member that is out of spares makes one on the spot.

use std::io;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};

use super::sector::SECTOR_BYTES;
use super::writing::{Older, segment_name};
use crate::raft::disk::Disk;

const PREFIX: &str = "spare-";
/// Zeros written at once.
const CHUNK_BYTES: usize = 1 << 20;

/// The spare of one log, and who makes it.
#[derive(Debug)]
pub(super) struct Spares {
    maker: Maker,
    /// `None` where everything is done on the spot. There are at most a few for each segment.
    jobs: Option<Sender<Job>>,
}

#[derive(Debug)]
enum Job {
    Prepare,
    Retire(Older),
}

#[derive(Debug, Clone)]
struct Maker {
    disk: Arc<dyn Disk>,
    sectors: u32,
    ready: Arc<Mutex<Ready>>,
}

#[derive(Debug, Default)]
struct Ready {
    name: Option<String>,
    /// How many were made; each gets a name of its own.
    made: u64,
    /// A segment could not be removed: later ones must stay as well, until the next start.
    is_stuck: bool,
}

impl Spares {
    /// Work is done by a thread that ends with this.
    pub(super) fn in_background(disk: Arc<dyn Disk>, sectors: u32) -> Self {
        let maker = Maker::new(disk, sectors);
        let (jobs, todo) = channel();
        let worker = maker.clone();
        let started = std::thread::Builder::new().name("log-spares".to_owned()).spawn(move || {
            for job in todo {
                worker.work(job);
            }
        });
        // Without a thread the work is done on the spot, as without a spare.
        Self { maker, jobs: started.ok().map(|_| jobs) }
    }

    /// Work is done by who asks for it.
    #[cfg(test)]
    pub(super) fn on_the_spot(disk: Arc<dyn Disk>, sectors: u32) -> Self {
        Self { maker: Maker::new(disk, sectors), jobs: None }
    }

    /// The name of a file to make a segment of.
    pub(super) fn take(&self) -> io::Result<String> {
        let ready = self.maker.ready().name.take();
        ready.map_or_else(|| self.maker.make(), Ok)
    }

    /// Sees to it that there will be a spare.
    pub(super) fn prepare(&self) {
        self.give(Job::Prepare);
    }

    /// Turns a segment that nobody needs into a spare, or removes it.
    pub(super) fn retire(&self, segment: Older) {
        self.give(Job::Retire(segment));
    }

    /// Removes spares that an earlier life has left: how far they were made, nobody knows.
    pub(super) fn remove_leftovers(&self) {
        let names = self.maker.disk.names().unwrap_or_default();
        for name in names.iter().filter(|name| name.starts_with(PREFIX)) {
            let _ = self.maker.disk.remove(name);
        }
    }

    fn give(&self, job: Job) {
        match &self.jobs {
            Some(jobs) => drop(jobs.send(job)),
            None => self.maker.work(job),
        }
    }
}

impl Maker {
    fn new(disk: Arc<dyn Disk>, sectors: u32) -> Self {
        Self { disk, sectors, ready: Arc::default() }
    }

    /// Failing costs speed, no data: the next segment is made on the spot, and says why it cannot.
    fn work(&self, job: Job) {
        let done = match job {
            Job::Prepare if self.ready().name.is_some() => Ok(()),
            Job::Prepare => self.make().map(|name| self.offer(name)),
            Job::Retire(_) if self.ready().is_stuck => Ok(()),
            Job::Retire(segment) => self.retire(segment).inspect_err(|_| {
                self.ready().is_stuck = true;
            }),
        };
        if let Err(error) = done {
            tracing::warn!(%error, "cannot prepare room for the log");
        }
    }

    fn make(&self) -> io::Result<String> {
        let name = self.fresh_name();
        let mut file = self.disk.create(&name)?;
        let len = self.sectors as usize * SECTOR_BYTES;
        let zeros = vec![0; CHUNK_BYTES.min(len)];
        for offset in (0..len).step_by(CHUNK_BYTES) {
            file.write_at(offset as u64, &zeros[..CHUNK_BYTES.min(len - offset)])?;
        }
        file.sync()?;
        Ok(name)
    }

    /// Durable before the next: what is left of a log must be without gaps.
    fn retire(&self, segment: Older) -> io::Result<()> {
        let name = segment_name(segment.sequence);
        if segment.sectors == self.sectors && self.ready().name.is_none() {
            let spare = self.fresh_name();
            self.disk.rename(&name, &spare)?;
            self.disk.sync_names()?;
            self.offer(spare);
            return Ok(());
        }
        self.disk.remove(&name)?;
        self.disk.sync_names()
    }

    fn offer(&self, name: String) {
        let extra = self.ready().name.replace(name);
        if let Some(extra) = extra {
            let _ = self.disk.remove(&extra);
        }
    }

    fn fresh_name(&self) -> String {
        let mut ready = self.ready();
        ready.made += 1;
        format!("{PREFIX}{}", ready.made)
    }

    fn ready(&self) -> std::sync::MutexGuard<'_, Ready> {
        self.ready.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
