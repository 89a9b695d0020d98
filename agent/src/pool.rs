//! The threads that wait for the hypervisor.
//!
//! Its calls block, some for seconds. A few threads of their own keep them away from the event
//! loop and from each other; jobs beyond that wait in order. There is at most one per VM and one
//! each for looking and counting, which bounds the line.

use std::fmt;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};

use crate::hypervisor::Hypervisor;

/// A fixed number of threads with one hypervisor. They end when it is dropped and idle.
pub struct Pool {
    jobs_tx: Sender<Job>,
}

type Job = Box<dyn FnOnce(&dyn Hypervisor) + Send>;

/// libvirt does not gain from more, and a VM that hangs one must not hang all.
const THREADS: usize = 4;
/// libvirt's own calls need little; a deep XML parse fits many times over.
const STACK_BYTES: usize = 512 << 10;

impl Pool {
    pub fn start(hypervisor: &Arc<dyn Hypervisor>) -> std::io::Result<Self> {
        let (jobs_tx, jobs_rx) = channel();
        let jobs_rx = Arc::new(Mutex::new(jobs_rx));
        for number in 0..THREADS {
            let (jobs_rx, hypervisor) = (Arc::clone(&jobs_rx), Arc::clone(hypervisor));
            std::thread::Builder::new()
                .name(format!("hypervisor-{number}"))
                .stack_size(STACK_BYTES)
                .spawn(move || work(&jobs_rx, &*hypervisor))?;
        }
        Ok(Self { jobs_tx })
    }

    /// Has one of the threads do `job`.
    pub fn submit(&self, job: impl FnOnce(&dyn Hypervisor) + Send + 'static) {
        self.jobs_tx.send(Box::new(job)).expect("the threads live as long as the pool");
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
