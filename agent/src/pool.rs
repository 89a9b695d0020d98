//! The threads that wait for the hypervisor.
//!
//! Its calls block, some for seconds, and libvirt's client can leave one hanging for ever when its
//! daemon is killed at the wrong moment. A few threads of their own keep calls away from the event
//! loop and from each other; calls beyond that wait in order. There is at most one per VM and one
//! each for looking, counting and describing, which bounds the line. A call that has begun and does
//! not end is given up, and its thread is replaced.

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::mpsc;

use crate::hypervisor::Hypervisor;

/// Threads with one hypervisor. They end when it is dropped and idle.
pub struct Pool {
    jobs_tx: Sender<Job>,
    threads: Threads,
    runtime: Handle,
}

/// Makes the threads of a pool.
#[derive(Clone)]
struct Threads {
    jobs_rx: Arc<Mutex<Receiver<Job>>>,
    hypervisor: Arc<dyn Hypervisor>,
    /// Those that were replaced and have not come back.
    hanging: Arc<AtomicUsize>,
}

type Job = Box<dyn FnOnce(&dyn Hypervisor) -> Next + Send>;

/// What a thread does after a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    Work,
    /// Another works in its place.
    End,
}

/// How far a call is.
enum Call<T> {
    /// With what is said when it is given up.
    InFlight(T),
    Ended,
    /// With what its thread does, should it come back.
    GivenUp(Next),
}

/// libvirt does not gain from more, and a VM that hangs one must not hang all.
const THREADS: usize = 4;
/// Threads that hang at the same time. At the bound calls wait until one of them comes back, and
/// none is made in vain. A thread that hangs costs little more than its stack.
const HANGING_MAX: usize = 28;
/// libvirt's own calls need little; a deep XML parse fits many times over.
const STACK_BYTES: usize = 512 << 10;
/// A call that has begun and not ended after this long is given up. Stopping a guest by force takes
/// libvirt up to 15 s.
const CALL_PATIENCE: Duration = Duration::from_secs(30);

impl Pool {
    /// To be called inside a tokio runtime, whose clock tells when a call hangs.
    pub fn start(hypervisor: &Arc<dyn Hypervisor>) -> std::io::Result<Self> {
        let (jobs_tx, jobs_rx) = channel();
        let threads = Threads {
            jobs_rx: Arc::new(Mutex::new(jobs_rx)),
            hypervisor: Arc::clone(hypervisor),
            hanging: Arc::default(),
        };
        for _ in 0..THREADS {
            threads.make(work)?;
        }
        Ok(Self { jobs_tx, threads, runtime: Handle::current() })
    }

    /// Has one of the threads make `call`. Exactly one end is sent to `ends_tx`: what the call came
    /// to, or `given_up` when it hangs. What a call did that was given up is not known.
    pub fn submit<T: Send + 'static>(
        &self,
        ends_tx: &mpsc::Sender<T>,
        given_up: T,
        call: impl FnOnce(&dyn Hypervisor) -> T + Send + 'static,
    ) {
        let (threads, runtime) = (self.threads.clone(), self.runtime.clone());
        let ends_tx = ends_tx.clone();
        let job = move |hypervisor: &dyn Hypervisor| {
            let state = Arc::new(Mutex::new(Call::InFlight(given_up)));
            // From here on: a call that waits for a thread is not late.
            let timer = runtime.spawn({
                let (state, ends_tx, threads) =
                    (Arc::clone(&state), ends_tx.clone(), threads.clone());
                async move {
                    tokio::time::sleep(CALL_PATIENCE).await;
                    if let Some(end) = give_up(&state, &threads) {
                        let _ = ends_tx.send(end).await;
                    }
                }
            });
            let end = call(hypervisor);
            timer.abort();
            match std::mem::replace(&mut *locked(&state), Call::Ended) {
                Call::GivenUp(next) => threads.handle_back(next),
                Call::InFlight(_) | Call::Ended => {
                    // Nobody waits for it any more when the agent stops.
                    let _ = ends_tx.blocking_send(end);
                    Next::Work
                }
            }
        };
        self.jobs_tx.send(Box::new(job)).expect("the threads live as long as the pool");
    }
}

/// Gives up a call that is in flight; gives what is to be said then.
fn give_up<T>(call: &Mutex<Call<T>>, threads: &Threads) -> Option<T> {
    let mut call = locked(call);
    if !matches!(*call, Call::InFlight(_)) {
        return None;
    }
    match std::mem::replace(&mut *call, Call::GivenUp(threads.replace_one())) {
        Call::InFlight(end) => Some(end),
        Call::Ended | Call::GivenUp(_) => None,
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Threads {
    /// Makes a thread in the place of one that hangs; tells what that one does when it comes back.
    fn replace_one(&self) -> Next {
        if self.hanging.load(Ordering::Relaxed) >= HANGING_MAX {
            tracing::error!("too many calls to the hypervisor hang: restart its daemon");
            return Next::Work;
        }
        let first_unhang = |jobs_rx: &Mutex<Receiver<Job>>, hypervisor: &dyn Hypervisor| {
            hypervisor.handle_hang();
            work(jobs_rx, hypervisor);
        };
        match self.make(first_unhang) {
            Ok(()) => {
                self.hanging.fetch_add(1, Ordering::Relaxed);
                Next::End
            }
            Err(error) => {
                tracing::error!(%error, "cannot replace a thread that hangs");
                Next::Work
            }
        }
    }

    /// A thread whose call was given up has come back.
    fn handle_back(&self, next: Next) -> Next {
        if next == Next::End {
            self.hanging.fetch_sub(1, Ordering::Relaxed);
        }
        tracing::info!("a call to the hypervisor that was given up has ended");
        next
    }

    fn make(
        &self,
        run: impl FnOnce(&Mutex<Receiver<Job>>, &dyn Hypervisor) + Send + 'static,
    ) -> std::io::Result<()> {
        let (jobs_rx, hypervisor) = (Arc::clone(&self.jobs_rx), Arc::clone(&self.hypervisor));
        std::thread::Builder::new()
            .name("hypervisor".to_owned())
            .stack_size(STACK_BYTES)
            .spawn(move || run(&jobs_rx, &*hypervisor))?;
        Ok(())
    }
}

fn work(jobs_rx: &Mutex<Receiver<Job>>, hypervisor: &dyn Hypervisor) {
    loop {
        // Taken out in a statement of its own: the lock is free again while the job runs.
        let job = locked(jobs_rx).recv();
        match job.map(|job| job(hypervisor)) {
            Ok(Next::Work) => {}
            Ok(Next::End) | Err(_) => return,
        }
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;
    use crate::hypervisor::simulated::Simulated;
    use crate::hypervisor::testing::recorded;

    /// A pool, calls that hang in it until they are released, and their ends.
    struct Hung {
        pool: Pool,
        /// Calls hang as long as it lives.
        release_tx: Option<Sender<()>>,
        release_rx: Arc<Mutex<Receiver<()>>>,
        ends_tx: mpsc::Sender<&'static str>,
        ends_rx: mpsc::Receiver<&'static str>,
        _dir: tempfile::TempDir,
    }

    impl Hung {
        fn new() -> Self {
            let dir = tempfile::tempdir().unwrap();
            let simulated = Simulated::open("sim://", dir.path(), recorded().0).unwrap();
            let hypervisor: Arc<dyn Hypervisor> = Arc::new(simulated);
            let (release_tx, release_rx) = channel();
            let (ends_tx, ends_rx) = mpsc::channel(100);
            let pool = Pool::start(&hypervisor).unwrap();
            let release_rx = Arc::new(Mutex::new(release_rx));
            Self { pool, release_tx: Some(release_tx), release_rx, ends_tx, ends_rx, _dir: dir }
        }

        fn submit_hanging(&self) {
            let release_rx = Arc::clone(&self.release_rx);
            self.pool.submit(&self.ends_tx, "given up", move |_| {
                let _ = release_rx.lock().unwrap().recv();
                "came back"
            });
        }

        fn submit_quick(&self) {
            self.pool.submit(&self.ends_tx, "given up", |_| "done");
        }

        fn release(&mut self) {
            self.release_tx = None;
        }

        fn hanging(&self) -> usize {
            self.pool.threads.hanging.load(Ordering::Relaxed)
        }

        async fn next_end(&mut self) -> &'static str {
            self.ends_rx.recv().await.unwrap()
        }

        /// The next end, without a leap of the clock.
        async fn next_end_in_time(self) -> (Self, &'static str) {
            let waits = tokio::task::spawn_blocking(move || {
                let mut hung = self;
                let end = hung.ends_rx.blocking_recv().unwrap();
                (hung, end)
            });
            waits.await.unwrap()
        }
    }

    // The clock stands still, and leaps to the end of a call's patience when nothing else is left to
    // do: not while a blocking task of tokio's waits for a real thread.

    #[tokio::test(start_paused = true)]
    async fn calls_that_hang_on_all_threads_are_given_up_and_hold_nothing_up() {
        let mut hung = Hung::new();
        for _ in 0..THREADS {
            hung.submit_hanging();
        }
        for _ in 0..THREADS {
            assert_eq!(hung.next_end().await, "given up");
        }
        hung.submit_quick();
        assert_eq!(hung.next_end_in_time().await.1, "done");
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_was_given_up_has_no_second_end_and_its_thread_makes_room() {
        let mut hung = Hung::new();
        hung.submit_hanging();
        assert_eq!(hung.next_end().await, "given up");
        assert_eq!(hung.hanging(), 1);
        hung.release();
        let deadline = Instant::now() + Duration::from_secs(20);
        while hung.hanging() > 0 {
            assert!(Instant::now() < deadline, "the thread does not come back");
            std::thread::yield_now();
        }
        hung.submit_quick();
        assert_eq!(hung.next_end_in_time().await.1, "done");
    }

    #[tokio::test(start_paused = true)]
    async fn at_the_bound_calls_wait_for_those_that_hang() {
        let mut hung = Hung::new();
        for _ in 0..HANGING_MAX + THREADS {
            hung.submit_hanging();
        }
        for _ in 0..HANGING_MAX + THREADS {
            assert_eq!(hung.next_end().await, "given up");
        }
        assert_eq!(hung.hanging(), HANGING_MAX);
        hung.submit_quick();
        tokio::time::advance(2 * CALL_PATIENCE).await;
        assert!(hung.ends_rx.try_recv().is_err(), "no thread is left for it");
        hung.release();
        assert_eq!(hung.next_end_in_time().await.1, "done");
    }
}
