//! The threads that wait for the hypervisor.
//!
//! Its calls block, some for seconds. A few threads of their own keep them away from the event
//! loop and from each other; jobs beyond that wait in order. There is at most one per VM and one
//! each for looking and counting, which bounds the line.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};

use crate::hypervisor::Hypervisor;

/// Threads with one hypervisor. They end when it is dropped and idle.
pub struct Pool {
    jobs_tx: Sender<Job>,
    spare: Spare,
}

/// Makes threads for a pool.
#[derive(Clone)]
pub struct Spare {
    jobs_rx: Arc<Mutex<Receiver<Job>>>,
    hypervisor: Arc<dyn Hypervisor>,
    made: Arc<AtomicUsize>,
}

type Job = Box<dyn FnOnce(&dyn Hypervisor) + Send>;

/// libvirt does not gain from more, and a VM that hangs one must not hang all.
const THREADS: usize = 4;
/// Threads made in the life of a pool, those that hang for ever included. At the bound the agent
/// goes on with those that are left; its watchdog is the last resort.
const THREADS_MADE_MAX: usize = 32;
/// libvirt's own calls need little; a deep XML parse fits many times over.
const STACK_BYTES: usize = 512 << 10;

impl Pool {
    pub fn start(hypervisor: &Arc<dyn Hypervisor>) -> std::io::Result<Self> {
        let (jobs_tx, jobs_rx) = channel();
        let spare = Spare {
            jobs_rx: Arc::new(Mutex::new(jobs_rx)),
            hypervisor: Arc::clone(hypervisor),
            made: Arc::default(),
        };
        for _ in 0..THREADS {
            spare.make()?;
        }
        Ok(Self { jobs_tx, spare })
    }

    /// Has one of the threads do `job`.
    pub fn submit(&self, job: impl FnOnce(&dyn Hypervisor) + Send + 'static) {
        self.jobs_tx.send(Box::new(job)).expect("the threads live as long as the pool");
    }

    /// What replaces a thread of this pool that hangs.
    pub fn spare(&self) -> Spare {
        self.spare.clone()
    }
}

impl Spare {
    /// Makes a thread in the place of one that hangs. That one, should it ever come back, works on.
    pub fn replace_one(&self) {
        if self.made.load(Ordering::Relaxed) >= THREADS_MADE_MAX {
            tracing::error!("too many calls to the hypervisor hang; restart the agent");
        } else if let Err(error) = self.make() {
            tracing::error!(%error, "cannot replace a thread that hangs");
        }
    }

    fn make(&self) -> std::io::Result<()> {
        let number = self.made.fetch_add(1, Ordering::Relaxed);
        let (jobs_rx, hypervisor) = (Arc::clone(&self.jobs_rx), Arc::clone(&self.hypervisor));
        std::thread::Builder::new()
            .name(format!("hypervisor-{number}"))
            .stack_size(STACK_BYTES)
            .spawn(move || work(&jobs_rx, &*hypervisor))?;
        Ok(())
    }
}

fn work(jobs_rx: &Mutex<Receiver<Job>>, hypervisor: &dyn Hypervisor) {
    loop {
        // Taken out in a statement of its own: the lock is free again while the job runs.
        let job = jobs_rx.lock().unwrap_or_else(PoisonError::into_inner).recv();
        match job {
            Ok(job) => job(hypervisor),
            Err(_) => return,
        }
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").finish_non_exhaustive()
    }
}

impl fmt::Debug for Spare {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spare").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hypervisor::simulated::Simulated;
    use crate::hypervisor::testing::recorded;

    #[test]
    fn a_pool_whose_threads_all_hang_works_on_with_a_spare_one() {
        let dir = tempfile::tempdir().unwrap();
        let simulated = Simulated::open("sim://", dir.path(), recorded().0).unwrap();
        let hypervisor: Arc<dyn Hypervisor> = Arc::new(simulated);
        let pool = Pool::start(&hypervisor).unwrap();
        let (release_tx, release_rx) = channel::<()>();
        let release_rx = Arc::new(Mutex::new(release_rx));
        for _ in 0..THREADS {
            let release_rx = Arc::clone(&release_rx);
            pool.submit(move |_| {
                let _ = release_rx.lock().unwrap().recv();
            });
        }
        let (done_tx, done_rx) = channel();
        pool.submit(move |_| done_tx.send(()).unwrap());
        pool.spare().replace_one();
        done_rx.recv_timeout(std::time::Duration::from_secs(20)).unwrap();
        drop(release_tx);
    }
}
