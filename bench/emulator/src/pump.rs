//! The thread that moves packets of one direction from device to device, on time.
//!
//! Each turn takes in what the sending device has, gives away what is due, and sleeps until the next
//! packet is due or comes in. Punctuality without spinning, which two cores shared with both ends
//! could not afford: the thread asks to be woken as much before the time as it was woken late of
//! late, and a turn also gives away what is due a moment later, so errors cancel out instead of
//! adding up, and packets close together cost one system call.

use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::io::Errno;

use crate::direction::{Path, Traffic};
use crate::frame::Run;
use crate::precedence::{self, Precedence};
use crate::tun::{PACKET_BYTES_MAX, Tun};

/// A direction in motion. Stops when dropped.
#[derive(Debug)]
pub(crate) struct Pump {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
    /// As the kernel knows it.
    thread_id: i32,
}

#[derive(Debug)]
struct Shared {
    path: Mutex<Path>,
    /// Readable when the path was changed from outside, or the pump is to stop.
    bell: OwnedFd,
    is_stopping: AtomicBool,
    start: Instant,
}

impl Shared {
    fn now(&self) -> Duration {
        self.start.elapsed()
    }

    fn path(&self) -> MutexGuard<'_, Path> {
        self.path.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ring(&self) {
        // The bell holds a number that never gets near its limit, so this cannot block or fail.
        let _ = rustix::io::write(&self.bell, &1_u64.to_ne_bytes());
    }
}

impl Pump {
    /// Starts moving packets. The link's time begins at `start`.
    pub(crate) fn start(
        name: &str,
        path: Path,
        start: Instant,
        from: Arc<Tun>,
        to: Arc<Tun>,
    ) -> Result<Self> {
        let bell = eventfd(0, EventfdFlags::NONBLOCK).context("make an eventfd")?;
        let is_stopping = AtomicBool::new(false);
        let shared = Arc::new(Shared { path: Mutex::new(path), bell, is_stopping, start });
        let mover = Mover::new(Arc::clone(&shared), from, to);
        let (ready_tx, ready_rx) = mpsc::channel();
        let thread = std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || {
                let _ = ready_tx.send(precedence::take(Precedence::Link));
                mover.run();
            })
            .context("start a thread")?;
        let thread_id = ready_rx.recv().context("wait for a thread")?;
        Ok(Self { shared, thread: Some(thread), thread_id })
    }

    pub(crate) fn now(&self) -> Duration {
        self.shared.now()
    }

    /// What became of the packets, and what moving them has cost.
    pub(crate) fn traffic(&self) -> Traffic {
        Traffic { cpu: self.cpu(), ..self.with(|path, _| path.traffic()) }
    }

    fn cpu(&self) -> Duration {
        let path = format!("/proc/self/task/{}/schedstat", self.thread_id);
        let text = fs::read_to_string(path).unwrap_or_default();
        let nanos = text.split_whitespace().next().and_then(|nanos| nanos.parse().ok());
        Duration::from_nanos(nanos.unwrap_or_default())
    }

    /// Looks at the path, or changes it; the pump takes note at once.
    pub(crate) fn with<R>(&self, change: impl FnOnce(&mut Path, Duration) -> R) -> R {
        let result = {
            let mut path = self.shared.path();
            change(&mut path, self.shared.now())
        };
        self.shared.ring();
        result
    }
}

impl Drop for Pump {
    fn drop(&mut self) {
        self.shared.is_stopping.store(true, Ordering::SeqCst);
        self.shared.ring();
        if let Some(thread) = self.thread.take() {
            // A panic there was printed when it happened.
            let _ = thread.join();
        }
    }
}

/// What the thread owns.
struct Mover {
    shared: Arc<Shared>,
    from: Arc<Tun>,
    to: Arc<Tun>,
    buffer: Vec<u8>,
    runs: Vec<Run>,
    /// How much later than asked the kernel has woken us lately.
    wake_delay: Duration,
    /// When the packet that woke us came in, as far as can be told.
    came_in: Option<Duration>,
}

impl Mover {
    fn new(shared: Arc<Shared>, from: Arc<Tun>, to: Arc<Tun>) -> Self {
        let buffer = vec![0; PACKET_BYTES_MAX];
        let (runs, wake_delay) = (Vec::new(), Duration::ZERO);
        Self { shared, from, to, buffer, runs, wake_delay, came_in: None }
    }

    fn run(mut self) {
        while !self.shared.is_stopping.load(Ordering::SeqCst) {
            let next_due = match self.turn() {
                Ok(next_due) => next_due,
                // The namespace was removed under us, as on Ctrl-C.
                Err(error) if error.raw_os_error() == Some(Errno::BADFD.raw_os_error()) => return,
                Err(error) => {
                    eprintln!("emulated link: failed to read a device: {error}");
                    return;
                }
            };
            self.sleep(next_due);
        }
    }

    /// Takes in, gives away, and says when to do so again.
    fn turn(&mut self) -> io::Result<Option<Duration>> {
        let next_due = {
            let mut path = self.shared.path();
            for _ in 0..FRAMES_PER_TURN {
                let Some(bytes) = self.from.receive(&mut self.buffer)? else { break };
                let now = self.came_in.take().unwrap_or_else(|| self.shared.now());
                path.accept(now, &self.buffer[..bytes]);
            }
            path.depart(self.shared.now(), AHEAD, &mut self.runs);
            path.link.poll_timeout()
        };
        let (writes, mut refused) = (self.runs.len() as u64, 0);
        for run in self.runs.drain(..) {
            // A device that is down takes nothing, like a cable that is not plugged in.
            if run.write(|parts| self.to.send(parts)).is_err() {
                refused += u64::from(run.packets());
            }
        }
        if writes > 0 {
            let mut path = self.shared.path();
            path.traffic.writes += writes;
            path.traffic.refused += refused;
        }
        Ok(next_due)
    }

    /// Sleeps until the time, or until something comes in.
    fn sleep(&mut self, next_due: Option<Duration>) {
        let now = self.shared.now();
        let pause = next_due.map(|due| due.saturating_sub(now + self.wake_delay));
        let timeout = pause.map(|pause| Timespec {
            tv_sec: i64::try_from(pause.as_secs()).unwrap_or(i64::MAX),
            tv_nsec: i64::from(pause.subsec_nanos()),
        });
        let mut fds = [
            PollFd::new(&*self.from, PollFlags::IN),
            PollFd::new(&self.shared.bell, PollFlags::IN),
        ];
        // Nobody interrupts a real-time thread: one with much to do has to let the others in.
        rustix::thread::sched_yield();
        // A signal is as good as a timeout: the next turn looks at everything.
        let ready = poll(&mut fds, timeout.as_ref()).unwrap_or(0);
        if !fds[1].revents().is_empty() {
            let _ = rustix::io::read(&self.shared.bell, &mut [0; 8]);
        }
        let woken = self.shared.now();
        // A packet wakes us as late as a timer does, but not before we slept.
        self.came_in = (ready > 0).then(|| woken.saturating_sub(self.wake_delay).max(now));
        if let Some(pause) = pause
            && ready == 0
            && !pause.is_zero()
        {
            let late = woken.saturating_sub(now + pause).min(WAKE_DELAY_MAX);
            self.wake_delay = (self.wake_delay * 7 + late) / 8;
        }
    }
}

/// Taken in before what is due is looked at again.
const FRAMES_PER_TURN: usize = 64;
/// What is due this much later may leave now.
const AHEAD: Duration = Duration::from_micros(50);
/// More than this is not the kernel's delay but a machine at its limit.
const WAKE_DELAY_MAX: Duration = Duration::from_micros(100);
