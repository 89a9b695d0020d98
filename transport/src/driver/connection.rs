//! One connection: what its handles share, who waits for what, and the task that drives it.

use std::any::Any;
use std::collections::HashMap;
use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use novacron_protocol::wire::Class;
use novacron_transport_core::ass::{Ass, Policy};
use novacron_transport_core::fallback::{self, Action, Fallback};
use novacron_transport_core::hedge::Hedge;
use quinn::{ConnectionError, Dir, Side, StreamId, VarInt};
use quinn_proto::crypto::ExportKeyingMaterialError;
use quinn_proto::{ConnectionHandle, EndpointEvent, Event, StreamEvent, Transmit};
use tokio::sync::Notify;
use tokio::time::Sleep;

use super::congestion::Path;
use super::endpoint::{self, Way};
use super::forecast::Forecast;
use super::goodput::Goodput;
use super::outgoing::Outgoing;
use super::stream::{RecvStream, SendStream};
use super::tunnels::Dialler;
use super::turn::{Progress, Unsent, remember};
use crate::stats::{ClassStats, SessionStats};

/// A connection. Clones, and its streams, are handles to the same one; it is closed when the last is
/// dropped.
#[derive(Debug, Clone)]
pub(crate) struct Connection(Arc<Handle>);

#[derive(Debug)]
struct Handle {
    shared: Arc<Shared>,
}

/// A dialled or accepted connection whose handshake has not ended. Dropped, it is given up.
#[derive(Debug)]
pub(crate) struct Connecting(pub(super) Connection);

/// What handles, streams, the driver's task and the endpoint's receiver share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) handle: ConnectionHandle,
    endpoint: Arc<endpoint::Shared>,
    state: Mutex<State>,
    connected: Notify,
    closed: Notify,
    /// A stream may be opened, by direction.
    room: [Notify; 2],
    /// The peer has opened a stream, by direction.
    opened: [Notify; 2],
    datagram: Notify,
}

/// A connection's state, behind its lock.
pub(super) struct State {
    pub(super) quic: quinn_proto::Connection,
    pub(super) epoch: Instant,
    pub(super) path: Arc<Path>,
    /// The address whose path `path` is.
    remote: SocketAddr,
    /// On the dialling side: which way packets go.
    pub(super) fallback: Option<(Fallback, Dialler)>,
    /// The next packet goes over UDP, to see whether it comes back.
    pub(super) probing: bool,
    pub(super) ass: Ass,
    pub(super) outgoing: Outgoing,
    pub(super) unsent: Unsent,
    pub(super) goodput: Goodput,
    pub(super) forecast: Forecast,
    pub(super) hedge: Hedge<Bytes>,
    /// QUIC holds second copies, which are as urgent as the first ones.
    pub(super) copies_queued: bool,
    /// The packets of the burst at hand, and how to send them if the socket was full.
    pub(super) burst: Vec<u8>,
    pub(super) refused: Option<Transmit>,
    readers: HashMap<StreamId, Waker>,
    /// Those who wait until a stream that this side writes has ended, one way or another.
    settling: HashMap<StreamId, Arc<Notify>>,
    driver: Option<Waker>,
    /// When the driver looks again by itself.
    armed: Option<Instant>,
    endpoint_events: Vec<EndpointEvent>,
    connected: bool,
    error: Option<ConnectionError>,
}

impl Connecting {
    /// Waits for the end of the handshake.
    pub(crate) async fn established(self) -> Result<Connection, ConnectionError> {
        self.0
            .shared()
            .wait(
                |shared| &shared.connected,
                |state| match &state.error {
                    Some(error) => Some(Err(error.clone())),
                    None => state.connected.then_some(Ok(())),
                },
            )
            .await?;
        Ok(self.0)
    }
}

impl Connection {
    /// Starts to drive a connection.
    pub(super) fn start(
        quic: quinn_proto::Connection,
        handle: ConnectionHandle,
        endpoint: Arc<endpoint::Shared>,
        dialler: Option<Dialler>,
    ) -> Self {
        let epoch = Instant::now();
        let state = State {
            path: Path::of(&quic),
            remote: quic.remote_address(),
            fallback: dialler.map(|dialler| (Fallback::default(), dialler)),
            probing: false,
            quic,
            epoch,
            ass: Ass::new(Policy::default(), Duration::ZERO),
            outgoing: Outgoing::default(),
            unsent: Unsent::default(),
            goodput: Goodput::new(epoch),
            forecast: Forecast::new(),
            hedge: Hedge::new(Duration::ZERO),
            copies_queued: false,
            burst: Vec::new(),
            refused: None,
            readers: HashMap::new(),
            settling: HashMap::new(),
            driver: None,
            armed: None,
            endpoint_events: Vec::new(),
            connected: false,
            error: None,
        };
        let shared = Arc::new(Shared {
            handle,
            endpoint,
            state: Mutex::new(state),
            connected: Notify::new(),
            closed: Notify::new(),
            room: Default::default(),
            opened: Default::default(),
            datagram: Notify::new(),
        });
        tokio::spawn(Arc::clone(&shared).drive());
        Self(Arc::new(Handle { shared }))
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.0.shared
    }

    /// Opens a stream of `class` to the peer; waits while the peer allows no more.
    pub(crate) async fn open_uni(&self, class: Class) -> Result<SendStream, ConnectionError> {
        let id = self.open(Dir::Uni, class).await?;
        Ok(SendStream::new(self.clone(), id))
    }

    /// Opens a stream in both directions, this side's of `class`.
    pub(crate) async fn open_bi(
        &self,
        class: Class,
    ) -> Result<(SendStream, RecvStream), ConnectionError> {
        let id = self.open(Dir::Bi, class).await?;
        Ok((SendStream::new(self.clone(), id), RecvStream::new(self.clone(), id)))
    }

    /// The next stream that the peer opens to us.
    pub(crate) async fn accept_uni(&self) -> Result<RecvStream, ConnectionError> {
        Ok(RecvStream::new(self.clone(), self.accept(Dir::Uni).await?))
    }

    /// The next stream in both directions; what is written to it has `class` until told otherwise.
    pub(crate) async fn accept_bi(
        &self,
        class: Class,
    ) -> Result<(SendStream, RecvStream), ConnectionError> {
        let id = self.accept(Dir::Bi).await?;
        self.shared().lock().outgoing.open(id, class);
        Ok((SendStream::new(self.clone(), id), RecvStream::new(self.clone(), id)))
    }

    /// A message was written to its class's stream as its `seq`-th. Where packets get lost it is
    /// sent once more, in a datagram.
    pub(crate) fn repeat(&self, class: Class, seq: u64, message: Bytes) {
        self.shared().with(|state| {
            let since = state.since(Instant::now());
            // Asked for here and not when a copy is due: on a calm path none ever is.
            state.hedge.handle_srtt(state.quic.rtt());
            let lost_packets = state.quic.stats().path.lost_packets;
            state.hedge.handle_lost_packets(since, lost_packets);
            state.hedge.handle_sent(since, class, seq, message);
        });
    }

    /// The next datagram of the peer's.
    pub(crate) async fn datagram(&self) -> Result<Bytes, ConnectionError> {
        self.shared()
            .wait(
                |shared| &shared.datagram,
                |state| match state.quic.datagrams().recv() {
                    Some(datagram) => Some(Ok(datagram)),
                    None => state.error.clone().map(Err),
                },
            )
            .await
    }

    /// Ends the connection at once; what waits is lost.
    pub(crate) fn close(&self, code: VarInt, reason: &[u8]) {
        self.shared().close(code, Bytes::copy_from_slice(reason));
    }

    /// Waits for the end.
    pub(crate) async fn closed(&self) -> ConnectionError {
        self.shared().wait(|shared| &shared.closed, |state| state.error.clone()).await
    }

    /// Why the connection is over, if it is.
    pub(crate) fn close_reason(&self) -> Option<ConnectionError> {
        self.shared().lock().error.clone()
    }

    pub(crate) fn remote_address(&self) -> SocketAddr {
        let remote = self.shared().lock().quic.remote_address();
        self.shared().endpoint.ways.real_address(remote)
    }

    pub(crate) fn side(&self) -> Side {
        self.shared().lock().quic.side()
    }

    pub(crate) fn stats(&self) -> SessionStats {
        let mut state = self.shared().lock();
        let tunnel = self.shared().endpoint.ways.tunnel(state.quic.remote_address());
        state.stats(Instant::now(), if tunnel.is_some() { Way::Tunnel } else { Way::Udp })
    }

    /// What the TLS handshake has agreed on.
    pub(crate) fn handshake_data(&self) -> Option<Box<dyn Any>> {
        self.shared().lock().quic.crypto_session().handshake_data()
    }

    /// The peer's certificates.
    pub(crate) fn peer_identity(&self) -> Option<Box<dyn Any>> {
        self.shared().lock().quic.crypto_session().peer_identity()
    }

    /// Keying material of this very TLS session (RFC 5705).
    pub(crate) fn export_keying_material(
        &self,
        output: &mut [u8],
        label: &[u8],
        context: &[u8],
    ) -> Result<(), ExportKeyingMaterialError> {
        self.shared().lock().quic.crypto_session().export_keying_material(output, label, context)
    }

    pub(crate) fn set_receive_window(&self, window: VarInt) {
        self.shared().with(|state| state.quic.set_receive_window(window));
    }

    pub(crate) fn set_max_concurrent_streams(&self, dir: Dir, count: VarInt) {
        self.shared().with(|state| state.quic.set_max_concurrent_streams(dir, count));
    }

    async fn open(&self, dir: Dir, class: Class) -> Result<StreamId, ConnectionError> {
        self.shared()
            .wait(
                |shared| &shared.room[dir as usize],
                |state| {
                    if let Some(error) = &state.error {
                        return Some(Err(error.clone()));
                    }
                    let id = state.quic.streams().open(dir)?;
                    // Fails only on streams of the peer's. What is more urgent goes first among the
                    // bytes that QUIC holds, above all when they have to be sent again.
                    let _ = state.quic.send_stream(id).set_priority(-(class as i32));
                    state.outgoing.open(id, class);
                    Some(Ok(id))
                },
            )
            .await
    }

    async fn accept(&self, dir: Dir) -> Result<StreamId, ConnectionError> {
        let accepted = self
            .shared()
            .wait(
                |shared| &shared.opened[dir as usize],
                |state| match state.quic.streams().accept(dir) {
                    Some(id) => Some(Ok(id)),
                    None => state.error.clone().map(Err),
                },
            )
            .await;
        // The peer may open another one.
        self.shared().wake();
        accepted
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.close(VarInt::from_u32(0), Bytes::new());
    }
}

impl Shared {
    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the state and lets the driver look at what has changed.
    pub(super) fn with<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.lock();
        let changed = change(&mut state);
        let driver = state.driver.take();
        drop(state);
        if let Some(driver) = driver {
            driver.wake();
        }
        changed
    }

    pub(super) fn wake(&self) {
        self.with(|_| ());
    }

    /// Waits until `look` finds what it looks for; `change` tells when to look again.
    async fn wait<T>(
        &self,
        change: impl Fn(&Self) -> &Notify,
        mut look: impl FnMut(&mut State) -> Option<T>,
    ) -> T {
        loop {
            let mut changed = pin!(change(self).notified());
            changed.as_mut().enable();
            if let Some(found) = look(&mut self.lock()) {
                return found;
            }
            changed.await;
        }
    }

    pub(super) fn close(&self, code: VarInt, reason: Bytes) {
        self.with(|state| {
            if state.error.is_none() {
                state.quic.close(Instant::now(), code, reason);
                state.end(ConnectionError::LocallyClosed);
                self.announce_end();
            }
        });
    }

    /// Takes in what the endpoint has for this connection.
    pub(super) fn handle_events(
        &self,
        way: Way,
        events: impl Iterator<Item = quinn_proto::ConnectionEvent>,
    ) {
        let mut state = self.lock();
        if let Some((fallback, _)) = &mut state.fallback {
            fallback.handle_heard(way);
        }
        events.for_each(|event| state.quic.handle_event(event));
        // Acknowledgements, and what they let leave, need not wait for the driver's turn.
        self.transmit_now(state, BURSTS_ON_ARRIVAL);
    }

    /// Sends what may leave, on the caller's thread, and wakes the driver only for the rest.
    pub(super) fn transmit_now(&self, mut state: MutexGuard<'_, State>, bursts_max: usize) {
        let progress = state.transmit(Instant::now(), &self.endpoint.ways, bursts_max);
        state.dispatch(self);
        let needs_driver = progress != Progress::Idle || state.needs_turn();
        let driver = needs_driver.then(|| state.driver.take()).flatten();
        drop(state);
        if let Some(driver) = driver {
            driver.wake();
        }
    }

    /// A tunnel is there. Says whether it is still wanted: UDP may have come back meanwhile.
    pub(super) fn handle_tunnel_opened(&self, now: Instant) -> bool {
        self.with(|state| {
            let since = state.since(now);
            let Some((fallback, _)) = &mut state.fallback else { return false };
            fallback.handle_opened(since);
            // What is due goes through the tunnel at once.
            state.quic.ping();
            matches!(fallback.state(), fallback::State::Tunnelled { .. })
        })
    }

    pub(super) fn handle_tunnel_closed(&self, now: Instant) {
        self.with(|state| {
            let since = state.since(now);
            if let Some((fallback, _)) = &mut state.fallback {
                fallback.handle_closed(since);
            }
        });
    }

    fn announce_end(&self) {
        self.connected.notify_waiters();
        self.closed.notify_waiters();
        self.datagram.notify_waiters();
        self.room.iter().chain(&self.opened).for_each(Notify::notify_waiters);
    }

    /// Runs until the connection and its last packets are gone.
    async fn drive(self: Arc<Self>) {
        let _leave = Leave(&self);
        let mut timer = pin!(tokio::time::sleep(Duration::ZERO));
        loop {
            let progress = poll_fn(|context| self.turn(context, timer.as_mut())).await;
            match progress {
                Turn::Drained => return,
                Turn::SocketFull(destination) => self.endpoint.ways.writable(destination).await,
            }
        }
    }

    /// One turn; pending when there is nothing to do before something happens.
    fn turn(self: &Arc<Self>, context: &mut Context<'_>, mut timer: Pin<&mut Sleep>) -> Poll<Turn> {
        let ways = &self.endpoint.ways;
        loop {
            let mut state = self.lock();
            remember(&mut state.driver, context);
            let now = Instant::now();
            // In this order: a goodbye has to leave before the time to say it is over.
            let mut progress = state.transmit(now, ways, BURSTS_PER_TURN);
            if progress == Progress::Idle && state.handle_timeouts(now) {
                progress = state.transmit(now, ways, BURSTS_PER_TURN);
            }
            state.dispatch(self);
            let choice = state.choose_way(now);
            state.collect_endpoint_events();
            let events = std::mem::take(&mut state.endpoint_events);
            let (drained, due) = (state.quic.is_drained(), state.next_timeout());
            state.armed = due;
            drop(state);
            if let Some((action, dialler)) = choice {
                self.change_way(action, dialler);
            }
            let answers = self.endpoint.handle_events(self.handle, events);
            if drained {
                return Poll::Ready(Turn::Drained);
            }
            if !answers.is_empty() {
                let mut state = self.lock();
                answers.into_iter().for_each(|event| state.quic.handle_event(event));
                continue;
            }
            match progress {
                Progress::SocketFull(destination) => {
                    return Poll::Ready(Turn::SocketFull(destination));
                }
                Progress::More => {
                    context.waker().wake_by_ref();
                    return Poll::Pending;
                }
                Progress::Idle => {}
            }
            let Some(due) = due else { return Poll::Pending };
            timer.as_mut().reset(due.into());
            if timer.as_mut().poll(context).is_pending() {
                return Poll::Pending;
            }
        }
    }
}

impl Shared {
    fn change_way(self: &Arc<Self>, action: Action, dialler: Dialler) {
        match action {
            Action::OpenTunnel => {
                tokio::spawn(dialler.run(Arc::clone(&self.endpoint), Arc::clone(self)));
            }
            Action::GoDirect => {
                tracing::info!(to = %dialler.addr, "UDP works; leaving TCP");
                self.endpoint.ways.undivert(dialler.addr, None);
            }
            // Done by the state itself.
            Action::Probe => {}
        }
    }
}

/// Bursts sent before other connections get their turn: by the driver, and by the endpoint's
/// receiver, which has packets of all connections waiting.
const BURSTS_PER_TURN: usize = 16;
const BURSTS_ON_ARRIVAL: usize = 2;
/// By a writer, which goes on to write.
pub(super) const BURSTS_ON_WRITE: usize = 1;

/// Takes the connection off the endpoint's list when its driver ends, also with its runtime.
struct Leave<'a>(&'a Shared);

impl Drop for Leave<'_> {
    fn drop(&mut self) {
        if let Some((fallback, dialler)) = &self.0.lock().fallback
            && matches!(fallback.state(), fallback::State::Tunnelled { .. })
        {
            self.0.endpoint.ways.undivert(dialler.addr, None);
        }
        self.0.endpoint.forget(self.0.handle);
    }
}

/// Why a turn of the driver ended.
enum Turn {
    Drained,
    SocketFull(SocketAddr),
}

impl State {
    /// Tells those who wait what QUIC has to say.
    fn dispatch(&mut self, shared: &Shared) {
        while let Some(event) = self.quic.poll() {
            match event {
                Event::Connected => {
                    self.connected = true;
                    shared.connected.notify_waiters();
                }
                Event::ConnectionLost { reason } => {
                    self.end(reason);
                    shared.announce_end();
                }
                Event::Stream(event) => self.dispatch_stream(event, shared),
                Event::DatagramReceived => shared.datagram.notify_waiters(),
                Event::HandshakeDataReady | Event::DatagramsUnblocked => {}
            }
        }
        self.follow_path();
    }

    fn dispatch_stream(&mut self, event: StreamEvent, shared: &Shared) {
        match event {
            StreamEvent::Opened { dir } => shared.opened[dir as usize].notify_waiters(),
            StreamEvent::Available { dir } => shared.room[dir as usize].notify_waiters(),
            StreamEvent::Readable { id } => {
                if let Some(reader) = self.readers.remove(&id) {
                    reader.wake();
                }
            }
            StreamEvent::Writable { id } => {
                if let Some(class) = self.outgoing.unblock(id) {
                    self.ass.handle_unblocked(class);
                    if let Some(driver) = &self.driver {
                        driver.wake_by_ref();
                    }
                }
            }
            StreamEvent::Finished { id } => self.settle(id),
            StreamEvent::Stopped { id, .. } => {
                if let Some((class, bytes)) = self.outgoing.stopped(id) {
                    self.ass.handle_dropped(class, bytes);
                }
                self.settle(id);
            }
        }
    }

    fn collect_endpoint_events(&mut self) {
        while let Some(event) = self.quic.poll_endpoint_events() {
            self.endpoint_events.push(event);
        }
    }

    /// Whether the driver has to look before the time that it has set itself.
    fn needs_turn(&mut self) -> bool {
        self.collect_endpoint_events();
        let way = self.fallback.as_ref().is_some_and(|(fallback, _)| fallback.has_action());
        if way || !self.endpoint_events.is_empty() || self.quic.is_drained() {
            return true;
        }
        match (self.next_timeout(), self.armed) {
            (Some(due), Some(armed)) => due < armed,
            (Some(_), None) => true,
            (None, _) => false,
        }
    }

    /// After a change of address another ACP may be in charge.
    fn follow_path(&mut self) {
        if self.remote != self.quic.remote_address() {
            self.remote = self.quic.remote_address();
            self.path = Path::of(&self.quic);
            let now = Instant::now();
            self.path.changed(now);
            self.hedge.handle_new_path(self.since(now));
            self.forecast.handle_new_path();
        }
    }

    /// Whether packets have to go another way.
    fn choose_way(&mut self, now: Instant) -> Option<(Action, Dialler)> {
        let since = self.since(now);
        let (fallback, dialler) = self.fallback.as_mut()?;
        if self.error.is_some() {
            return None;
        }
        fallback.handle_timeout(since);
        let action = fallback.poll_action()?;
        if action == Action::Probe {
            self.probing = true;
            self.quic.ping();
        }
        Some((action, dialler.clone()))
    }

    fn stats(&mut self, now: Instant, way: Way) -> SessionStats {
        let (quic, since) = (self.quic.stats(), self.since(now));
        let allocation = self.forecast.allocation(since, &self.ass, &Policy::default());
        let class = |class| ClassStats {
            class,
            allocated: allocation[class as usize],
            sent_bytes: self.ass.sent(class),
            queued_bytes: self.ass.backlog(class),
            reason: self.ass.last_reason(class),
            hold: self.ass.hold(since, class),
        };
        let classes = Class::ALL.map(class);
        let goodput = self.goodput.rate(now);
        let streams = self.outgoing.len();
        let [in_one_second, in_five_seconds] = self.forecast.predictions(since);
        self.path.look(|acp| SessionStats {
            way,
            rtt: quic.path.rtt,
            rtt_min: acp.min_rtt(),
            mtu_bytes: quic.path.current_mtu,
            sent_bytes: quic.udp_tx.bytes,
            received_bytes: quic.udp_rx.bytes,
            sent_packets: quic.path.sent_packets,
            lost_packets: quic.path.lost_packets,
            congestion_window_bytes: acp.cwnd_bytes(),
            bandwidth: acp.bandwidth(),
            pacing_rate: acp.pacing_rate(),
            congestion: acp.state(),
            goodput,
            in_one_second,
            in_five_seconds,
            streams,
            classes,
        })
    }

    pub(super) fn since(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.epoch)
    }

    fn settle(&mut self, id: StreamId) {
        if let Some(settling) = self.settling.remove(&id) {
            settling.notify_waiters();
        }
    }

    fn end(&mut self, reason: ConnectionError) {
        self.error.get_or_insert(reason);
        self.outgoing.close();
        self.readers.drain().for_each(|(_, reader)| reader.wake());
        self.settling.drain().for_each(|(_, settling)| settling.notify_waiters());
    }

    pub(super) fn error(&self) -> Option<&ConnectionError> {
        self.error.as_ref()
    }

    pub(super) fn wait_readable(&mut self, id: StreamId, reader: &Waker) {
        self.readers.insert(id, reader.clone());
    }

    pub(super) fn forget_reader(&mut self, id: StreamId) {
        self.readers.remove(&id);
    }

    /// Told when a stream that this side writes has ended.
    pub(super) fn settling(&mut self, id: StreamId) -> Arc<Notify> {
        Arc::clone(self.settling.entry(id).or_default())
    }
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("State").field("error", &self.error).finish_non_exhaustive()
    }
}
