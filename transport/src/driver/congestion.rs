//! ACP as quinn-proto's congestion controller.
//!
//! quinn-proto asks a controller for one number, the window, and paces by a formula of its own.
//! Here the driver asks ACP how much may leave before it polls for packets, and limits the poll to
//! that. So the window that quinn-proto sees is a gate: shut, or so wide that it switches
//! quinn-proto's own pacing off. Acknowledgements and probes pass a shut gate, as they must.

use std::any::Any;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use novacron_transport_core::acp::{Acp, Persistence};
use quinn_proto::RttEstimator;
use quinn_proto::congestion::{Controller, ControllerFactory, ControllerMetrics};

/// A window that switches quinn-proto's pacing off, which it does beyond 4 GiB.
const OPEN: u64 = 1 << 40;
/// What urgent classes may send between two openings of the gate: a few commands, no flood.
const OVERDRAFT_BYTES: u64 = 4 << 10;
/// The largest burst that is waited for.
const BURST_BYTES: u64 = 48 << 10;
/// Zero is not allowed.
const SHUT: u64 = 1;

/// Makes a controller for each path.
#[derive(Debug, Default)]
pub(crate) struct AcpFactory;

impl ControllerFactory for AcpFactory {
    fn build(self: Arc<Self>, now: Instant, current_mtu: u16) -> Box<dyn Controller> {
        let acp = Acp::new(Duration::ZERO, current_mtu);
        let state = Mutex::new(State { acp, open: true, overdraft: 0 });
        Box::new(Congestion { path: Arc::new(Path { epoch: now, state }) })
    }
}

/// One path's ACP, shared by quinn-proto, which reports to it, and the driver, which obeys it.
#[derive(Debug)]
pub(super) struct Path {
    epoch: Instant,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    acp: Acp,
    open: bool,
    /// Bytes that may leave although the gate is shut.
    overdraft: u64,
}

impl Path {
    /// The ACP of a connection's current path.
    pub(super) fn of(quic: &quinn_proto::Connection) -> Arc<Self> {
        let controller = quic.congestion_state().clone_box().into_any();
        let congestion = controller.downcast::<Congestion>();
        Arc::clone(&congestion.expect("every connection's controllers come from AcpFactory").path)
    }

    /// Bytes that may leave now; opens or shuts the gate accordingly.
    pub(super) fn budget(&self, now: Instant) -> u64 {
        let mut state = self.lock();
        let budget = state.acp.send_budget(self.since(now));
        // Each acknowledgement opens the window by a few packets. They wait until a burst of them
        // may leave, unless there is nothing in flight that could bring more room.
        let budget = if budget < burst_min(&state.acp) { 0 } else { budget };
        state.open = budget > 0;
        if state.open {
            state.overdraft = OVERDRAFT_BYTES;
        }
        budget
    }

    /// Opens the gate for whatever is left.
    pub(super) fn open(&self) {
        self.lock().open = true;
    }

    /// What may leave nevertheless, and opens the gate for it.
    pub(super) fn overdraft(&self) -> u64 {
        let mut state = self.lock();
        state.open = state.overdraft > 0;
        state.overdraft
    }

    /// Something that wants an acknowledgement has left.
    pub(super) fn sent(&self, now: Instant, bytes: u64) {
        let mut state = self.lock();
        state.acp.handle_sent(self.since(now), bytes);
        state.overdraft = state.overdraft.saturating_sub(bytes);
    }

    /// More might have left than there was to send.
    pub(super) fn app_limited(&self, now: Instant) {
        self.lock().acp.handle_app_limited(self.since(now));
    }

    /// When to ask for the budget again.
    pub(super) fn timeout(&self) -> Option<Instant> {
        self.lock().acp.poll_timeout().map(|at| self.epoch + at)
    }

    /// The peer's address is another.
    pub(super) fn changed(&self, now: Instant) {
        self.lock().acp.handle_path_changed(self.since(now));
    }

    /// Looks at ACP itself.
    pub(super) fn look<T>(&self, look: impl FnOnce(&Acp) -> T) -> T {
        look(&self.lock().acp)
    }

    fn since(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.epoch)
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Bytes worth a system call: up to a millisecond of the path, and a quarter of the window.
fn burst_min(acp: &Acp) -> u64 {
    let millisecond = acp.bandwidth() * Duration::from_millis(1);
    BURST_BYTES.min(millisecond.0).min(acp.cwnd_bytes() / 4)
}

/// What quinn-proto holds.
#[derive(Debug, Clone)]
struct Congestion {
    path: Arc<Path>,
}

impl Controller for Congestion {
    fn on_ack(&mut self, now: Instant, sent: Instant, bytes: u64, _: bool, _: &RttEstimator) {
        let (now, sent) = (self.path.since(now), self.path.since(sent));
        self.path.lock().acp.handle_acked(now, sent, bytes);
    }

    fn on_end_acks(&mut self, now: Instant, in_flight: u64, _: bool, _: Option<u64>) {
        self.path.lock().acp.handle_acks_end(self.path.since(now), in_flight);
    }

    fn on_congestion_event(&mut self, now: Instant, sent: Instant, persistent: bool, lost: u64) {
        let persistence = if persistent { Persistence::Persistent } else { Persistence::Passing };
        let (now, sent) = (self.path.since(now), self.path.since(sent));
        self.path.lock().acp.handle_lost(now, sent, lost, persistence);
    }

    fn on_mtu_update(&mut self, new_mtu: u16) {
        self.path.lock().acp.handle_mtu(new_mtu);
    }

    fn window(&self) -> u64 {
        if self.path.lock().open { OPEN } else { SHUT }
    }

    fn metrics(&self) -> ControllerMetrics {
        let state = self.path.lock();
        let mut metrics = ControllerMetrics::default();
        metrics.congestion_window = state.acp.cwnd_bytes();
        metrics
    }

    fn clone_box(&self) -> Box<dyn Controller> {
        Box::new(self.clone())
    }

    fn initial_window(&self) -> u64 {
        self.path.lock().acp.cwnd_bytes()
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}
